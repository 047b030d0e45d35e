// links: codegen
// kernel.cross_entropy beside loops in double and finite differences; kernel.gradient_norm and kernel.adamw beside
// torch's formulas.
#include "cpu_harness.h"

typedef struct loss_case {
  const char *name;
  int rows, columns, vocabulary, chunk;
  double smoothing, scale;
  bool dhidden, dweight, accumulate;
  int64_t hidden, weight, labels, loss, right, dhidden_at, dweight_at;
} loss_case;

static loss_case losses[] = {
    {.name = "one row",
     .rows = 1,
     .columns = 8,
     .vocabulary = 5,
     .chunk = 4,
     .scale = 1,
     .dhidden = true,
     .dweight = true},
    {.name = "evaluation", .rows = 130, .columns = 48, .vocabulary = 1000, .chunk = 64, .scale = 1.0 / 130},
    {.name = "whole chunks",
     .rows = 128,
     .columns = 48,
     .vocabulary = 1003,
     .chunk = 32,
     .scale = 0.01,
     .dhidden = true,
     .dweight = true},
    {.name = "a rest, smoothed",
     .rows = 70,
     .columns = 12,
     .vocabulary = 301,
     .chunk = 32,
     .smoothing = 0.1,
     .scale = 0.5,
     .dhidden = true,
     .dweight = true,
     .accumulate = true},
    {.name = "frozen head", .rows = 33, .columns = 37, .vocabulary = 70, .chunk = 64, .scale = 0.1, .dhidden = true},
    {.name = "frozen body",
     .rows = 33,
     .columns = 37,
     .vocabulary = 2,
     .chunk = 8,
     .smoothing = 0.2,
     .scale = 0.1,
     .dweight = true},
};

static void add_labels(harness *h, const char *name, loss_case *c) {
  int32_t *labels = malloc(sizeof(int32_t) * (size_t)c->rows);
  for (int i = 0; i < c->rows; ++i)
    labels[i] = i % 7 == 3 ? -100 : (int32_t)((harness_random(h) + 1) / 2 * c->vocabulary);
  c->labels = harness_indices(h, name, c->rows, 0, labels);
  free(labels);
}

static void add_result(text *names, text *types, text *places, const char *name, int n, int64_t at, int64_t rows,
                       int64_t columns) {
  char type[64];
  text_printf(names, "%s%%%s%d", names->length ? ", " : "", name, n);
  text_printf(types, "%s%s", types->length ? ", " : "", harness_type(type, rows, columns, "f32"));
  text_printf(places, "%s%d, %lld", places->length ? ", " : "", SPACE_ARENA, (long long)at * 4);
}

static void add_loss(harness *h, loss_case *c) {
  int n = ++h->names;
  char name[24], accumulate[32] = "", accumulate_type[48] = "";
  text names = {0}, types = {0}, places = {0};
  snprintf(name, sizeof name, "hidden%d", n);
  c->hidden = harness_noise(h, name, c->rows, c->columns, 2);
  snprintf(name, sizeof name, "weight%d", n);
  c->weight = harness_noise(h, name, c->vocabulary, c->columns, 2);
  snprintf(name, sizeof name, "labels%d", n);
  add_labels(h, name, c);
  snprintf(name, sizeof name, "scale%d", n);
  h->memory[harness_input(h, name, 1, 0, "f32")] = (float)c->scale;
  if (c->accumulate) {
    snprintf(name, sizeof name, "before%d", n);
    c->dweight_at = harness_noise(h, name, c->vocabulary, c->columns, 1);
    snprintf(accumulate, sizeof accumulate, ", %%%s", name);
    snprintf(accumulate_type, sizeof accumulate_type, ", tensor<%dx%dxf32>", c->vocabulary, c->columns);
  } else if (c->dweight) {
    c->dweight_at = harness_room(h, (int64_t)c->vocabulary * c->columns);
  }
  c->loss = harness_room(h, 1);
  c->right = harness_room(h, 1);
  add_result(&names, &types, &places, "loss", n, c->loss, 1, 0);
  add_result(&names, &types, &places, "right", n, c->right, 1, 0);
  add_result(&names, &types, &places, "logits", n, harness_room(h, (int64_t)c->chunk * c->vocabulary), c->chunk,
             c->vocabulary);
  add_result(&names, &types, &places, "losses", n, harness_room(h, c->rows), c->rows, 0);
  add_result(&names, &types, &places, "hits", n, harness_room(h, c->rows), c->rows, 0);
  if (c->dhidden) {
    c->dhidden_at = harness_room(h, (int64_t)c->rows * c->columns);
    add_result(&names, &types, &places, "dhidden", n, c->dhidden_at, c->rows, c->columns);
  }
  if (c->dweight) add_result(&names, &types, &places, "dweight", n, c->dweight_at, c->vocabulary, c->columns);
  text_printf(&h->body,
              "    %s = \"kernel.cross_entropy\"(%%hidden%d, %%weight%d, %%labels%d, %%scale%d%s) {smoothing = %.17e : "
              "f64, chunk = %d : i64, "
              "resultSegmentSizes = array<i32: 1, 1, 1, 1, 1, %d, %d>, places = array<i64: %s>} : (tensor<%dx%dxf32>, "
              "tensor<%dx%dxf32>, "
              "tensor<%dxi32>, tensor<1xf32>%s) -> (%s)\n",
              names.data, n, n, n, n, accumulate, c->smoothing, c->chunk, c->dhidden, c->dweight, places.data, c->rows,
              c->columns, c->vocabulary, c->columns, c->rows, accumulate_type, types.data);
  text_free(&names);
  text_free(&types);
  text_free(&places);
}

typedef struct expected_loss {
  double loss, right, *dhidden, *dweight;
} expected_loss;

// The loss of hidden states `hidden` and, where `gradient`, its gradients.
static expected_loss reference_loss(const harness *h, const loss_case *c, const double *hidden, bool gradient) {
  expected_loss r = {0, 0, calloc((size_t)(c->rows * c->columns), sizeof(double)),
                     calloc((size_t)(c->vocabulary * c->columns), sizeof(double))};
  const float *weight = h->memory + c->weight;
  const int32_t *labels = (const int32_t *)(h->memory + c->labels);
  double *p = malloc(sizeof(double) * (size_t)c->vocabulary), scale = (float)c->scale;
  for (int64_t i = 0; c->accumulate && i < (int64_t)c->vocabulary * c->columns; ++i)
    r.dweight[i] = h->memory[c->dweight_at + i];
  for (int row = 0; row < c->rows; ++row) {
    if (labels[row] < 0) continue;
    double largest = -INFINITY, sum = 0, mean = 0;
    int best = 0;
    for (int j = 0; j < c->vocabulary; ++j) {
      p[j] = 0;
      for (int d = 0; d < c->columns; ++d) p[j] += hidden[row * c->columns + d] * weight[j * c->columns + d];
      if (p[j] > largest) largest = p[best = j];
      mean += p[j] / c->vocabulary;
    }
    for (int j = 0; j < c->vocabulary; ++j) sum += exp(p[j] - largest);
    double log_sum = largest + log(sum);
    r.loss += scale * ((1 - c->smoothing) * (log_sum - p[labels[row]]) + c->smoothing * (log_sum - mean));
    r.right += best == labels[row];
    for (int j = 0; gradient && j < c->vocabulary; ++j) {
      double g = scale * (exp(p[j] - log_sum) - (1 - c->smoothing) * (j == labels[row]) - c->smoothing / c->vocabulary);
      for (int d = 0; d < c->columns; ++d) {
        r.dhidden[row * c->columns + d] += g * weight[j * c->columns + d];
        r.dweight[j * c->columns + d] += g * hidden[row * c->columns + d];
      }
    }
  }
  free(p);
  return r;
}

static void free_expected(expected_loss r) {
  free(r.dhidden);
  free(r.dweight);
}

// The kernel's gradient against the slope of the reference's loss, at a few elements.
static void check_differences(const harness *h, const loss_case *c, double *hidden) {
  double largest = 0;
  for (int i = 0; i < c->rows * c->columns; ++i) largest = fmax(largest, fabs((double)h->after[c->dhidden_at + i]));
  for (int i = 0; i < c->rows * c->columns; i += 1 + c->rows * c->columns / 11) {
    double step = 1e-4, at = hidden[i];
    hidden[i] = at + step;
    expected_loss above = reference_loss(h, c, hidden, false);
    hidden[i] = at - step;
    expected_loss below = reference_loss(h, c, hidden, false);
    hidden[i] = at;
    double slope = (above.loss - below.loss) / (2 * step);
    free_expected(above);
    free_expected(below);
    if (!(fabs(slope - h->after[c->dhidden_at + i]) <= 1e-4 * largest))
      fail_msg("%s: dhidden %d is no slope", c->name, i);
  }
}

static void check_loss(const harness *h, const loss_case *c) {
  double *hidden = malloc(sizeof(double) * (size_t)(c->rows * c->columns));
  for (int i = 0; i < c->rows * c->columns; ++i) hidden[i] = h->memory[c->hidden + i];
  expected_loss r = reference_loss(h, c, hidden, true);
  char what[100];
  snprintf(what, sizeof what, "%s: loss", c->name);
  harness_near(what, h->after + c->loss, &r.loss, 1, 1e-6);
  snprintf(what, sizeof what, "%s: right", c->name);
  harness_near(what, h->after + c->right, &r.right, 1, 0);
  snprintf(what, sizeof what, "%s: dhidden", c->name);
  if (c->dhidden) harness_near(what, h->after + c->dhidden_at, r.dhidden, (int64_t)c->rows * c->columns, 1e-5);
  snprintf(what, sizeof what, "%s: dweight", c->name);
  if (c->dweight) harness_near(what, h->after + c->dweight_at, r.dweight, (int64_t)c->vocabulary * c->columns, 1e-5);
  if (c->dhidden) check_differences(h, c, hidden);
  free_expected(r);
  free(hidden);
}

static void test_cross_entropy(void **state) {
  (void)state;
  harness h;
  harness_open(&h);
  for (size_t i = 0; i < LENGTH(losses); ++i) add_loss(&h, &losses[i]);
  harness_run(&h);
  for (size_t i = 0; i < LENGTH(losses); ++i) check_loss(&h, &losses[i]);
  harness_close(&h);
}

// Equal largest logits: the first of them is what the model says. A row that does not count is never right, its
// gradient zero.
static void test_ties(void **state) {
  (void)state;
  harness h;
  harness_open(&h);
  loss_case c = {.name = "ties",
                 .rows = 4,
                 .columns = 2,
                 .vocabulary = 40,
                 .chunk = 4,
                 .scale = 1,
                 .dhidden = true,
                 .dweight = true};
  add_loss(&h, &c);
  const int32_t labels[] = {3, 20, -1, 40};
  memcpy(h.memory + c.labels, labels, sizeof labels);
  for (int i = 0; i < c.rows * c.columns; ++i) h.memory[c.hidden + i] = 1;
  for (int j = 0; j < c.vocabulary; ++j)
    h.memory[c.weight + 2 * j] = j == 3 || j == 20 ? 5 : 1, h.memory[c.weight + 2 * j + 1] = 0;
  harness_run(&h);
  assert_float_equal(h.after[c.right], 1, 0);
  for (int i = 4; i < 8; ++i) assert_float_equal(h.after[c.dhidden_at + i], 0, 0);
  harness_close(&h);
}

// ---- the optimizer

enum { PARAMETERS = 4 };
static const int64_t sizes[PARAMETERS] = {20000, 7, 50000, 16384}; // the third is frozen
static const bool matrices[PARAMETERS] = {true, false, true, true};

typedef struct optimizer_test {
  harness h;
  plan_parameter parameters[PARAMETERS];
  plan_trained trained[PARAMETERS];
  plan_phase phase;
  int64_t scalars, norm;
} optimizer_test;

static void fill_space(harness *h, plan_space space, int64_t bytes, double size, bool positive) {
  h->space_bytes[space] = bytes;
  h->space_before[space] = malloc((size_t)bytes);
  for (int64_t i = 0; i < bytes / 4; ++i) {
    double x = size * harness_random(h);
    h->space_before[space][i] = (float)(positive ? fabs(x) : x);
  }
}

static void open_optimizer(optimizer_test *t, bool decay_all, const float *scalars) {
  harness *h = &t->h;
  harness_open(h);
  int64_t offset = 0, gradient = 0;
  t->phase = (plan_phase){.name = "train", .trained = t->trained, .decay_all = decay_all};
  for (int i = 0; i < PARAMETERS; ++i) {
    t->parameters[i] = (plan_parameter){.name = "p", .offset = offset, .elements = sizes[i], .matrix = matrices[i]};
    offset += (sizes[i] * 4 + 63) / 64 * 64;
    if (i == 2) continue;
    t->trained[t->phase.trained_count++] = (plan_trained){i, gradient};
    gradient += (sizes[i] * 4 + 63) / 64 * 64;
  }
  t->phase.gradient_bytes = gradient;
  h->plan = (plan){.parameters = t->parameters, .parameter_count = PARAMETERS, .phases = &t->phase, .phase_count = 1};
  fill_space(h, SPACE_PARAMETER, offset, 1, false);
  fill_space(h, SPACE_GRADIENT, gradient, 1e-2, false);
  fill_space(h, SPACE_MOMENT1, gradient, 1e-2, false);
  fill_space(h, SPACE_MOMENT2, gradient, 1e-4, true);
  t->scalars = harness_input(h, "scalars", 8, 0, "f32");
  memcpy(h->memory + t->scalars, scalars, 8 * sizeof(float));
  t->norm = harness_room(h, 1);
  text_printf(&h->body,
              "    %%norm, %%partial = \"kernel.gradient_norm\"() {phase = 0 : i64, bytes = %lld : i64, places = "
              "array<i64: %d, %lld, %d, %lld>} : () -> "
              "(tensor<1xf32>, tensor<13xf32>)\n"
              "    \"kernel.adamw\"(%%scalars, %%norm) {phase = 0 : i64} : (tensor<8xf32>, tensor<1xf32>) -> ()\n",
              (long long)gradient, SPACE_ARENA, (long long)t->norm * 4, SPACE_ARENA,
              (long long)harness_room(h, 13) * 4);
  harness_run(h);
}

static void check_parameter(const optimizer_test *t, const plan_trained *trained, const float *s, double factor) {
  const harness *h = &t->h;
  const plan_parameter *p = &t->parameters[trained->parameter];
  double *expected[3]; // parameter, moments
  for (int i = 0; i < 3; ++i) expected[i] = malloc(sizeof(double) * (size_t)p->elements);
  for (int64_t i = 0; i < p->elements; ++i) {
    int64_t at = trained->offset / 4 + i;
    double g = h->space_before[SPACE_GRADIENT][at] * factor, w = h->space_before[SPACE_PARAMETER][p->offset / 4 + i];
    double m = s[1] * (double)h->space_before[SPACE_MOMENT1][at] + (1 - s[1]) * g;
    double v = s[2] * (double)h->space_before[SPACE_MOMENT2][at] + (1 - s[2]) * g * g;
    if (p->matrix || t->phase.decay_all) w *= 1 - s[0] * s[4];
    expected[0][i] = w - s[0] / s[5] * m / (sqrt(v) / sqrt(s[6]) + s[3]);
    expected[1][i] = m;
    expected[2][i] = v;
  }
  harness_near("parameter", h->space_after[SPACE_PARAMETER] + p->offset / 4, expected[0], p->elements, 2e-7);
  harness_near("moment 1", h->space_after[SPACE_MOMENT1] + trained->offset / 4, expected[1], p->elements, 3e-7);
  harness_near("moment 2", h->space_after[SPACE_MOMENT2] + trained->offset / 4, expected[2], p->elements, 3e-7);
  for (int i = 0; i < 3; ++i) free(expected[i]);
}

static void check_optimizer(bool decay_all, double clip) {
  const float scalars[8] = {1e-2f, 0.9f, 0.999f, 1e-8f, 0.1f, 0.271f, 0.003f, (float)clip};
  optimizer_test t = {0};
  open_optimizer(&t, decay_all, scalars);
  double sum = 0;
  for (int64_t i = 0; i < t.phase.gradient_bytes / 4; ++i) sum += pow(t.h.space_before[SPACE_GRADIENT][i], 2);
  double norm = sqrt(sum), factor = clip > 0 && clip < norm ? clip / (norm + 1e-6) : 1;
  harness_near("norm", t.h.after + t.norm, &norm, 1, 1e-6);
  for (int i = 0; i < t.phase.trained_count; ++i) check_parameter(&t, &t.trained[i], scalars, factor);
  const plan_parameter *frozen = &t.parameters[2];
  assert_memory_equal(t.h.space_before[SPACE_PARAMETER] + frozen->offset / 4,
                      t.h.space_after[SPACE_PARAMETER] + frozen->offset / 4, (size_t)frozen->elements * 4);
  for (int s = 0; s < SPACE_COUNT; ++s) free(t.h.space_before[s]);
  harness_close(&t.h);
}

static void test_adamw(void **state) {
  (void)state;
  check_optimizer(false, 0);
  check_optimizer(true, 0.5);
  check_optimizer(false, 1e6);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_cross_entropy), cmocka_unit_test(test_ties),
                                     cmocka_unit_test(test_adamw)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
