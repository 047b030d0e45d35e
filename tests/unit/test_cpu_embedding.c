// links: codegen
// kernel.rope, embed, embed_grad, prefix_grad, select and select_grad beside plain loops.
#include "cpu_harness.h"

static void place_of(char *room, int64_t at) {
  sprintf(room, "places = array<i64: %d, %lld>", SPACE_ARENA, (long long)at * 4);
}

// ---- rope

typedef struct rope_case {
  const char *name;
  int heads, size, columns, length, batch, stack, table_rows;
  bool inverse, in_place, lengths;
  int32_t positions[3];
  int64_t x, table, y;
} rope_case;

static rope_case ropes[] = {
    {.name = "one row", .heads = 1, .size = 8, .columns = 8, .length = 1, .batch = 1, .stack = 1, .table_rows = 1},
    {.name = "packed rows",
     .heads = 7,
     .size = 48,
     .columns = 10 * 48,
     .length = 9,
     .batch = 3,
     .stack = 2,
     .table_rows = 16},
    {.name = "turned back",
     .heads = 3,
     .size = 12,
     .columns = 48,
     .length = 130,
     .batch = 1,
     .stack = 2,
     .table_rows = 130,
     .inverse = true},
    {.name = "in place",
     .heads = 3,
     .size = 64,
     .columns = 5 * 64,
     .length = 7,
     .batch = 3,
     .stack = 1,
     .table_rows = 7,
     .in_place = true},
    {.name = "over a cache",
     .heads = 2,
     .size = 12,
     .columns = 48,
     .length = 2,
     .batch = 3,
     .stack = 2,
     .table_rows = 20,
     .lengths = true,
     .positions = {0, 7, 18}},
    {.name = "turned back in place, over a cache",
     .heads = 2,
     .size = 14,
     .columns = 28,
     .length = 2,
     .batch = 3,
     .stack = 1,
     .table_rows = 20,
     .inverse = true,
     .in_place = true,
     .lengths = true,
     .positions = {5, 7, 0}},
    {.name = "beyond the table",
     .heads = 1,
     .size = 8,
     .columns = 8,
     .length = 3,
     .batch = 1,
     .stack = 1,
     .table_rows = 4,
     .lengths = true,
     .positions = {3}},
};

static void add_rope(harness *h, rope_case *c) {
  int n = ++h->names, rows = c->length * c->batch * c->stack;
  char name[24], place[64], lengths[32] = "", lengths_type[32] = "";
  snprintf(name, sizeof name, "x%d", n);
  c->x = harness_noise(h, name, rows, c->columns, 1);
  snprintf(name, sizeof name, "table%d", n);
  c->table = harness_noise(h, name, c->table_rows, c->size, 1);
  if (c->lengths) {
    snprintf(name, sizeof name, "lengths%d", n);
    harness_indices(h, name, c->batch, 0, c->positions);
    snprintf(lengths, sizeof lengths, ", %%%s", name);
    snprintf(lengths_type, sizeof lengths_type, ", tensor<%dxi32>", c->batch);
  }
  c->y = c->in_place ? c->x : harness_room(h, (int64_t)rows * c->columns);
  place_of(place, c->y);
  text_printf(&h->body,
              "    %%y%d = \"kernel.rope\"(%%x%d, %%table%d%s) {heads = %d : i64, head_size = %d : i64, length = %d : "
              "i64, inverse = %d : i64, %s} : "
              "(tensor<%dx%dxf32>, tensor<%dx%dxf32>%s) -> tensor<%dx%dxf32>\n",
              n, n, n, lengths, c->heads, c->size, c->length, c->inverse, place, rows, c->columns, c->table_rows,
              c->size, lengths_type, rows, c->columns);
}

static void check_rope(const harness *h, const rope_case *c) {
  int rows = c->length * c->batch * c->stack, half = c->size / 2;
  double *expected = malloc(sizeof(double) * (size_t)(rows * c->columns));
  for (int row = 0; row < rows; ++row) {
    int position = row % c->length + (c->lengths ? c->positions[row / c->length % c->batch] : 0);
    if (position >= c->table_rows) position = c->table_rows - 1;
    const float *angles = h->memory + c->table + (int64_t)position * c->size,
                *x = h->memory + c->x + (int64_t)row * c->columns;
    for (int column = 0; column < c->columns; ++column) {
      int in_head = column % c->size, i = in_head % half;
      double cosine = angles[i], sine = c->inverse ? -angles[half + i] : angles[half + i], value = x[column];
      if (column < c->heads * c->size)
        value = in_head < half ? value * cosine - x[column + half] * sine : value * cosine + x[column - half] * sine;
      expected[row * c->columns + column] = value;
    }
  }
  harness_near(c->name, h->after + c->y, expected, (int64_t)rows * c->columns, 1e-6);
  free(expected);
}

static void test_rope(void **state) {
  (void)state;
  harness h;
  harness_open(&h);
  for (size_t i = 0; i < LENGTH(ropes); ++i) add_rope(&h, &ropes[i]);
  harness_run(&h);
  for (size_t i = 0; i < LENGTH(ropes); ++i) check_rope(&h, &ropes[i]);
  harness_close(&h);
}

// ---- embed

typedef struct embed_case {
  const char *name;
  int columns, vocabulary, batch, length, prefix;
  bool positions, accumulate;
  int64_t ids, table, positions_at, position_table, prefix_at, hidden, dy, dtable, dprefix, before;
} embed_case;

static embed_case embeds[] = {
    {.name = "tokens", .columns = 288, .vocabulary = 50, .batch = 3, .length = 7},
    {.name = "with positions", .columns = 37, .vocabulary = 11, .batch = 2, .length = 130, .positions = true},
    {.name = "with a prefix",
     .columns = 48,
     .vocabulary = 3000,
     .batch = 3,
     .length = 5,
     .prefix = 4,
     .accumulate = true},
    {.name = "all at once", .columns = 12, .vocabulary = 9, .batch = 1, .length = 6, .prefix = 2, .positions = true},
    {.name = "the prefix alone", .columns = 20, .vocabulary = 1, .batch = 2, .length = 0, .prefix = 3},
};

static int64_t rows_of(const embed_case *c) { return (int64_t)c->batch * (c->prefix + c->length); }

static int64_t add_ids(harness *h, const char *name, const embed_case *c, int limit) {
  int32_t *ids = malloc(sizeof(int32_t) * (size_t)(c->batch * c->length));
  for (int i = 0; i < c->batch * c->length; ++i) ids[i] = (int32_t)((harness_random(h) + 1) / 2 * limit);
  if (limit == c->vocabulary && c->batch * c->length > 4) ids[1] = -5, ids[4] = 1 << 30; // must not crash
  int64_t at = harness_indices(h, name, c->batch, c->length, ids);
  free(ids);
  return at;
}

static void add_operand(text *names, text *types, const char *name, int n, int64_t rows, int64_t columns,
                        const char *element) {
  char type[64];
  text_printf(names, "%s%%%s%d", names->length ? ", " : "", name, n);
  text_printf(types, "%s%s", types->length ? ", " : "", harness_type(type, rows, columns, element));
}

static void add_embed(harness *h, embed_case *c) {
  int n = ++h->names;
  char name[32], place[64];
  text names = {0}, types = {0};
  if (c->length) {
    snprintf(name, sizeof name, "ids%d", n);
    c->ids = add_ids(h, name, c, c->vocabulary);
    add_operand(&names, &types, "ids", n, c->batch, c->length, "i32");
    snprintf(name, sizeof name, "table%d", n);
    c->table = harness_noise(h, name, c->vocabulary, c->columns, 1);
    add_operand(&names, &types, "table", n, c->vocabulary, c->columns, "f32");
  }
  if (c->positions) {
    snprintf(name, sizeof name, "positions%d", n);
    c->positions_at = add_ids(h, name, c, 150);
    add_operand(&names, &types, "positions", n, c->batch, c->length, "i32");
    snprintf(name, sizeof name, "positiontable%d", n);
    c->position_table = harness_noise(h, name, 150, c->columns, 1);
    add_operand(&names, &types, "positiontable", n, 150, c->columns, "f32");
  }
  if (c->prefix) {
    snprintf(name, sizeof name, "prefix%d", n);
    c->prefix_at = harness_noise(h, name, c->prefix, c->columns, 1);
    add_operand(&names, &types, "prefix", n, c->prefix, c->columns, "f32");
  }
  c->hidden = harness_room(h, rows_of(c) * c->columns);
  place_of(place, c->hidden);
  text_printf(&h->body,
              "    %%hidden%d = \"kernel.embed\"(%s) {batch = %d : i64, length = %d : i64, prefix = %d : i64, "
              "operandSegmentSizes = array<i32: %d, %d, "
              "%d, %d, %d>, %s} : (%s) -> tensor<%lldx%dxf32>\n",
              n, names.data, c->batch, c->length, c->prefix, c->length > 0, c->length > 0, c->positions, c->positions,
              c->prefix > 0, place, types.data, (long long)rows_of(c), c->columns);
  text_free(&names);
  text_free(&types);
}

static void add_embed_grads(harness *h, embed_case *c) {
  int n = h->names;
  char name[24], place[64], accumulate[32] = "", accumulate_type[48] = "";
  long long rows = rows_of(c);
  snprintf(name, sizeof name, "dy%d", n);
  c->dy = harness_noise(h, name, rows, c->columns, 1);
  if (c->length) {
    if (c->accumulate) {
      snprintf(name, sizeof name, "before%d", n);
      c->before = c->dtable = harness_noise(h, name, c->vocabulary, c->columns, 1);
      snprintf(accumulate, sizeof accumulate, ", %%%s", name);
      snprintf(accumulate_type, sizeof accumulate_type, ", tensor<%dx%dxf32>", c->vocabulary, c->columns);
    } else {
      c->dtable = harness_room(h, (int64_t)c->vocabulary * c->columns);
    }
    place_of(place, c->dtable);
    text_printf(&h->body,
                "    %%dtable%d = \"kernel.embed_grad\"(%%ids%d, %%dy%d%s) {batch = %d : i64, length = %d : i64, "
                "prefix = %d : i64, %s} : "
                "(tensor<%dx%dxi32>, tensor<%lldx%dxf32>%s) -> tensor<%dx%dxf32>\n",
                n, n, n, accumulate, c->batch, c->length, c->prefix, place, c->batch, c->length, rows, c->columns,
                accumulate_type, c->vocabulary, c->columns);
  }
  if (!c->prefix) return;
  c->dprefix = harness_room(h, (int64_t)c->prefix * c->columns);
  place_of(place, c->dprefix);
  text_printf(&h->body,
              "    %%dprefix%d = \"kernel.prefix_grad\"(%%dy%d) {batch = %d : i64, length = %d : i64, prefix = %d : "
              "i64, %s} : (tensor<%lldx%dxf32>) "
              "-> tensor<%dx%dxf32>\n",
              n, n, c->batch, c->length, c->prefix, place, rows, c->columns, c->prefix, c->columns);
}

static int nearest(int32_t id, int count) { return id < 0 ? 0 : id >= count ? count - 1 : id; }

static void check_embed(const harness *h, const embed_case *c) {
  int64_t size = c->columns;
  const int32_t *ids = (const int32_t *)(h->memory + c->ids),
                *positions = (const int32_t *)(h->memory + c->positions_at);
  double *hidden = calloc((size_t)(rows_of(c) * size), sizeof(double)),
         *dtable = calloc((size_t)(c->vocabulary * size), sizeof(double));
  double *dprefix = calloc((size_t)(c->prefix * size + 1), sizeof(double));
  for (int64_t i = 0; c->accumulate && i < c->vocabulary * size; ++i) dtable[i] = h->memory[c->before + i];
  for (int64_t row = 0; row < rows_of(c); ++row) {
    int64_t t = row % (c->prefix + c->length), b = row / (c->prefix + c->length), token = b * c->length + t - c->prefix;
    for (int64_t d = 0; d < size; ++d) {
      double *to = &hidden[row * size + d], gradient = h->memory[c->dy + row * size + d];
      if (t < c->prefix) {
        *to = h->memory[c->prefix_at + t * size + d];
        dprefix[t * size + d] += gradient;
        continue;
      }
      int id = nearest(ids[token], c->vocabulary);
      *to = h->memory[c->table + id * size + d];
      if (c->positions) *to += h->memory[c->position_table + nearest(positions[token], 150) * size + d];
      dtable[id * size + d] += gradient;
    }
  }
  harness_near(c->name, h->after + c->hidden, hidden, rows_of(c) * size, 1e-7);
  if (c->length) harness_near(c->name, h->after + c->dtable, dtable, c->vocabulary * size, 1e-5);
  if (c->prefix) harness_near(c->name, h->after + c->dprefix, dprefix, c->prefix * size, 1e-6);
  free(hidden);
  free(dtable);
  free(dprefix);
}

static void test_embed(void **state) {
  (void)state;
  harness h;
  harness_open(&h);
  for (size_t i = 0; i < LENGTH(embeds); ++i) {
    add_embed(&h, &embeds[i]);
    add_embed_grads(&h, &embeds[i]);
  }
  harness_run(&h);
  for (size_t i = 0; i < LENGTH(embeds); ++i) check_embed(&h, &embeds[i]);
  harness_close(&h);
}

// ---- select

static void test_select(void **state) {
  (void)state;
  enum { BATCH = 3, ROWS = 7, COLUMNS = 19 };
  const int32_t index[BATCH] = {1, 7, 3};
  harness h;
  harness_open(&h);
  int64_t x = harness_noise(&h, "x", BATCH * ROWS, COLUMNS, 1), dy = harness_noise(&h, "dy", BATCH, COLUMNS, 1);
  harness_indices(&h, "index", BATCH, 0, index);
  int64_t last = harness_room(&h, BATCH * COLUMNS), counted = harness_room(&h, BATCH * COLUMNS),
          dx = harness_room(&h, BATCH * ROWS * COLUMNS);
  for (int minus = 0; minus < 2; ++minus)
    text_printf(&h.body,
                "    %%y%d = \"kernel.select\"(%%x, %%index) {length = %d : i64, minus_one = %d : i64, places = "
                "array<i64: %d, %lld>} : "
                "(tensor<%dx%dxf32>, tensor<%dxi32>) -> tensor<%dx%dxf32>\n",
                minus, ROWS, minus, SPACE_ARENA, (long long)(minus ? counted : last) * 4, BATCH * ROWS, COLUMNS, BATCH,
                BATCH, COLUMNS);
  text_printf(&h.body,
              "    %%dx = \"kernel.select_grad\"(%%dy, %%index) {length = %d : i64, places = array<i64: %d, %lld>} : "
              "(tensor<%dx%dxf32>, "
              "tensor<%dxi32>) -> tensor<%dx%dxf32>\n",
              ROWS, SPACE_ARENA, (long long)dx * 4, BATCH, COLUMNS, BATCH, BATCH * ROWS, COLUMNS);
  harness_run(&h);
  for (int b = 0; b < BATCH; ++b)
    for (int d = 0; d < COLUMNS; ++d) {
      const float *sequence = h.memory + x + b * ROWS * COLUMNS;
      assert_float_equal(h.after[last + b * COLUMNS + d], sequence[nearest(index[b], ROWS) * COLUMNS + d], 0);
      assert_float_equal(h.after[counted + b * COLUMNS + d], sequence[(index[b] - 1) * COLUMNS + d], 0);
      for (int t = 0; t < ROWS; ++t)
        assert_float_equal(h.after[dx + (b * ROWS + t) * COLUMNS + d],
                           t == nearest(index[b], ROWS) ? h.memory[dy + b * COLUMNS + d] : 0, 0);
    }
  harness_close(&h);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_rope), cmocka_unit_test(test_embed),
                                     cmocka_unit_test(test_select)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
