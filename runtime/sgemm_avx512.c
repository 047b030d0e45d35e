// A product is done in tiles of TALL x WIDE sums, which fill the vector registers. Of its two operands one is "tall": a
// tile takes TALL of its rows, an element at a time; the other is "wide": a tile takes WIDE of its columns, as vectors.
// The wide one is packed into panels that lie as they are read; the tall one is read where it is, unless its rows do
// not lie along k (then it is packed too, a few rows at a time). While a tile is worked on, what comes after it is
// fetched into the second-level cache.
//
// After Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (2008).
#include "runtime/sgemm_avx512.h"

#if defined(__x86_64__) && defined(__AVX512F__)

typedef float vector __attribute__((vector_size(64)));
typedef float loose_vector __attribute__((vector_size(64), aligned(4), may_alias));
typedef float half __attribute__((vector_size(32)));
typedef float loose_half __attribute__((vector_size(32), aligned(4), may_alias));

enum { LANES = 16, TALL = 8, WIDE = 48 };   // TALL x 3 vectors of sums, 3 of the panel and an element fit 32 registers
enum { STRIPS = 4, BLOCK = STRIPS * TALL }; // rows of the tall operand that stay in the first-level cache
enum { MOST_K = 768, PANEL_FLOATS = 256 << 10 }; // of the second-level cache
enum { AHEAD_STEPS = 16 };                       // of k, between two rounds of fetching ahead: a cache line of a row

#define UNROLL _Pragma("GCC unroll 16")
// Keeps a value in a register: the compiler would rather load it again for every use.
#define IN_REGISTER(x) __asm__("" : "+v"(x))

// Element (row, k) of the tall operand, or (column, k) of the wide one, is at[row * stride + k * step]; one of the two
// is 1.
typedef struct operand {
  const float *at;
  int64_t stride, step;
} operand;

typedef struct target { // of a tile's rows and columns
  float *at;
  int64_t row_stride, column_stride;
} target;

// What a tile fetches every AHEAD_STEPS of k: `count` pairs of lines, `second` floats apart, `stride` from pair to
// pair; then `advance` on.
typedef struct ahead {
  const float *at;
  int64_t count, stride, second, advance;
} ahead;

static inline vector load(const float *at) { return *(const loose_vector *)at; }
static inline void store(float *at, vector v) { *(loose_vector *)at = v; }
static inline half load_half(const float *at) { return *(const loose_half *)at; }
static inline void store_half(float *at, half v) { *(loose_half *)at = v; }
static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t times(int64_t length, int64_t part) { return (length + part - 1) / part; }

// ---- the tile

#define STEP(R, C, AT)                                                                                                 \
  {                                                                                                                    \
    vector x[C];                                                                                                       \
    UNROLL for (int j = 0; j < C; ++j) {                                                                               \
      x[j] = load(panel + (AT)*C * LANES + j * LANES);                                                                 \
      IN_REGISTER(x[j]);                                                                                               \
    }                                                                                                                  \
    UNROLL for (int i = 0; i < R; ++i) {                                                                               \
      const float *four = (i < 4 ? rows : rows_4) + (AT)*step;                                                         \
      float y = four[i % 4 == 0 ? 0 : i % 4 == 1 ? s.stride : i % 4 == 2 ? two : three];                               \
      UNROLL for (int j = 0; j < C; ++j) sum[i][j] += y * x[j];                                                        \
    }                                                                                                                  \
  }

// sums [R, C vectors] = R rows of the tall operand times a panel C vectors wide, over k in order.
#define TILE(KIND, STRIDE_OF_K, R, C)                                                                                  \
  static void KIND##_##R##_##C(int64_t k, operand s, const float *panel, float *sums, ahead next) {                    \
    const int64_t step = STRIDE_OF_K, two = 2 * s.stride, three = 3 * s.stride;                                        \
    const float *rows = s.at, *rows_4 = rows + 4 * s.stride;                                                           \
    (void)rows_4, (void)two, (void)three;                                                                              \
    vector sum[R][C];                                                                                                  \
    UNROLL for (int i = 0; i < R; ++i) UNROLL for (int j = 0; j < C; ++j) sum[i][j] = (vector){0};                     \
    for (; k > 0; k -= AHEAD_STEPS) {                                                                                  \
      for (int64_t i = 0; i < next.count; ++i, next.at += next.stride) {                                               \
        __builtin_prefetch(next.at, 0, 2);                                                                             \
        __builtin_prefetch(next.at + next.second, 0, 2);                                                               \
      }                                                                                                                \
      next.at += next.advance;                                                                                         \
      int64_t left = k < AHEAD_STEPS ? k : AHEAD_STEPS;                                                                \
      for (; left >= 2; left -= 2) {                                                                                   \
        STEP(R, C, 0)                                                                                                  \
        STEP(R, C, 1)                                                                                                  \
        panel += 2 * C * LANES, rows += 2 * step, rows_4 += 2 * step;                                                  \
      }                                                                                                                \
      if (left) STEP(R, C, 0)                                                                                          \
    }                                                                                                                  \
    UNROLL for (int i = 0; i < R; ++i) UNROLL for (int j = 0; j < C; ++j)                                              \
        store(sums + (i * C + j) * LANES, sum[i][j]);                                                                  \
  }
#define TILES(R)                                                                                                       \
  TILE(along_k, 1, R, 1)                                                                                               \
  TILE(along_k, 1, R, 2)                                                                                               \
  TILE(along_k, 1, R, 3) TILE(packed, TALL, R, 1) TILE(packed, TALL, R, 2) TILE(packed, TALL, R, 3)
TILES(1)
TILES(2)
TILES(3)
TILES(4)
TILES(5)
TILES(6)
TILES(7)
TILES(8)

typedef void tile_function(int64_t k, operand s, const float *panel, float *sums, ahead next);
#define WIDTHS(KIND, R)                                                                                                \
  { KIND##_##R##_1, KIND##_##R##_2, KIND##_##R##_3 }
#define HEIGHTS(KIND)                                                                                                  \
  {                                                                                                                    \
    WIDTHS(KIND, 1), WIDTHS(KIND, 2), WIDTHS(KIND, 3), WIDTHS(KIND, 4), WIDTHS(KIND, 5), WIDTHS(KIND, 6),              \
        WIDTHS(KIND, 7), WIDTHS(KIND, 8)                                                                               \
  }
static tile_function *const tiles[2][TALL][3] = {HEIGHTS(along_k), HEIGHTS(packed)}; // [packed][rows - 1][vectors - 1]

// ---- packing

// to[j][i] = from[i][j], 8 x 8.
static inline void transpose(const float *from, int64_t from_stride, float *to, int64_t to_stride) {
  half v[8];
  UNROLL for (int i = 0; i < 8; ++i) v[i] = load_half(from + i * from_stride);
#define SWAP(BY, ...)                                                                                                  \
  UNROLL for (int i = 0; i < 8; ++i) if (!(i & BY)) {                                                                  \
    half a = v[i], b = v[i + BY];                                                                                      \
    v[i] = __builtin_shufflevector(a, b, __VA_ARGS__);                                                                 \
    v[i + BY] = SWAPPED(BY, a, b);                                                                                     \
  }
#define SWAPPED(BY, a, b) SWAPPED_##BY(a, b)
#define SWAPPED_4(a, b) __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15)
#define SWAPPED_2(a, b) __builtin_shufflevector(a, b, 2, 3, 10, 11, 6, 7, 14, 15)
#define SWAPPED_1(a, b) __builtin_shufflevector(a, b, 1, 9, 3, 11, 5, 13, 7, 15)
  SWAP(4, 0, 1, 2, 3, 8, 9, 10, 11)
  SWAP(2, 0, 1, 8, 9, 4, 5, 12, 13)
  SWAP(1, 0, 8, 2, 10, 4, 12, 6, 14)
  UNROLL for (int i = 0; i < 8; ++i) store_half(to + i * to_stride, v[i]);
}

// Columns of the wide operand into a panel [k, width], zeros beyond them.
static void pack_panel(operand v, int64_t columns, int64_t width, int64_t k, float *to) {
  if (v.stride == 1 && columns == width) {
    for (int64_t p = 0; p < k; ++p, to += width)
      for (int64_t i = 0; i < width; i += LANES) store(to + i, load(v.at + p * v.step + i));
    return;
  }
  int64_t whole = v.step == 1 ? columns / 8 * 8 : 0, deep = k / 8 * 8;
  for (int64_t c = 0; c < whole; c += 8)
    for (int64_t p = 0; p < deep; p += 8) transpose(v.at + c * v.stride + p, v.stride, to + p * width + c, width);
  for (int64_t p = 0; p < k; ++p)
    for (int64_t c = p < deep ? whole : 0; c < width; ++c)
      to[p * width + c] = c < columns ? v.at[c * v.stride + p * v.step] : 0;
}

// Rows of the tall operand, stored [k, rows], into strips [k, TALL].
static void pack_strips(operand s, int64_t rows, int64_t k, float *to) {
  int64_t whole = rows / TALL * TALL;
  for (int64_t p = 0; p < k; ++p) {
    const float *from = s.at + p * s.step;
    float *here = to + p * TALL;
    for (int64_t r = 0; r < whole; r += TALL) store_half(here + r * k, load_half(from + r));
    for (int64_t r = whole; r < rows; ++r) here[whole * k + r - whole] = from[r];
  }
}

// A tile's sums [rows, width] into its part of C.
static void put(const float *sums, int64_t rows, int64_t columns, int64_t width, bool adds, target c) {
  if (c.column_stride == 1) {
    int64_t whole = columns / LANES * LANES;
    for (int64_t i = 0; i < rows; ++i, sums += width) {
      float *to = c.at + i * c.row_stride;
      for (int64_t j = 0; j < whole; j += LANES) store(to + j, adds ? load(to + j) + load(sums + j) : load(sums + j));
      for (int64_t j = whole; j < columns; ++j) to[j] = adds ? to[j] + sums[j] : sums[j];
    }
    return;
  }
  float turned[WIDE * TALL] __attribute__((aligned(64)));
  for (int64_t j = 0; j < width; j += 8) transpose(sums + j, width, turned + j * TALL, TALL);
  for (int64_t j = 0; j < columns; ++j) {
    float *to = c.at + j * c.column_stride, *from = turned + j * TALL;
    if (rows == TALL) store_half(to, adds ? load_half(to) + load_half(from) : load_half(from));
    else
      for (int64_t i = 0; i < rows; ++i) to[i] = adds ? to[i] + from[i] : from[i];
  }
}

static void expect(target c, int64_t rows, int64_t columns) {
  int64_t lines = c.column_stride == 1 ? rows : columns, stride = c.column_stride == 1 ? c.row_stride : c.column_stride;
  int64_t length = c.column_stride == 1 ? columns : rows;
  for (int64_t i = 0; i < lines; ++i)
    for (int64_t j = 0; j < length; j += 16) __builtin_prefetch(c.at + i * stride + j, 1, 2);
}

// ---- the product

// A part of a product's k: operands from there on, and what is packed of them.
typedef struct part {
  operand s, v;
  target c;
  int64_t m, n, k; // rows of s, columns of v
  bool adds, packs_s;
  bool v_passes; // s, all of it, stays in the cache and v passes by, a panel at a time; else the other way round
  float *panels, *strips;
} part;

typedef struct place {     // where in the part
  int64_t column, columns; // of the panels that are packed
  int64_t row, rows;       // of the block
} place;

// What the tile of row `r` of the block and panel `panel` fetches: its share of the next block, or of the next panel.
static ahead fetches(const part *p, place at, int64_t panel, int64_t r) {
  const ahead nothing = {p->c.at, 0, 0, 0, 0};
  if (p->v_passes) {
    if (at.column + WIDE >= p->n || p->v.stride != 1) return nothing;
    int64_t share = times(AHEAD_STEPS, times(p->m, TALL)), first = (at.row + r) / TALL * share;
    if (first >= AHEAD_STEPS) return nothing;
    const float *from = p->v.at + at.column + WIDE + first * p->v.step;
    return (ahead){from, share, p->v.step, WIDE - 1, (AHEAD_STEPS - share) * p->v.step};
  }
  int64_t row = at.row + BLOCK + r, there = least(p->m - row, TALL), panels = times(at.columns, WIDE);
  const float *from = p->s.at + row * p->s.stride;
  if (there <= 0) return nothing;
  if (!p->packs_s) {
    int64_t share = times(there, panels), first = panel * share;
    if (first + share > there) return nothing;
    return (ahead){from + first * p->s.stride, share, p->s.stride, 0, AHEAD_STEPS - share * p->s.stride};
  }
  int64_t share = times(AHEAD_STEPS, panels), first = panel * share;
  if (r % (2 * TALL) || first >= AHEAD_STEPS) return nothing; // two strips lie in one line
  return (ahead){from + first * p->s.step, share, p->s.step, LANES - 1, (AHEAD_STEPS - share) * p->s.step};
}

static void do_block(const part *p, place at) {
  float sums[BLOCK * WIDE] __attribute__((aligned(64)));
  float *strips = p->strips + (p->v_passes ? at.row * p->k : 0);
  operand s = {p->s.at + at.row * p->s.stride, p->s.stride, p->s.step};
  if (p->packs_s && (!p->v_passes || at.column == 0)) pack_strips(s, at.rows, p->k, strips);
  for (int64_t panel = 0; panel * WIDE < at.columns; ++panel) {
    int64_t columns = least(at.columns - panel * WIDE, WIDE), vectors = times(columns, LANES);
    int64_t column = at.column + panel * WIDE;
    target c = {p->c.at + at.row * p->c.row_stride + column * p->c.column_stride, p->c.row_stride, p->c.column_stride};
    expect(c, at.rows, columns);
    for (int64_t r = 0; r < at.rows; r += TALL) {
      operand rows = p->packs_s ? (operand){strips + r * p->k, 1, TALL} : (operand){s.at + r * s.stride, s.stride, 1};
      tile_function *tile = tiles[p->packs_s][least(at.rows - r, TALL) - 1][vectors - 1];
      tile(p->k, rows, p->panels + panel * WIDE * p->k, sums + r * WIDE, fetches(p, at, panel, r));
    }
    for (int64_t r = 0; r < at.rows; r += TALL, c.at += TALL * c.row_stride)
      put(sums + r * WIDE, least(at.rows - r, TALL), columns, vectors * LANES, p->adds, c);
  }
}

static void do_part(const part *p) {
  int64_t at_once = p->v_passes ? WIDE : PANEL_FLOATS / p->k / WIDE * WIDE;
  for (int64_t column = 0; column < p->n; column += at_once) {
    place at = {.column = column, .columns = least(p->n - column, at_once)};
    for (int64_t i = 0; i < at.columns; i += WIDE) {
      int64_t columns = least(at.columns - i, WIDE);
      operand v = {p->v.at + (column + i) * p->v.stride, p->v.stride, p->v.step};
      pack_panel(v, columns, times(columns, LANES) * LANES, p->k, p->panels + i * p->k);
    }
    for (at.row = 0; at.row < p->m; at.row += BLOCK) {
      at.rows = least(p->m - at.row, BLOCK);
      do_block(p, at);
    }
  }
}

static void product(operand s, operand v, target c, int64_t m, int64_t n, int64_t k, bool adds, float *room) {
  part p = {.s = s, .v = v, .c = c, .m = m, .n = n, .adds = adds, .packs_s = s.step != 1, .panels = room};
  p.strips = room + PANEL_FLOATS;
  for (int64_t parts = times(k, MOST_K); parts > 0; --parts, k -= p.k) {
    p.k = times(k, parts);
    p.v_passes = n > m && (m + TALL) * p.k <= PANEL_FLOATS;
    do_part(&p);
    p.s.at += p.k * s.step, p.v.at += p.k * v.step;
    p.adds = true;
  }
}

int64_t sgemm_avx512_room(void) { return (2 * (int64_t)PANEL_FLOATS + BLOCK * MOST_K) * (int64_t)sizeof(float); }

void sgemm_avx512(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, const float *a, int64_t lda,
                  const float *b, int64_t ldb, bool adds, float *c, int64_t ldc, void *room) {
  operand rows = {a, trans_a ? 1 : lda, trans_a ? lda : 1}, columns = {b, trans_b ? ldb : 1, trans_b ? 1 : ldb};
  // Where both lie along k, the wide one is turned as it is packed; if A is the smaller, that is cheaper, but every
  // tile of C is turned then.
  bool a_is_wide = !trans_a && trans_b && m * k + m * n * times(k, MOST_K) < n * k;
  if (a_is_wide) product(columns, rows, (target){c, 1, ldc}, n, m, k, adds, room);
  else product(rows, columns, (target){c, ldc, 1}, m, n, k, adds, room);
}

#else

int64_t sgemm_avx512_room(void) { return 0; }
void sgemm_avx512(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, const float *a, int64_t lda,
                  const float *b, int64_t ldb, bool adds, float *c, int64_t ldc, void *room) {
  (void)trans_a, (void)trans_b, (void)m, (void)n, (void)k, (void)a, (void)lda, (void)b, (void)ldb, (void)adds, (void)c;
  (void)ldc, (void)room;
}

#endif
