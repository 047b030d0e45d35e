// links: codegen
// kernel.copy and kernel.zero: every element of the result, and nothing beside it.
#include "cpu_harness.h"

typedef struct copy_case {
  int n0, n1, columns, from, from0, from1, to0, to1, sources, to[3], elements, source_elements;
  bool zero;
} copy_case;

static const copy_case cases[] = {
    // stacked: whole values one after the other
    {3, 5, 7, 0, 35, 7, 35, 7, 3, {0, 105, 210}, 315, 105, false},
    // columns joined
    {1, 6, 5, 0, 0, 5, 0, 15, 3, {0, 5, 10}, 90, 30, false},
    // a prefix dropped: rows 2 … of each of 3 sequences of 6 rows
    {3, 4, 9, 18, 54, 9, 36, 9, 1, {0}, 108, 162, false},
    // padded with zeros in front of each sequence
    {3, 4, 9, 0, 36, 9, 54, 9, 1, {18}, 162, 108, true},
    // one row of each of two
    {2, 1, 20, 20, 60, 20, 20, 20, 1, {0}, 40, 120, false},
    // one long run
    {1, 1, 70001, 3, 0, 0, 0, 0, 1, {5}, 70010, 70010, true},
};

static void test_copies(void **state) {
  (void)state;
  harness h;
  harness_open(&h);
  int64_t source[LENGTH(cases)][3], y[LENGTH(cases)];
  for (size_t i = 0; i < LENGTH(cases); ++i) {
    const copy_case *c = &cases[i];
    char name[32];
    for (int s = 0; s < c->sources; ++s) {
      snprintf(name, sizeof name, "s%zu_%d", i, s);
      source[i][s] = harness_noise(&h, name, 1, c->source_elements, 1);
    }
    y[i] = harness_room(&h, c->elements);
    text_printf(&h.body, "    %%y%zu = \"kernel.copy\"(", i);
    for (int s = 0; s < c->sources; ++s) text_printf(&h.body, "%s%%s%zu_%d", s ? ", " : "", i, s);
    text_printf(
        &h.body,
        ") {n0 = %d : i64, n1 = %d : i64, columns = %d : i64, from = %d : i64, from0 = %d : i64, from1 = %d : i64, ",
        c->n0, c->n1, c->columns, c->from, c->from0, c->from1);
    text_printf(&h.body, "to0 = %d : i64, to1 = %d : i64, zero = %d : i64, to = array<i64: ", c->to0, c->to1, c->zero);
    for (int s = 0; s < c->sources; ++s) text_printf(&h.body, "%s%d", s ? ", " : "", c->to[s]);
    text_printf(&h.body, ">, places = array<i64: 4, %lld>} : (", (long long)y[i] * 4);
    for (int s = 0; s < c->sources; ++s) text_printf(&h.body, "%stensor<1x%dxf32>", s ? ", " : "", c->source_elements);
    text_printf(&h.body, ") -> tensor<1x%dxf32>\n", c->elements);
  }
  int64_t zeros = harness_room(&h, 40001);
  text_printf(&h.body, "    %%z = \"kernel.zero\"() {places = array<i64: 4, %lld>} : () -> tensor<1x40001xf32>\n",
              (long long)zeros * 4);
  harness_run(&h);
  for (size_t n = 0; n < LENGTH(cases); ++n) {
    const copy_case *c = &cases[n];
    float *expected = malloc(sizeof(float) * (size_t)c->elements);
    memcpy(expected, h.memory + y[n], sizeof(float) * (size_t)c->elements);
    if (c->zero) memset(expected, 0, sizeof(float) * (size_t)c->elements);
    for (int s = 0; s < c->sources; ++s)
      for (int i = 0; i < c->n0; ++i)
        for (int j = 0; j < c->n1; ++j)
          for (int k = 0; k < c->columns; ++k)
            expected[c->to[s] + i * c->to0 + j * c->to1 + k] =
                h.memory[source[n][s] + c->from + i * c->from0 + j * c->from1 + k];
    assert_memory_equal(h.after + y[n], expected, sizeof(float) * (size_t)c->elements);
    free(expected);
  }
  for (int i = 0; i < 40001; ++i) assert_true(h.after[zeros + i] == 0);
  harness_close(&h);
}

// A source that lies where it is to go is not moved.
static void test_in_place(void **state) {
  (void)state;
  harness h;
  harness_open(&h);
  int64_t both = harness_room(&h, 40);
  for (int i = 0; i < 40; ++i) h.memory[both + i] = (float)i;
  text_printf(&h.body,
              "    %%s = \"kernel.buffer\"() {space = \"arena\", name = \"s\", places = array<i64: 4, %lld>} : () -> "
              "tensor<2x10xf32>\n"
              "    %%y = \"kernel.copy\"(%%s, %%s) {n0 = 1 : i64, n1 = 2 : i64, columns = 10 : i64, from = 0 : i64, "
              "from0 = 20 : i64, from1 = 10 : "
              "i64, to0 = 40 : i64, to1 = 10 : i64, zero = 0 : i64, to = array<i64: 0, 20>, places = array<i64: 4, "
              "%lld>} : (tensor<2x10xf32>, "
              "tensor<2x10xf32>) -> tensor<4x10xf32>\n",
              (long long)both * 4, (long long)both * 4);
  harness_run(&h);
  for (int i = 0; i < 40; ++i) assert_true(h.after[both + i] == (float)(i % 20));
  harness_close(&h);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_copies), cmocka_unit_test(test_in_place)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
