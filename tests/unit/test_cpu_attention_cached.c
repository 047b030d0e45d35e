// links: codegen
// kernel.attention_cached beside plain loops in double: what it gives, and what it leaves in the cache.
#include "cpu_harness.h"

typedef struct cached_case {
  const char *name;
  int heads, key_heads, size, length, batch, segments, stack, capacity;
  int32_t lengths[3];
  int64_t qkv, lengths_at, out, cache; // cache: bytes
} cached_case;

static int sequences_of(const cached_case *c) { return c->stack * c->segments * c->batch; }
static int columns_of(const cached_case *c) { return (c->heads + 2 * c->key_heads) * c->size; }
static int64_t cache_floats(const cached_case *c) {
  return 2L * sequences_of(c) * c->capacity * c->key_heads * c->size;
}

// The cache as it must be afterwards.
static void reference_store(const cached_case *c, const float *qkv, float *cache) {
  int width = c->key_heads * c->size;
  for (int sequence = 0; sequence < sequences_of(c); ++sequence)
    for (int t = 0; t < c->length; ++t) {
      int position = c->lengths[sequence % c->batch] + t;
      if (position >= c->capacity) continue;
      const float *row = qkv + (int64_t)(sequence * c->length + t) * columns_of(c) + c->heads * c->size;
      float *to = cache + ((int64_t)sequence * c->capacity + position) * width;
      memcpy(to, row, sizeof(float) * (size_t)width);
      memcpy(to + cache_floats(c) / 2, row + width, sizeof(float) * (size_t)width);
    }
}

static void reference_row(const cached_case *c, const float *qkv, const float *cache, int sequence, int t, int head,
                          double *out) {
  int width = c->key_heads * c->size, segment = sequence / c->batch % c->segments, count = 0;
  int last = c->lengths[sequence % c->batch] + t;
  const float *query = qkv + (int64_t)(sequence * c->length + t) * columns_of(c) + head * c->size;
  double *p = malloc(sizeof(double) * (size_t)(c->segments * c->capacity)), largest = -INFINITY, sum = 0;
  int64_t *rows = malloc(sizeof(int64_t) * (size_t)(c->segments * c->capacity));
  for (int s = 0; s <= segment; ++s)
    for (int position = 0; position <= last && position < c->capacity; ++position) {
      int64_t at = ((int64_t)(sequence - (segment - s) * c->batch) * c->capacity + position) * width;
      at += head / (c->heads / c->key_heads) * c->size;
      double score = 0;
      for (int i = 0; i < c->size; ++i) score += (double)query[i] * cache[at + i] / sqrt(c->size);
      rows[count] = at;
      p[count++] = score;
      largest = fmax(largest, score);
    }
  for (int j = 0; j < count; ++j) sum += p[j] = exp(p[j] - largest);
  for (int i = 0; i < c->size; ++i) out[i] = 0;
  for (int j = 0; j < count; ++j)
    for (int i = 0; i < c->size; ++i) out[i] += p[j] / sum * cache[cache_floats(c) / 2 + rows[j] + i];
  free(p);
  free(rows);
}

static void add_cached(harness *h, cached_case *c) {
  int n = ++h->names, rows = sequences_of(c) * c->length, out_columns = c->heads * c->size;
  char name[32];
  snprintf(name, sizeof name, "qkv%d", n);
  c->qkv = harness_noise(h, name, rows, columns_of(c), 2);
  snprintf(name, sizeof name, "lengths%d", n);
  c->lengths_at = harness_indices(h, name, c->batch, 0, c->lengths);
  c->out = harness_room(h, (int64_t)rows * out_columns);
  c->cache = h->space_bytes[SPACE_CACHE];
  h->space_bytes[SPACE_CACHE] += cache_floats(c) * 4;
  text_printf(&h->body,
              "    %%out%d = \"kernel.attention_cached\"(%%qkv%d, %%lengths%d) {heads = %d : i64, key_value_heads = %d "
              ": i64, head_size = %d : "
              "i64, length = %d : i64, batch = %d : i64, segments = %d : i64, scale = %.17e : f64, capacity = %d : "
              "i64, cache = %lld : i64, "
              "places = array<i64: %d, %lld>} : (tensor<%dx%dxf32>, tensor<%dxi32>) -> tensor<%dx%dxf32>\n",
              n, n, n, c->heads, c->key_heads, c->size, c->length, c->batch, c->segments, 1 / sqrt(c->size),
              c->capacity, (long long)c->cache, SPACE_ARENA, (long long)c->out * 4, rows, columns_of(c), c->batch, rows,
              out_columns);
}

static void check_cached(const harness *h, const cached_case *c) {
  float *cache = malloc(sizeof(float) * (size_t)cache_floats(c));
  memcpy(cache, (char *)h->space_before[SPACE_CACHE] + c->cache, sizeof(float) * (size_t)cache_floats(c));
  reference_store(c, h->memory + c->qkv, cache);
  if (memcmp(cache, (char *)h->space_after[SPACE_CACHE] + c->cache, sizeof(float) * (size_t)cache_floats(c)))
    fail_msg("%s: the cache is not as expected", c->name);
  double *out = malloc(sizeof(double) * (size_t)(c->size));
  for (int sequence = 0; sequence < sequences_of(c); ++sequence)
    for (int t = 0; t < c->length; ++t)
      for (int head = 0; head < c->heads; ++head) {
        reference_row(c, h->memory + c->qkv, cache, sequence, t, head, out);
        int64_t row = sequence * c->length + t;
        harness_near(c->name, h->after + c->out + (row * c->heads + head) * c->size, out, c->size, 1e-5);
      }
  free(out);
  free(cache);
}

static cached_case cases[] = {
    {.name = "first token",
     .heads = 6,
     .key_heads = 6,
     .size = 48,
     .length = 1,
     .batch = 1,
     .segments = 1,
     .stack = 1,
     .capacity = 16},
    {.name = "next token",
     .heads = 6,
     .key_heads = 6,
     .size = 48,
     .length = 1,
     .batch = 3,
     .segments = 1,
     .stack = 2,
     .capacity = 300,
     .lengths = {3, 0, 299}},
    {.name = "grouped",
     .heads = 5,
     .key_heads = 1,
     .size = 64,
     .length = 1,
     .batch = 2,
     .segments = 1,
     .stack = 2,
     .capacity = 40,
     .lengths = {17, 39}},
    {.name = "grouped, small heads",
     .heads = 10,
     .key_heads = 2,
     .size = 8,
     .length = 1,
     .batch = 2,
     .segments = 1,
     .stack = 1,
     .capacity = 40,
     .lengths = {17, 9}},
    {.name = "token in segments",
     .heads = 4,
     .key_heads = 2,
     .size = 12,
     .length = 1,
     .batch = 2,
     .segments = 3,
     .stack = 2,
     .capacity = 33,
     .lengths = {5, 32}},
    {.name = "a wide head",
     .heads = 2,
     .key_heads = 1,
     .size = 256,
     .length = 1,
     .batch = 1,
     .segments = 1,
     .stack = 1,
     .capacity = 9,
     .lengths = {4}},
    {.name = "chunk of 16",
     .heads = 6,
     .key_heads = 6,
     .size = 48,
     .length = 16,
     .batch = 3,
     .segments = 1,
     .stack = 2,
     .capacity = 64,
     .lengths = {0, 13, 48}},
    {.name = "chunk in segments",
     .heads = 4,
     .key_heads = 2,
     .size = 12,
     .length = 7,
     .batch = 2,
     .segments = 2,
     .stack = 2,
     .capacity = 40,
     .lengths = {0, 29}},
    {.name = "chunk of several blocks",
     .heads = 2,
     .key_heads = 1,
     .size = 8,
     .length = 200,
     .batch = 1,
     .segments = 1,
     .stack = 1,
     .capacity = 700,
     .lengths = {450}},
    {.name = "full: nothing is written beyond",
     .heads = 2,
     .key_heads = 1,
     .size = 8,
     .length = 16,
     .batch = 2,
     .segments = 1,
     .stack = 1,
     .capacity = 20,
     .lengths = {10, 20}},
    {.name = "full: one more token",
     .heads = 2,
     .key_heads = 1,
     .size = 8,
     .length = 1,
     .batch = 2,
     .segments = 1,
     .stack = 1,
     .capacity = 20,
     .lengths = {20, 25}},
};

static void test_cached(void **state) {
  (void)state;
  harness h;
  harness_open(&h);
  for (size_t i = 0; i < LENGTH(cases); ++i) add_cached(&h, &cases[i]);
  float *cache = malloc((size_t)h.space_bytes[SPACE_CACHE]);
  for (int64_t i = 0; i < h.space_bytes[SPACE_CACHE] / 4; ++i) cache[i] = (float)harness_random(&h);
  h.space_before[SPACE_CACHE] = cache;
  harness_run(&h);
  for (size_t i = 0; i < LENGTH(cases); ++i) check_cached(&h, &cases[i]);
  free(cache);
  harness_close(&h);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_cached)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
