// links: codegen
// kernel.attention and its gradient beside plain loops in double.
#include "cpu_harness.h"

typedef struct attention_case {
  const char *name;
  int heads, key_heads, size, length, batch, segments, stack;
  bool starts;
  int64_t qkv, starts_at, out, lse, dout, dqkv;
} attention_case;

typedef struct reference {
  double *out, *lse, *dqkv;
} reference;

static int64_t rows_of(const attention_case *c) { return (int64_t)c->stack * c->segments * c->batch * c->length; }
static int columns_of(const attention_case *c) { return (c->heads + 2 * c->key_heads) * c->size; }
static double scale_of(const attention_case *c) { return 1 / sqrt(c->size); }

// The gradient of one query, p its probabilities over the `keys` it sees, whose rows are key_rows.
static void reference_query_grad(const attention_case *c, const float *qkv, const float *dout, int64_t row, int head,
                                 const double *p, const int64_t *key_rows, int keys, const double *out, double *dqkv) {
  int width = columns_of(c), group = head / (c->heads / c->key_heads);
  int q = head * c->size, k = (c->heads + group) * c->size, v = k + c->key_heads * c->size;
  const float *d = dout + row * c->heads * c->size + head * c->size;
  double delta = 0;
  for (int i = 0; i < c->size; ++i) delta += d[i] * out[row * c->heads * c->size + head * c->size + i];
  for (int j = 0; j < keys; ++j) {
    double dp = 0;
    for (int i = 0; i < c->size; ++i) dp += d[i] * qkv[key_rows[j] * width + v + i];
    double ds = p[j] * (dp - delta) * scale_of(c);
    for (int i = 0; i < c->size; ++i) {
      dqkv[key_rows[j] * width + v + i] += p[j] * d[i];
      dqkv[row * width + q + i] += ds * qkv[key_rows[j] * width + k + i];
      dqkv[key_rows[j] * width + k + i] += ds * qkv[row * width + q + i];
    }
  }
}

static void reference_query(const attention_case *c, const float *qkv, const int32_t *starts, const float *dout,
                            int64_t row, int head, reference *r) {
  int width = columns_of(c), t = (int)(row % c->length), b = (int)(row / c->length % c->batch);
  int segment = (int)(row / c->length / c->batch % c->segments), keys = 0;
  int group = head / (c->heads / c->key_heads), k = (c->heads + group) * c->size, v = k + c->key_heads * c->size;
  double *p = malloc(sizeof(double) * (size_t)(c->segments * c->length)), largest = -INFINITY, sum = 0;
  int64_t *key_rows = malloc(sizeof(int64_t) * (size_t)(c->segments * c->length));
  for (int s = 0; s <= segment; ++s)
    for (int at = starts ? starts[b * c->length + t] : 0; at <= t; ++at) {
      int64_t key = row - t - (int64_t)(segment - s) * c->batch * c->length + at;
      double score = 0;
      for (int i = 0; i < c->size; ++i)
        score += (double)qkv[row * width + head * c->size + i] * qkv[key * width + k + i];
      key_rows[keys] = key;
      p[keys++] = score * scale_of(c);
      largest = fmax(largest, score * scale_of(c));
    }
  for (int j = 0; j < keys; ++j) sum += p[j] = exp(p[j] - largest);
  double *out = r->out + row * c->heads * c->size + head * c->size;
  for (int j = 0; j < keys; ++j) {
    p[j] /= sum;
    for (int i = 0; i < c->size; ++i) out[i] += p[j] * qkv[key_rows[j] * width + v + i];
  }
  r->lse[row * c->heads + head] = largest + log(sum);
  reference_query_grad(c, qkv, dout, row, head, p, key_rows, keys, r->out, r->dqkv);
  free(p);
  free(key_rows);
}

static reference reference_attention(const attention_case *c, const float *qkv, const int32_t *starts,
                                     const float *dout) {
  size_t rows = (size_t)rows_of(c);
  reference r = {calloc(rows * (size_t)(c->heads * c->size), sizeof(double)),
                 calloc(rows * (size_t)c->heads, sizeof(double)), calloc(rows * (size_t)columns_of(c), sizeof(double))};
  for (int64_t row = 0; row < rows_of(c); ++row)
    for (int head = 0; head < c->heads; ++head) reference_query(c, qkv, starts, dout, row, head, &r);
  return r;
}

static void add_starts(harness *h, attention_case *c) {
  char name[32];
  snprintf(name, sizeof name, "starts%d", h->names);
  int32_t *starts = malloc(sizeof(int32_t) * (size_t)(c->batch * c->length));
  for (int b = 0; b < c->batch; ++b) { // sequences of random lengths, one after the other
    int first = 0;
    for (int t = 0; t < c->length; ++t) {
      if (harness_random(h) > 0.9) first = t;
      starts[b * c->length + t] = first;
    }
  }
  c->starts_at = harness_indices(h, name, c->batch, c->length, starts);
  free(starts);
}

static void add_attention(harness *h, attention_case *c, bool gradient) {
  int n = ++h->names, width = columns_of(c), out_columns = c->heads * c->size;
  long long rows = (long long)rows_of(c);
  char name[32], attributes[400], starts[64] = "", starts_type[64] = "";
  snprintf(name, sizeof name, "qkv%d", n);
  c->qkv = harness_noise(h, name, rows, width, 2);
  snprintf(name, sizeof name, "dout%d", n);
  c->dout = harness_noise(h, name, rows, out_columns, 1);
  if (c->starts) {
    add_starts(h, c);
    snprintf(starts, sizeof starts, ", %%starts%d", n);
    snprintf(starts_type, sizeof starts_type, ", tensor<%dx%dxi32>", c->batch, c->length);
  }
  c->out = harness_room(h, rows * out_columns);
  c->lse = harness_room(h, rows * c->heads);
  c->dqkv = harness_room(h, rows * width);
  snprintf(attributes, sizeof attributes,
           "heads = %d : i64, key_value_heads = %d : i64, head_size = %d : i64, length = %d : i64, batch = %d : i64, "
           "segments = %d : i64, "
           "scale = %.17e : f64",
           c->heads, c->key_heads, c->size, c->length, c->batch, c->segments, scale_of(c));
  text_printf(&h->body,
              "    %%out%d, %%lse%d = \"kernel.attention\"(%%qkv%d%s) {%s, places = array<i64: %d, %lld, %d, %lld>} : "
              "(tensor<%lldx%dxf32>%s) "
              "-> (tensor<%lldx%dxf32>, tensor<%lldx%dxf32>)\n",
              n, n, n, starts, attributes, SPACE_ARENA, (long long)c->out * 4, SPACE_ARENA, (long long)c->lse * 4, rows,
              width, starts_type, rows, out_columns, rows, c->heads);
  if (!gradient) return;
  text_printf(
      &h->body,
      "    %%dqkv%d = \"kernel.attention_grad\"(%%qkv%d, %%out%d, %%lse%d, %%dout%d%s) {%s, places = array<i64: %d, "
      "%lld>} : "
      "(tensor<%lldx%dxf32>, tensor<%lldx%dxf32>, tensor<%lldx%dxf32>, tensor<%lldx%dxf32>%s) -> tensor<%lldx%dxf32>\n",
      n, n, n, n, n, starts, attributes, SPACE_ARENA, (long long)c->dqkv * 4, rows, width, rows, out_columns, rows,
      c->heads, rows, out_columns, starts_type, rows, width);
}

static void check_attention(const harness *h, const attention_case *c, bool gradient) {
  const int32_t *starts = c->starts ? (const int32_t *)(h->memory + c->starts_at) : NULL;
  reference r = reference_attention(c, h->memory + c->qkv, starts, h->memory + c->dout);
  char what[100];
  snprintf(what, sizeof what, "%s: out", c->name);
  harness_near(what, h->after + c->out, r.out, rows_of(c) * c->heads * c->size, 3e-6);
  snprintf(what, sizeof what, "%s: lse", c->name);
  harness_near(what, h->after + c->lse, r.lse, rows_of(c) * c->heads, 1e-6);
  snprintf(what, sizeof what, "%s: dqkv", c->name);
  if (gradient) harness_near(what, h->after + c->dqkv, r.dqkv, rows_of(c) * columns_of(c), 1e-5);
  free(r.out);
  free(r.lse);
  free(r.dqkv);
}

// Few different kernels: compiling them is most of the test's time.
static attention_case cases[] = {
    {.name = "one token", .heads = 5, .key_heads = 1, .size = 8, .length = 1, .batch = 1, .segments = 1, .stack = 1},
    {.name = "three segments",
     .heads = 5,
     .key_heads = 1,
     .size = 8,
     .length = 7,
     .batch = 2,
     .segments = 3,
     .stack = 1},
    {.name = "many blocks",
     .heads = 5,
     .key_heads = 1,
     .size = 8,
     .length = 500,
     .batch = 1,
     .segments = 2,
     .stack = 1},
    {.name = "7 tokens", .heads = 4, .key_heads = 2, .size = 12, .length = 7, .batch = 3, .segments = 1, .stack = 2},
    {.name = "two segments",
     .heads = 4,
     .key_heads = 2,
     .size = 12,
     .length = 70,
     .batch = 3,
     .segments = 2,
     .stack = 2},
    {.name = "130 tokens",
     .heads = 6,
     .key_heads = 6,
     .size = 48,
     .length = 130,
     .batch = 1,
     .segments = 1,
     .stack = 2},
    {.name = "whole blocks",
     .heads = 2,
     .key_heads = 1,
     .size = 64,
     .length = 192,
     .batch = 1,
     .segments = 1,
     .stack = 1},
    {.name = "a wide head",
     .heads = 1,
     .key_heads = 1,
     .size = 256,
     .length = 9,
     .batch = 1,
     .segments = 1,
     .stack = 1},
    {.name = "an odd head", .heads = 3, .key_heads = 3, .size = 7, .length = 66, .batch = 1, .segments = 1, .stack = 1},
    {.name = "packed",
     .heads = 5,
     .key_heads = 1,
     .size = 8,
     .length = 130,
     .batch = 3,
     .segments = 1,
     .stack = 1,
     .starts = true},
    {.name = "packed, many blocks",
     .heads = 5,
     .key_heads = 1,
     .size = 8,
     .length = 500,
     .batch = 1,
     .segments = 1,
     .stack = 1,
     .starts = true},
    {.name = "packed segments",
     .heads = 4,
     .key_heads = 2,
     .size = 12,
     .length = 67,
     .batch = 2,
     .segments = 3,
     .stack = 2,
     .starts = true},
};

// Σ dout · out of the reference, whose slope along an input is that input's gradient.
static double reference_objective(const attention_case *c, const float *qkv, const int32_t *starts, const float *dout) {
  reference r = reference_attention(c, qkv, starts, dout);
  double sum = 0;
  for (int64_t i = 0; i < rows_of(c) * c->heads * c->size; ++i) sum += r.out[i] * dout[i];
  free(r.out);
  free(r.lse);
  free(r.dqkv);
  return sum;
}

static void check_differences(const harness *h, const attention_case *c) {
  const int32_t *starts = c->starts ? (const int32_t *)(h->memory + c->starts_at) : NULL;
  float *qkv = h->memory + c->qkv, *dout = h->memory + c->dout;
  int64_t count = rows_of(c) * columns_of(c);
  double largest = 0;
  for (int64_t i = 0; i < count; ++i) largest = fmax(largest, fabs((double)h->after[c->dqkv + i]));
  for (int64_t i = 0; i < count; i += 1 + count / 23) {
    float at = qkv[i], step = 1.0f / 256;
    qkv[i] = at + step;
    double above = reference_objective(c, qkv, starts, dout), width = (double)qkv[i];
    qkv[i] = at - step;
    double slope = (above - reference_objective(c, qkv, starts, dout)) / (width - (double)qkv[i]);
    qkv[i] = at;
    if (!(fabs(slope - h->after[c->dqkv + i]) <= 1e-3 * largest))
      fail_msg("%s: dqkv %lld is no slope", c->name, (long long)i);
  }
}

static void test_attention(void **state) {
  (void)state;
  bool gradient = true;
  harness h;
  harness_open(&h);
  for (size_t i = 0; i < LENGTH(cases); ++i) add_attention(&h, &cases[i], gradient);
  harness_run(&h);
  for (size_t i = 0; i < LENGTH(cases); ++i) {
    check_attention(&h, &cases[i], gradient);
    if (rows_of(&cases[i]) < 100) check_differences(&h, &cases[i]);
  }
  harness_close(&h);
}

// Scores of hundreds: the maximum must be taken away before the exponential, over all key blocks.
static void test_large_scores(void **state) {
  (void)state;
  harness h;
  harness_open(&h);
  attention_case c = {.name = "large scores",
                      .heads = 1,
                      .key_heads = 1,
                      .size = 8,
                      .length = 400,
                      .batch = 1,
                      .segments = 1,
                      .stack = 1};
  add_attention(&h, &c, false);
  for (int64_t i = 0; i < rows_of(&c) * columns_of(&c); ++i) h.memory[c.qkv + i] *= i % 24 < 16 ? 10 : 1;
  harness_run(&h);
  reference r = reference_attention(&c, h.memory + c.qkv, NULL, h.memory + c.dout);
  harness_near("out", h.after + c.out, r.out, rows_of(&c) * c.size, 1e-3);
  free(r.out);
  free(r.lse);
  free(r.dqkv);
  harness_close(&h);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_attention), cmocka_unit_test(test_large_scores)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
