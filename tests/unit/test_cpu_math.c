// links: codegen
// exp, tanh, erf and log of the CPU back end beside libm's in double, over four million floats spread over all of them,
// and over the ranges where activations live.
#include "cpu_harness.h"

enum { ROWS = 4096, COLUMNS = 1024, POINTS = ROWS * COLUMNS, STEP = 1021 };

static const char *const names[] = {"exp", "tanh", "erf", "log"};

// Units in the last place of the nearest float between got and the exact value.
static double ulps(float got, double exact) {
  float near = (float)exact;
  if (!isfinite(near) || !isfinite(got)) return got == near ? 0 : INFINITY;
  double unit = fmax((double)nextafterf(fabsf(near), INFINITY) - fabs((double)near), 0x1p-149);
  return fabs((double)got - exact) / unit;
}

static void check_point(int function, float x, float got, double *worst) {
  if (isnan(x)) {
    assert_true(isnan(got));
    return;
  }
  double exact = function == 0 ? exp(x) : function == 1 ? tanh(x) : function == 2 ? erf(x) : log(x), error;
  bool flushed =
      fpclassify(x) == FP_SUBNORMAL || fabs(exact) < 0x1p-126; // below the normal floats is zero to the device
  if (function == 3 && x < 0) {
    assert_true(isnan(got) || flushed);
    return;
  }
  if (function == 0)
    error = fabs(exact) < 0x1p-126 ? !(got >= 0 && got <= 0x1p-126f)
            : exact > 3.4028235e38 ? got != INFINITY
                                   : fabs(got - exact) / exact;
  else if (function == 3) error = flushed && exact ? 0 : ulps(got, exact);
  else error = fabs(got - exact);
  if (!(error <= worst[function])) worst[function] = isnan(error) ? INFINITY : error;
}

// x -> all four functions, compiled as one kernel.
static void run(harness *h, int64_t x, int64_t y[4]) {
  text_add(&h->functions, "  func.func private @all(%x: f32) -> (f32, f32, f32, f32) {\n");
  for (int f = 0; f < 4; ++f) text_printf(&h->functions, "    %%y%d = math.%s %%x : f32\n", f, names[f]);
  text_add(&h->functions, "    return %y0, %y1, %y2, %y3 : f32, f32, f32, f32\n  }\n");
  text_add(&h->body,
           "    %y:4 = \"kernel.row\"(%x) {groups = 1 : i64, stages = [@all], reductions = [], operandSegmentSizes = "
           "array<i32: 1, 0, 0>, resultSegmentSizes = array<i32: 4, 0>, places = array<i64: ");
  for (int f = 0; f < 4; ++f) {
    y[f] = harness_room(h, POINTS);
    text_printf(&h->body, "%s4, %lld", f ? ", " : "", (long long)y[f] * 4);
  }
  const char *type = "tensor<4096x1024xf32>";
  text_printf(&h->body, ">} : (%s) -> (%s, %s, %s, %s)\n", type, type, type, type, type);
  (void)x;
  harness_run(h);
}

static void check_range(void (*fill)(float *points), const char *what) {
  harness h;
  harness_open(&h);
  int64_t x = harness_input(&h, "x", ROWS, COLUMNS, "f32"), y[4];
  fill(h.memory + x);
  run(&h, x, y);
  double worst[4] = {0};
  for (int f = 0; f < 4; ++f)
    for (int64_t i = 0; i < POINTS; ++i) check_point(f, h.memory[x + i], h.after[y[f] + i], worst);
  print_message("%s: exp %.3g relative, tanh %.3g and erf %.3g absolute, log %.3g ulp\n", what, worst[0], worst[1],
                worst[2], worst[3]);
  assert_true(worst[0] < 2e-7);
  assert_true(worst[1] < 2e-7);
  assert_true(worst[2] < 2e-7);
  assert_true(worst[3] < 2);
  harness_close(&h);
}

static void fill_bits(float *points) {
  for (int64_t i = 0; i < POINTS; ++i) {
    uint32_t bits = (uint32_t)(i * STEP);
    memcpy(&points[i], &bits, sizeof bits);
  }
  static const float special[] = {0.0f,    -0.0f,  INFINITY, -INFINITY, NAN,  -1e30f, 1e30f,
                                  88.722f, 88.73f, -87.33f,  -87.34f,   -104, 1};
  memcpy(points, special, sizeof special);
}

static void fill_small(float *points) {
  for (int64_t i = 0; i < POINTS; ++i) points[i] = (float)((double)i / POINTS * 20 - 10);
}

static void fill_near_one(float *points) {
  for (int64_t i = 0; i < POINTS; ++i) points[i] = (float)(0.6 + (double)i / POINTS * 0.9);
}

static void test_all_floats(void **state) {
  (void)state;
  check_range(fill_bits, "all floats");
}

static void test_small(void **state) {
  (void)state;
  check_range(fill_small, "-10 to 10");
}

static void test_near_one(void **state) {
  (void)state;
  check_range(fill_near_one, "near 1");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_all_floats), cmocka_unit_test(test_small),
                                     cmocka_unit_test(test_near_one)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
