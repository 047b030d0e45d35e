// The products of attention: a tile of a few rows and up to three vectors of columns is kept in registers over all
// steps, each step one row of B times elements of A. Nothing is packed but queries: at these sizes packing, as a
// general product does it, costs as much as multiplying.
#include "codegen/cpu/attention.h"

#include <string.h>

enum { TILE_VECTORS = 3, LANES_MAX = 16, ROWS_MAX = 8 };

int attention_lanes(void) { return strstr(cpu_features(), "+avx512f") ? 16 : 8; }
int attention_rows(void) { return attention_lanes() == 16 ? 8 : 4; } // with TILE_VECTORS: most of the registers

typedef struct tile_name {
  char text[224];
} tile_name;

static tile_name name_tile(const char *name, int rows, int vectors, int lanes, int tail) {
  tile_name n;
  snprintf(n.text, sizeof n.text, "%s_%dx%dx%d_%d", name, rows, vectors, lanes, tail);
  return n;
}

// The function of one tile: (c, a, b, factors, steps). tail: lanes of one more, narrower vector.
static void tile_function(kernel_text *k, const tile_product *t, int rows, int vectors, int lanes, int tail) {
  ssa p[5], sums[ROWS_MAX * (TILE_VECTORS + 1)], next[LENGTH(sums)], b[TILE_VECTORS + 1];
  k_function(k, name_tile(t->name, rows, vectors, lanes, tail).text, "!ppppi", p);
  int widths[TILE_VECTORS + 1], columns = 0;
  for (int v = 0; v < vectors; ++v) widths[columns++] = lanes;
  if (tail) widths[columns++] = tail;
  ssa zero = k_int(k, 0), one = k_int(k, 1), nought = k_float(k, 0);
  for (int r = 0; r < rows; ++r)
    for (int v = 0; v < columns; ++v) {
      ssa *sum = &sums[r * columns + v];
      if (t->start == TILE_SET) *sum = k_splat(k, nought, widths[v]);
      else *sum = k_load_vector(k, p[0], k_int(k, r * t->c_stride + v * lanes), widths[v]);
      if (t->start == TILE_SCALE_AND_ADD)
        *sum = k_mul(k, *sum, k_splat(k, k_load(k, p[3], k_int(k, r), K_F32), widths[v]));
    }
  ssa step = k_for_carry(k, zero, p[4], one, sums, rows * columns);
  ssa b_row = k_mul(k, step, k_int(k, t->b_stride)), a_column = k_mul(k, step, k_int(k, t->a_step));
  for (int v = 0; v < columns; ++v) b[v] = k_load_vector(k, p[2], k_add(k, b_row, k_int(k, v * lanes)), widths[v]);
  for (int r = 0; r < rows; ++r) {
    ssa x = k_load(k, p[1], k_add(k, a_column, k_int(k, r * t->a_row)), K_F32);
    for (int v = 0; v < columns; ++v)
      next[r * columns + v] = k_fma(k, k_splat(k, x, widths[v]), b[v], sums[r * columns + v]);
  }
  k_end_carry(k, next);
  for (int r = 0; r < rows; ++r)
    for (int v = 0; v < columns; ++v) k_store(k, sums[r * columns + v], p[0], k_int(k, r * t->c_stride + v * lanes));
  k_return(k);
}

// A head's columns as tiles of at most TILE_VECTORS vectors, as even as can be; the last takes the rest that is no
// whole vector.
typedef struct column_tiles {
  int count, vectors[64], tail[64];
} column_tiles;

static column_tiles tiles_of(int64_t columns) {
  int lanes = attention_lanes(), vectors = (int)(columns / lanes), tail = (int)(columns % lanes);
  int all = vectors + (tail > 0);
  column_tiles t = {.count = (all + TILE_VECTORS - 1) / TILE_VECTORS};
  for (int i = 0; i < t.count; ++i) {
    int share = all * (i + 1) / t.count - all * i / t.count;
    t.vectors[i] = i + 1 == t.count && tail ? share - 1 : share;
    t.tail[i] = i + 1 == t.count ? tail : 0;
  }
  return t;
}

void tile_functions(kernel_text *k, const tile_product *t, int64_t columns) {
  column_tiles tiles = tiles_of(columns);
  for (int i = 0; i < tiles.count; ++i) {
    bool there = false;
    for (int j = 0; j < i; ++j) there |= tiles.vectors[j] == tiles.vectors[i] && tiles.tail[j] == tiles.tail[i];
    if (there) continue;
    tile_function(k, t, attention_rows(), tiles.vectors[i], attention_lanes(), tiles.tail[i]);
    tile_function(k, t, 1, tiles.vectors[i], attention_lanes(), tiles.tail[i]);
  }
}

void tile_strip(kernel_text *k, const tile_product *t, int64_t columns, int rows, ssa c, ssa a, ssa b, ssa factors,
                ssa steps) {
  column_tiles tiles = tiles_of(columns);
  int64_t column = 0;
  for (int i = 0; i < tiles.count; ++i) {
    ssa at = k_int(k, column);
    K_CALL(k, name_tile(t->name, rows, tiles.vectors[i], attention_lanes(), tiles.tail[i]).text, k_at(k, c, at), a,
           k_at(k, b, at), factors, steps);
    column += tiles.vectors[i] * attention_lanes() + tiles.tail[i];
  }
}

// ---- scores -------------------------------------------------------------------------------------

// The columns from `first` to `end` (whole vectors) of a strip of rows.
static void scores_strip(kernel_text *k, const char *name, int rows, ssa c, ssa a, ssa packed, ssa first, ssa end,
                         ssa steps) {
  int lanes = attention_lanes();
  ssa none = k_null(k), zero = k_int(k, 0), wide = k_int(k, TILE_VECTORS * lanes), length = k_sub(k, end, first);
  ssa whole = k_sub(k, end, k_rem(k, length, wide));
  ssa at = k_for(k, first, whole, wide);
  K_CALL(k, name_tile(name, rows, TILE_VECTORS, lanes, 0).text, k_at(k, c, at), a, k_at(k, packed, at), none, steps);
  k_end(k);
  for (int vectors = 1; vectors < TILE_VECTORS; ++vectors) {
    k_if(k, k_compare(k, "eq", k_sub(k, end, whole), k_add(k, zero, k_int(k, vectors * lanes))));
    K_CALL(k, name_tile(name, rows, vectors, lanes, 0).text, k_at(k, c, whole), a, k_at(k, packed, whole), none, steps);
    k_end(k);
  }
}

void attention_scores(kernel_text *k, const char *name, const attention_shape *s, int64_t stride) {
  int rows = attention_rows(), lanes = attention_lanes();
  tile_product t = {name, TILE_SET, QUERY_BLOCK, stride, 1, QUERY_BLOCK};
  for (int vectors = 1; vectors <= TILE_VECTORS; ++vectors) {
    tile_function(k, &t, rows, vectors, lanes, 0);
    tile_function(k, &t, 1, vectors, lanes, 0);
  }
  ssa p[6]; // scores, rows, packed, count, column of the first query that sees row 0, padded columns
  k_function(k, name, "!pppiii", p);
  ssa zero = k_int(k, 0), tile = k_int(k, rows), one = k_int(k, 1), vector = k_int(k, lanes),
      width = k_int(k, QUERY_BLOCK);
  ssa row_stride = k_int(k, stride), steps = k_int(k, s->head_size), whole = k_sub(k, p[3], k_rem(k, p[3], tile));
  for (int single = 0; single < 2; ++single) {
    ssa j = k_for(k, single ? whole : zero, single ? p[3] : whole, single ? one : tile);
    ssa column = k_max(k, k_add(k, p[4], j), zero), first = k_min(k, k_sub(k, column, k_rem(k, column, vector)), p[5]);
    scores_strip(k, name, single ? 1 : rows, k_at(k, p[0], k_mul(k, j, width)), k_at(k, p[1], k_mul(k, j, row_stride)),
                 p[2], first, p[5], steps);
    k_end(k);
  }
  k_return(k);
}

// ---- sums over keys ----

void attention_by_queries(kernel_text *k, const char *name, const tile_product *t, const attention_shape *s) {
  tile_functions(k, t, s->head_size);
  ssa p[7];
  k_function(k, name, "!ppppiii", p);
  ssa zero = k_int(k, 0), tile = k_int(k, attention_rows()), one = k_int(k, 1),
      whole = k_sub(k, p[4], k_rem(k, p[4], tile));
  for (int single = 0; single < 2; ++single) {
    ssa height = single ? one : tile, i = k_for(k, single ? whole : zero, single ? p[4] : whole, height);
    ssa steps = k_clamp(k, k_sub(k, k_add(k, k_add(k, p[5], i), height), one), zero, p[6]);
    tile_strip(k, t, s->head_size, single ? 1 : attention_rows(), k_at(k, p[0], k_mul(k, i, k_int(k, t->c_stride))),
               k_at(k, p[1], i), p[2], k_at(k, p[3], i), steps);
    k_end(k);
  }
  k_return(k);
}

// ---- packing ------------------------------------------------------------------------------------

// lanes vectors to their transpose: blocks off the diagonal change places, from half the size down to single elements.
static void transpose(kernel_text *k, ssa *rows, int lanes) {
  for (int half = lanes / 2; half; half /= 2) {
    int above[LANES_MAX], below[LANES_MAX];
    for (int i = 0; i < lanes; ++i) {
      above[i] = i & half ? lanes + i - half : i;
      below[i] = i & half ? lanes + i : i + half;
    }
    for (int i = 0; i < lanes; ++i) {
      if (i & half) continue;
      ssa a = rows[i], b = rows[i + half];
      rows[i] = k_shuffle(k, a, b, above);
      rows[i + half] = k_shuffle(k, a, b, below);
    }
  }
}

void attention_pack(kernel_text *k, const char *name, const attention_shape *s) {
  ssa p[5]; // packed, rows, count, stride, factor
  k_function(k, name, "!nniif", p);
  int lanes = attention_lanes();
  int64_t whole = s->head_size / lanes * lanes;
  ssa zero = k_int(k, 0), one = k_int(k, 1), vector = k_int(k, lanes), last = k_sub(k, p[2], one),
      width = k_int(k, QUERY_BLOCK);
  ssa factor = k_splat(k, p[4], lanes), rows[LANES_MAX], values[LANES_MAX];
  ssa column = k_for(k, zero, p[2], vector);
  for (int i = 0; i < lanes; ++i)
    rows[i] = k_mul(k, k_min(k, k_add(k, column, k_int(k, i)), last), p[3]); // beyond the last: the last again
  ssa d = k_for(k, zero, k_int(k, whole), vector);
  for (int i = 0; i < lanes; ++i) values[i] = k_load_vector(k, p[1], k_add(k, rows[i], d), lanes);
  transpose(k, values, lanes);
  for (int i = 0; i < lanes; ++i)
    k_store(k, k_mul(k, values[i], factor), p[0], k_add(k, k_mul(k, k_add(k, d, k_int(k, i)), width), column));
  k_end(k);
  d = k_for(k, k_int(k, whole), k_int(k, s->head_size), one);
  ssa to = k_add(k, k_mul(k, d, width), column);
  for (int i = 0; i < lanes; ++i)
    k_store(k, k_mul(k, k_load(k, p[1], k_add(k, rows[i], d), K_F32), p[4]), p[0], k_add(k, to, k_int(k, i)));
  k_end(k);
  k_end(k);
  k_return(k);
}

// ---- masks --------------------------------------------------------------------------------------

attention_view attention_view_of(kernel_text *k, const attention_shape *s, ssa starts, ssa column, ssa position,
                                 ssa limit, ssa first, ssa keys) {
  int lanes = attention_lanes();
  ssa zero = k_int(k, 0), rows = k_int(k, attention_rows()), one = k_int(k, 1), numbers = k_lane_numbers(k, lanes);
  ssa own = k_sub(k, k_add(k, position, column), first); // the first query's own key
  ssa last = k_splat(k, k_convert(k, k_sub(k, k_sub(k, limit, first), one), K_F32), lanes);
  attention_view v = {.high = k_add(k, k_splat(k, k_convert(k, own, K_F32), lanes), numbers)};
  v.high = k_select(k, k_compare(k, "olt", v.high, last), v.high, last);
  // To whole strips of rows, so that products over strips find zeros where a query sees nothing.
  ssa up = k_sub(k, rows, one), padded = k_add(k, keys, up),
      seen = k_add(k, own, k_int(k, lanes + attention_rows() - 1));
  v.end = k_max(k, k_min(k, padded, seen), zero);
  v.end = k_sub(k, v.end, k_rem(k, v.end, rows));
  v.safe = zero;
  if (!s->starts) {
    v.safe = k_clamp(k, k_add(k, own, one), zero, v.end);
    v.safe = k_max(k, k_min(k, v.safe, k_sub(k, limit, first)), zero);
    return v;
  }
  // A query sees itself at least, whatever its start says.
  v.low = k_sub(k, k_load_vector(k, starts, column, lanes), k_splat(k, k_convert(k, first, K_F32), lanes));
  v.low = k_select(k, k_compare(k, "olt", v.low, v.high), v.low, v.high);
  return v;
}

ssa attention_masked(kernel_text *k, const attention_shape *s, const attention_view *v, ssa key, ssa value, ssa other) {
  ssa number = k_splat(k, k_convert(k, key, K_F32), attention_lanes());
  ssa seen = k_compare(k, "ole", number, v->high);
  if (s->starts) seen = k_and(k, seen, k_compare(k, "oge", number, v->low));
  return k_select(k, seen, value, other);
}

ssa attention_first_key(kernel_text *k, const attention_shape *s, ssa starts, ssa count, ssa position) {
  ssa zero = k_int(k, 0);
  if (!s->starts) return zero;
  ssa first = position;
  ssa i = k_for_carry(k, zero, count, k_int(k, 1), &first, 1);
  ssa next = k_min(k, first, k_convert(k, k_load(k, starts, i, K_I32), K_I64));
  k_end_carry(k, &next);
  return k_max(k, first, zero);
}
