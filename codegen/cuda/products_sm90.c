// Products of bf16 for sm_90a: the launch with its tensor maps, and what gemm_sm90.cuh leaves to the text in front of
// it; products_sm90_tiles.c chooses the tiles. args and dims: as products.c has them, then groups, where in args and
// maps the operands are, so that any number of groups shares the kernel, and the first piece of every group; a product
// cut along k has its scratch memory as the last arg.
#include "codegen/cuda/products_sm90_tiles.h"
#include "codegen/cuda/texts.h"

#include <string.h>

enum {
  WARPGROUP = 128, // threads
  ALIGNMENT = 16,  // of places and rows, for TMA
  DIM_MAPS = 12    // of gemm_sm90_places.cuh
};

// The places of an operand's matrices, and their one shape.
typedef struct matrices {
  plan_ref *at;
  int count;
  int64_t rows, columns, leading, bytes; // bytes: of an element
} matrices;

// ---- operands

// With a distance between them where one arg holds them all.
static matrices matrices_of(cuda_entry *e, const plan_launch *l, int64_t first, int64_t count, int64_t distance,
                            int64_t rows, int64_t columns, int64_t leading, const char *type) {
  matrices m = {.at = ARENA_ARRAY(e->arena, plan_ref, (int)count), .count = (int)count};
  m.rows = rows, m.columns = columns, m.leading = leading, m.bytes = is_bf16(type) ? 2 : 4;
  for (int i = 0; i < m.count; ++i) {
    m.at[i] = l->args[first + (distance ? 0 : i)];
    m.at[i].offset += distance * i * m.bytes;
  }
  return m;
}

static matrices operand_a(cuda_entry *e, const plan_launch *l, const product *p) {
  const plan_gemm *g = &p->gemm;
  return matrices_of(e, l, 0, p->pieces, 0, g->trans_a ? g->k : g->m, g->trans_a ? g->m : g->k, g->lda, p->types.a);
}
static matrices operand_b(cuda_entry *e, const plan_launch *l, const product *p) {
  const plan_gemm *g = &p->gemm;
  return matrices_of(e, l, p->pieces, p->pieces, 0, g->trans_b ? g->n : g->k, g->trans_b ? g->k : g->n, g->ldb,
                     p->types.b);
}

// Where args begin: of C, columns, rows, extras.
static int64_t c_first(const product *p) { return 2 * p->pieces; }
static int64_t column_first(const product *p) { return c_first(p) + (p->stored ? p->gemm.groups : 0); }
static int64_t row_first(const product *p) { return column_first(p) + p->kinds * p->gemm.groups; }
static int64_t extra_first(const product *p) { return row_first(p) + p->rows * (p->lists ? p->gemm.groups : 1); }

// Half `i` of the columns of each.
static matrices half_of(matrices m, int i) {
  m.columns /= 2;
  for (int k = 0; k < m.count; ++k) m.at[k].offset += i * m.columns * m.bytes;
  return m;
}

static matrices operand_row(cuda_entry *e, const plan_launch *l, const product *p, int i) {
  const plan_gemm *g = &p->gemm;
  if (p->glu)
    return half_of(matrices_of(e, l, row_first(p), g->groups, 2 * g->m * g->n, g->m, 2 * g->n, 2 * g->n, p->row_type),
                   i);
  int64_t first = row_first(p) + i * (p->lists ? g->groups : 1);
  return matrices_of(e, l, first, g->groups, p->lists ? 0 : g->m * g->n, g->m, g->n, g->n, p->row_type);
}
static matrices operand_result(cuda_entry *e, const plan_launch *l, const product *p, int i) {
  const plan_gemm *g = &p->gemm;
  int of_c = result_parts(p) - p->extras;
  int64_t columns = g->n / sums_of(p);
  if (i >= of_c)
    return matrices_of(e, l, extra_first(p) + i - of_c, g->groups, g->m * columns, g->m, columns, columns,
                       p->extra_type);
  matrices c =
      matrices_of(e, l, c_first(p), g->groups, 0, g->m, p->glu == GLU_GRAD ? 2 * g->n : g->n, g->ldc, p->types.c);
  return p->glu ? half_of(c, i) : c;
}

// TMA can take them.
static bool aligned(const matrices *m) {
  bool ok = m->leading * m->bytes % ALIGNMENT == 0;
  for (int i = 0; ok && i < m->count; ++i) ok = m->at[i].offset % ALIGNMENT == 0;
  return ok;
}

// Whether one place after the other at one distance, which one map can say.
static bool evenly(const matrices *m, int64_t *distance) {
  *distance = m->count > 1 ? m->at[1].offset - m->at[0].offset : 0;
  bool even = *distance >= 0;
  for (int i = 1; even && i < m->count; ++i)
    even = m->at[i].space == m->at[0].space && m->at[i].offset - m->at[i - 1].offset == *distance;
  return even;
}

// ---- results through shared memory

static bool all_bf16(const product *p) {
  return (!p->stored || is_bf16(p->types.c)) && (!p->rows || is_bf16(p->row_type)) &&
         (!p->extras || is_bf16(p->extra_type));
}

// Results go through shared memory where TMA can write, and read, all of them.
static bool can_stage(cuda_entry *e, const plan_launch *l, const product *p) {
  bool can = all_bf16(p) && !p->gemm.accumulate;
  for (int i = 0; can && i < row_parts(p); ++i) {
    matrices m = operand_row(e, l, p, i);
    can = aligned(&m);
  }
  for (int i = 0; can && i < result_parts(p); ++i) {
    matrices m = operand_result(e, l, p, i);
    can = aligned(&m);
  }
  return can;
}

bool sm90_takes(const cuda_entry *e, const plan_launch *l, const product *p) {
  enum { ROWS_LEAST = 64 };
  const plan_gemm *g = &p->gemm;
  if (strcmp(e->architecture, "sm_90a") || !is_bf16(p->types.a) || !is_bf16(p->types.b) || g->m < ROWS_LEAST || !g->n ||
      !g->k)
    return false;
  if (g->m > INT32_MAX || g->n > INT32_MAX) return false;
  matrices a = operand_a((cuda_entry *)e, l, p), b = operand_b((cuda_entry *)e, l, p);
  return aligned(&a) && aligned(&b);
}

// ---- maps

// Adds the maps of an operand; a dim says how the kernel finds matrix i (maps_of in gemm_sm90_places.cuh).
static void add_maps(cuda_entry *e, plan_launch *l, const matrices *m, int64_t box_columns, int64_t box_rows) {
  enum { EACH = 1 << 16, STEPS = 1 << 17 };
  int64_t distance = 0;
  bool even = evenly(m, &distance);
  cuda_dim(e, l, l->map_count + (even ? 0 : EACH) + (even && distance > 0 ? STEPS : 0));
  for (int i = 0; i < (even ? 1 : m->count); ++i)
    launch_map(e->arena, l,
               (plan_map){.at = m->at[i],
                          .bytes = m->bytes,
                          .columns = m->columns,
                          .rows = m->rows,
                          .count = even && distance > 0 ? m->count : 1,
                          .row_stride = m->leading * m->bytes,
                          .stride = even && distance > 0 ? distance : m->leading * m->bytes,
                          .box_columns = box_columns,
                          .box_rows = box_rows,
                          .swizzle = box_columns * m->bytes});
}

static void add_all_maps(cuda_entry *e, plan_launch *l, const product *p, const choice *c) {
  const plan_gemm *g = &p->gemm;
  matrices a = operand_a(e, l, p), b = operand_b(e, l, p);
  add_maps(e, l, &a, STEP, g->trans_a ? STEP : rows_of(c) / c->cluster_n);
  int boxes = c->cluster_m > sums_of(p) ? c->cluster_m : sums_of(p); // of a stage of B
  add_maps(e, l, &b, STEP, g->trans_b ? c->width / boxes : STEP / c->cluster_m);
  if (!c->staged) return;
  for (int i = 0; i < row_parts(p); ++i) {
    matrices m = operand_row(e, l, p, i);
    add_maps(e, l, &m, c->chunk, 64 * c->part_blocks);
  }
  for (int i = 0; i < result_parts(p); ++i) {
    matrices m = operand_result(e, l, p, i);
    add_maps(e, l, &m, c->chunk, 64 * c->part_blocks);
  }
}

// Whether so many neighbours of C, in float32 and without an epilogue, can be moved at once, from the first of every
// row on: gradients begin wherever the one before them ends. In pairs they are stored; in fours what sums are added to
// comes into the L2 cache row by row.
static bool moves_in(int many, const plan_launch *l, const product *p, const choice *c) {
  const plan_gemm *g = &p->gemm;
  bool whole = !c->staged && !p->body && !is_bf16(p->types.c) && g->n % many == 0 && g->ldc % many == 0;
  for (int64_t i = 0; whole && i < g->groups; ++i)
    whole = l->args[c_first(p) + i].offset % (many * (int64_t)sizeof(float)) == 0;
  return whole;
}

// Where args and maps of the operands are, and what becomes of C: what gemm_sm90_places.cuh reads.
static void add_places(cuda_entry *e, plan_launch *l, const product *p, const choice *c) {
  enum { ADDS = 1, ADDS_ROWS = 2 };
  const int64_t first[] = {c_first(p), column_first(p), row_first(p), extra_first(p)};
  cuda_dim(e, l, p->gemm.groups);
  for (size_t i = 0; i < LENGTH(first); ++i) cuda_dim(e, l, first[i]);
  cuda_dim(e, l, !p->gemm.accumulate ? 0 : moves_in(4, l, p, c) ? ADDS_ROWS : ADDS);
  add_all_maps(e, l, p, c);
}

// ---- text

static const char *word(bool flag) { return flag ? "true" : "false"; }

static void write_constants(const plan_launch *l, const product *p, const choice *c, text *out) {
  enum { RASTER_ROWS = 16 };
  const plan_gemm *g = &p->gemm;
  text_printf(out,
              "constexpr int BLOCKS = %d, BN = %d, CONSUMERS = %d, CLUSTER_M = %d, CLUSTER_N = %d, CLUSTER_K = %d;\n"
              "constexpr bool PING_PONG = %s, ONE_RING = %s, FIXED_ADDS = %s;\nconstexpr int ADDS = %d;\n"
              "constexpr int RASTER = %d, PART_BLOCKS = %d;\n",
              c->blocks, c->width, c->consumers, c->cluster_m, c->cluster_n, c->cluster_k, word(c->ping_pong),
              word(c->one_ring), word(c->cluster_k > 1), c->cluster_k > 1 && g->accumulate, RASTER_ROWS / c->cluster_m,
              c->part_blocks);
  text_printf(
      out,
      "constexpr int STAGES = %d, CHUNK = %d, BUFFERS = %d, ROWS = %d, KINDS = %d, RESULTS = %d, EXTRAS = %d, SUMS = "
      "%d, "
      "ARRIVALS = %d, SHORTEST = %d;\n"
      "constexpr bool TRANS_A = %s, TRANS_B = %s, SEVERAL = %s, STAGED = %s, SPLIT = %s, PAIRS = %s;\n"
      "typedef unsigned int u32;\ntypedef unsigned long long u64;\ntypedef float sums[BLOCKS][BN / 2];\n\n",
      c->stages, c->chunk, c->buffers, row_parts(p), p->kinds, result_parts(p), p->extras, sums_of(p), ARRIVALS,
      SHORTEST, word(g->trans_a), word(g->trans_b), word(p->several), word(c->staged), word(c->split),
      word(moves_in(2, l, p, c)));
}

// Where maps are, by the text: of tiles that are cut, whose rows are loaded, the warp that does has no registers to
// ask.
static void write_fixed_maps(const plan_launch *l, const product *p, const choice *c, text *out) {
  const bool fixed = c->split && c->staged && row_parts(p) > 0;
  text_printf(out, "constexpr bool FIXED_MAPS = %s;\nstatic __device__ __forceinline__ int fixed_maps(int operand) {\n",
              word(fixed));
  for (int i = 0; fixed && i < 2 + row_parts(p) + result_parts(p); ++i)
    text_printf(out, "  if (operand == %d) return %lld;\n", i, (long long)l->dims[DIM_MAPS + i]);
  text_add(out, "  return 0;\n}\n\n");
}

// wgmma(): adds a product of 64 rows to the sums of a block, or makes it those where add is 0. The sums are registers
// that PTX declares, not variables: NVVM takes the longer for each wgmma, by the square of their number, where they are
// its operands. Of three consumers, and where a cluster cuts a tile, they are: there ptxas spills beside registers with
// names.
static void write_wgmma(const choice *c, bool trans_a, bool trans_b, text *out) {
  const int each = c->width / 2;
  const int operands = c->consumers > 2 || c->cluster_k > 1 ? each : 0; // in front of a, b, add
  const char *name = operands ? "%" : "sum";
  text_add(out, "static __device__ __forceinline__ void wgmma(sums &d, int block, u64 a, u64 b, int add) {\n");
  for (int block = 0; block < c->blocks; ++block) {
    text_printf(out,
                "  if (block == %d)\n    asm volatile(\"{ .reg .pred p; setp.ne.b32 p, %%%d, 0; "
                "wgmma.mma_async.sync.aligned.m64n%dk16.f32.bf16.bf16 {",
                block, operands + 2, c->width);
    for (int i = 0; i < each; ++i) text_printf(out, "%s%s%d", i ? ", " : "", name, operands ? i : block * each + i);
    text_printf(out, "}, %%%d, %%%d, p, 1, 1, %d, %d; }\"\n                 : ", operands, operands + 1, trans_a,
                !trans_b);
    for (int i = 0; i < operands; ++i) text_printf(out, "%s\"+f\"(d[%d][%d])", i ? ", " : "", block, i);
    text_add(out, "\n                 : \"l\"(a), \"l\"(b), \"r\"(add));\n");
  }
  text_add(out, "}\nstatic __device__ __forceinline__ void declare_sums() {");
  if (!operands) text_printf(out, " asm volatile(\".reg .f32 sum<%d>;\"); ", c->blocks * each);
  text_add(out, "}\nstatic __device__ __forceinline__ void read_sums(sums &d) {\n");
  for (int i = 0; !operands && i < c->blocks * each; ++i)
    text_printf(out, "  asm volatile(\"mov.f32 %%0, sum%d;\" : \"=f\"(d[%d][%d]));\n", i, i / each, i % each);
  text_add(out, "}\n");
}

// What a result is made of: the sum (of columns in pairs both), a value of each kind of columns, of each kind of rows.
static void write_epilogue(const product *p, text *out) {
  text_printf(out,
              "static __device__ __forceinline__ void epilogue(const float (&sums)[%d], const float (&columns)[%d],\n"
              "                                                const float (&rows)[%d], float (&y)[%d]) {\n",
              sums_of(p), p->kinds ? p->kinds : 1, row_parts(p) ? row_parts(p) : 1, result_parts(p));
  if (p->glu == GLU_VALUE) {
    if (p->stored) text_add(out, "  y[0] = sums[0], y[1] = sums[1];\n");
    text_printf(out, "  %s(sums[0], sums[1], y[%d]);\n}\n", p->body, result_parts(p) - 1);
  } else if (p->glu == GLU_GRAD) {
    text_printf(out, "  %s(rows[0], rows[1], sums[0], y[0], y[1]%s);\n}\n", p->body, p->extras ? ", y[2]" : "");
  } else if (p->body) {
    text_printf(out, "  %s(sums[0]", p->body);
    for (int i = 0; i < p->kinds; ++i) text_printf(out, ", columns[%d]", i);
    for (int i = 0; i < p->rows; ++i) text_printf(out, ", rows[%d]", i);
    for (int i = 0; i <= p->extras; ++i) text_printf(out, ", y[%d]", i);
    text_add(out, ");\n}\n");
  } else {
    text_add(out, "  y[0] = sums[0];\n}\n");
  }
}

// An element of C and of the extras, for results that do not go through shared memory. needed: by the kernel; else
// it is only declared, so that a call would not compile.
static void write_finish_element(const product *p, bool needed, text *out) {
  if (!needed) {
    text_add(out, "__device__ void finish_element(const parameters &, int, int, int, float); // nobody calls it\n\n");
    return;
  }
  text_printf(out,
              "static __device__ __forceinline__ void finish_element(const parameters &p, int group, int row, int "
              "column, float sum) {\n"
              "  const long long in_group = row * p.dims[1] + column, at = group * p.dims[0] * p.dims[1] + in_group;\n"
              "  float sums[1], columns[%d], rows[%d], y[%d];\n"
              "  %s *c = (%s *)c_of(p, group) + row * p.dims[5] + column;\n",
              p->kinds ? p->kinds : 1, p->rows ? p->rows : 1, 1 + p->extras, p->types.c, p->types.c);
  if (p->gemm.accumulate) text_add(out, "  sum += (float)*c;\n");
  for (int i = 0; i < p->kinds; ++i) text_printf(out, "  columns[%d] = column_of(p, %d, group, column);\n", i, i);
  for (int i = 0; i < p->rows; ++i) {
    if (p->lists)
      text_printf(
          out,
          "  rows[%d] = (float)((const %s *)p.args[(int)p.dims[DIM_ROWS] + %d * (int)p.dims[DIM_GROUPS] + group])"
          "[in_group];\n",
          i, p->row_type, i);
    else
      text_printf(out, "  rows[%d] = (float)((const %s *)p.args[(int)p.dims[DIM_ROWS] + %d])[at];\n", i, p->row_type,
                  i);
  }
  text_printf(out, "  sums[0] = sum;\n  epilogue(sums, columns, rows, y);\n  *c = %s(y[0]);\n", p->types.c);
  for (int i = 0; i < p->extras; ++i)
    text_printf(out, "  ((%s *)p.args[(int)p.dims[DIM_EXTRAS] + %d])[at] = %s(y[%d]);\n", p->extra_type, i,
                p->extra_type, 1 + i);
  text_add(out, "  (void)at, (void)in_group;\n}\n\n");
}

// ---- launches

static const char *kind_of(cuda_entry *e, const product *p, const choice *c) {
  static const char *const glu[] = {[GLU_NONE] = "", [GLU_VALUE] = "_glu", [GLU_GRAD] = "_glu_grad"};
  return arena_printf(e->arena, "gemm_sm90%s_%dx%d%s_%c%c", glu[p->glu], rows_of(c), c->width, c->ping_pong ? "p" : "",
                      p->gemm.trans_a ? 't' : 'n', p->gemm.trans_b ? 't' : 'n');
}

static const char *cluster_text(cuda_entry *e, const choice *c) {
  int size = cluster_of(c);
  return size > 1 ? arena_printf(e->arena, "__cluster_dims__(%d, 1, 1) ", size) : NULL;
}

static void write_kernel(const plan_launch *l, const product *p, const choice *c, cuda_source *s) {
  text body = s->functions;
  s->functions = (text){0};
  text *out = &s->functions;
  write_constants(l, p, c, out);
  write_fixed_maps(l, p, c, out);
  write_wgmma(c, p->gemm.trans_a, p->gemm.trans_b, out);
  text_add(out, "\n");
  if (body.data) text_add(out, body.data);
  text_free(&body);
  write_epilogue(p, out);
  cuda_include(s, cuda_text_gemm_sm90_places);
  write_finish_element(p, (!c->staged || c->split) && !p->glu && !moves_in(2, l, p, c), out);
  cuda_include(s, cuda_text_gemm_sm90_order);
  cuda_include(s, cuda_text_gemm_sm90);
  cuda_include(s, cuda_text_gemm_sm90_epilogue);
  cuda_include(s, cuda_text_gemm_sm90_shares);
  text_add(&s->body, "  product(p);\n");
}

// What was measured for it; a file of other tiles than there are now has none.
static choice measured_tiles(cuda_entry *e, const plan_launch *l, const product *p, bool staged) {
  const tiles_product *found = tiles_find(e->measured, product_key(e->arena, p, l->shape, staged));
  const char *tiles;
  for (int i = 0; found && (tiles = cuda_tiles(e->arena, i)); ++i)
    if (!strcmp(tiles, found->tiles)) return choose_tiles(p, staged, tiles);
  return (choice){0};
}

bool sm90_product(cuda_entry *e, plan_launch *l, const product *p, cuda_source *s, lmn_error *error) {
  const plan_gemm *g = &p->gemm;
  const bool staged = can_stage(e, l, p);
  if (e->trials && !sm90_try(e, l, p, s, staged, error)) return false;
  choice c = e->measured ? measured_tiles(e, l, p, staged) : (choice){0};
  if (!c.width) c = choose_tiles(p, staged, e->tiles);
  // Row operands that are too many for shared memory are read where they lie.
  if (!c.width && staged && !p->glu) c = choose_tiles(p, false, NULL);
  if (!c.width) return fail(error, "no tile of a product has room in shared memory");
  const int64_t clusters = clusters_of(&c), tiles = tiles_of(p, &c);
  l->processors = c.split;
  if (c.split) cuda_arg(e, l, cuda_scratch(e, parts_bytes(p, &c)));
  add_places(e, l, p, &c);
  for (int64_t i = 0; p->several && i <= g->groups; ++i) cuda_dim(e, l, p->first[i]);
  cuda_grid(l, (c.split || tiles > clusters ? clusters : tiles) * cluster_of(&c), 1, 1, WARPGROUP * (1 + c.consumers));
  l->shared = shared_bytes(p, &c);
  cuda_make_room(l, (cuda_room){.maps = 34, .args = 72, .dims = 40}); // as 16 groups need, with one C and rows
  s->attributes = cluster_text(e, &c);
  write_kernel(l, p, &c, s);
  return cuda_finish(e, l, kind_of(e, p, &c), s, error);
}
