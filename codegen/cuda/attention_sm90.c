// Attention in bf16 for sm_90a, heads of 64, 96 and 128 columns: the launches with their tensor maps, and what the .cuh
// files leave to the text before them.
#include "codegen/cuda/attention.h"
#include "codegen/cuda/texts.h"

#include <string.h>

enum {
  PROCESSORS = 132, // of an H100 or H200; with fewer the last blocks wait for their turn
  ELEMENT = 2,      // bytes
  GROUP_MAX = 64,
  PADDED = 128,
  WARPS = 4, // of a consumer
  WARP_ROWS = 16,
  CUT_COUNTERS = 512 // of consumers' parts, at least 2 * PROCESSORS
};

typedef enum { FORWARD, GRAD_QUERIES, GRAD_KEYS } kernel_kind;

// Widths of blocks, such that all values stay in registers, the fastest on an H100 and an H200. keys: of a block, in
// GRAD_KEYS queries; in GRAD_QUERIES never as many as a head has columns: where both left sides of its products have
// as many registers, ptxas 13.0 loses some without a word. Packed sequences need a few registers more.
typedef struct widths {
  int consumers, keys, stages;
  int tiles;   // of 64 rows that each consumer has in shared memory
  int buffers; // of those, in GRAD_KEYS, for an item's keys, and as many for its values
} widths;
static const struct {
  int head;
  bool packed;
  widths of[GRAD_KEYS + 1];
} kernels[] = {
    {64, false, {{3, 128, 4, 3, 0}, {3, 48, 6, 4, 0}, {2, 64, 4, 6, 2}}},
    {64, true, {{2, 64, 8, 3, 0}, {2, 80, 5, 4, 0}, {2, 64, 4, 6, 2}}},
    {96, false, {{2, 64, 4, 3, 0}, {2, 64, 4, 4, 0}, {2, 64, 3, 6, 2}}},
    {96, true, {{2, 64, 4, 3, 0}, {2, 48, 4, 4, 0}, {2, 32, 4, 6, 2}}},
    {128, false, {{2, 128, 2, 3, 0}, {2, 32, 6, 4, 0}, {2, 64, 3, 4, 1}}},
    {128, true, {{2, 64, 4, 3, 0}, {2, 48, 3, 4, 0}, {2, 32, 4, 4, 1}}},
};

static const char *const functions[] = {"attention", "attention_grad_queries", "attention_grad_keys"};

static const widths *widths_of(const attention *a, kernel_kind kind) {
  for (size_t i = 0; i < LENGTH(kernels); ++i)
    if (kernels[i].head == a->head && kernels[i].packed == a->starts) return &kernels[i].of[kind];
  return NULL;
}

static int64_t group_of(const attention *a) { return a->heads / a->key_heads; }
static int64_t tokens_of(const attention *a) { return 64 / group_of(a); }
static int64_t box_of(const attention *a) { return a->head % 64 ? 32 : 64; } // columns

bool attention_sm90_can(const cuda_entry *e, const attention *a) {
  return !strcmp(e->architecture, "sm_90a") && attention_mma_can(a) && widths_of(a, FORWARD) &&
         group_of(a) <= GROUP_MAX;
}

// Boxes of one head, of rows of `heads` heads; of `rows` positions.
static void add_map(cuda_entry *e, plan_launch *l, const attention *a, plan_ref at, int64_t heads, int64_t rows) {
  int64_t columns = heads * a->head, box = box_of(a);
  launch_map(e->arena, l,
             (plan_map){.at = at,
                        .bytes = ELEMENT,
                        .columns = columns,
                        .rows = a->length,
                        .count = a->sequences,
                        .row_stride = columns * ELEMENT,
                        .stride = a->length * columns * ELEMENT,
                        .box_columns = box,
                        .box_rows = rows,
                        .swizzle = box * ELEMENT});
}

// Boxes of all heads of a key head, of as many positions as a consumer has.
static void add_heads_map(cuda_entry *e, plan_launch *l, const attention *a, plan_ref at, int64_t heads) {
  add_map(e, l, a, at, heads, tokens_of(a));
  plan_map *m = &l->maps[l->map_count - 1];
  m->columns = a->head, m->pieces = heads, m->box_pieces = group_of(a);
}

// name(d, a, b, add): D (+)= A B with A of 64 x 16 and B of 16 x `width`. registers: A is in registers, else in shared
// memory; rows: B lies by its 16 rows, else by its columns; d has `size` floats.
static void write_wgmma(const char *name, int width, bool registers, bool rows, int size, text *out) {
  int sums = width / 2, lefts = registers ? 4 : 1;
  text_printf(out,
              "static __device__ __forceinline__ void %s(float (&d)[%d], %s, u64 b, int add) {\n"
              "  asm volatile(\"{ .reg .pred p; setp.ne.b32 p, %%%d, 0; wgmma.mma_async.sync.aligned.m64n%dk16.f32."
              "bf16.bf16 {",
              name, size, registers ? "u32 a0, u32 a1, u32 a2, u32 a3" : "u64 a", sums + lefts + 1, width);
  for (int i = 0; i < sums; ++i) text_printf(out, "%s%%%d", i ? ", " : "", i);
  text_printf(out, registers ? "}, {%%%d, %%%d, %%%d, %%%d}, " : "}, %%%d, ", sums, sums + 1, sums + 2, sums + 3);
  text_printf(out, "%%%d, p, 1, 1, %s%d; }\"\n               : ", sums + lefts, registers ? "" : "0, ", rows);
  for (int i = 0; i < sums; ++i)
    text_printf(out, "%s%s\"+f\"(d[%d])", i ? "," : "", !i ? "" : i % 8 ? " " : "\n                 ", i);
  text_printf(out, "\n               : %s, \"l\"(b), \"r\"(add));\n}\n",
              registers ? "\"r\"(a0), \"r\"(a1), \"r\"(a2), \"r\"(a3)" : "\"l\"(a)");
}

// Its rotation is done by the kernel: of heads of 64 columns, whose pairs a thread has in registers.
static bool turns_back(const attention *a, kernel_kind kind) {
  return kind != FORWARD && a->rotation.ptr && a->head == 64;
}

// Positions of a consumer.
static int64_t rows_of(const attention *a, kernel_kind kind) { return kind == GRAD_KEYS ? 64 : tokens_of(a); }

// The longest time of a multiprocessor for dK and dV, in query blocks of a consumer, with clusters of so many blocks.
static int64_t time_of(const attention *a, int cluster) {
  enum { OWN = 2, GATHER = 2 }; // an item's beginning and end, and a cluster's sums; measured on an H200
  int64_t loads[PROCESSORS] = {0}, longest = 0, n = 0, query_blocks = blocks_of(a->length, 64);
  int workers = PROCESSORS / cluster;
  for (int64_t first = 0; first < query_blocks; first += widths_of(a, GRAD_KEYS)->consumers)
    for (int64_t sequence = 0; sequence < a->sequences; ++sequence)
      for (int64_t head = 0; head < a->key_heads; ++head, ++n) {
        int64_t segments = a->segments - sequence / a->batch % a->segments, at = n % workers;
        int64_t *load = &loads[n / workers % 2 ? workers - 1 - at : at];
        *load += blocks_of(group_of(a) * segments * (query_blocks - first), cluster) + OWN + GATHER * (cluster - 1);
        if (*load > longest) longest = *load;
      }
  return longest;
}

// Query blocks of all items of dK and dV.
static int64_t cut_blocks(const attention *a) {
  const widths *w = widths_of(a, GRAD_KEYS);
  int64_t rows = w->consumers * 64, blocks = 0;
  for (int64_t first = 0; first < a->length; first += rows) blocks += blocks_of(a->length, w->keys) - first / w->keys;
  return blocks * a->sequences * a->heads;
}

// dK's and dV's items are cut, so that all blocks have equally much to do: where they are so few, or so unlike, that
// this is worth the sums of their parts.
static bool cuts(const attention *a) {
  // As time_of counts, measured on an H100; the loop of cut items is a twelfth slower.
  enum { PARTS_COST = 10, MOST = INT32_MAX / PROCESSORS };
  if (a->head != 64 || a->starts || a->segments > 1 || cut_blocks(a) > MOST) return false;
  int64_t cut = cut_blocks(a) * 13 / 12 / PROCESSORS + PARTS_COST, whole = time_of(a, 1), shared = time_of(a, 2);
  return cut < (whole < shared ? whole : shared);
}

// Blocks that share a key block: two where key blocks are few, and shared memory has room for it. Four are slower: not
// all of them run at once.
static int cluster_of(const attention *a, kernel_kind kind) {
  return kind == GRAD_KEYS && a->head == 64 && !cuts(a) && time_of(a, 2) < time_of(a, 1) ? 2 : 1;
}

static void write_text(const attention *a, kernel_kind kind, int cluster, int stages, cuda_source *s) {
  static const char *const files[] = {cuda_text_attention_sm90_forward, cuda_text_attention_sm90_queries,
                                      cuda_text_attention_sm90_keys};
  int keys = widths_of(a, kind)->keys, head = (int)a->head;
  bool turns = turns_back(a, kind), apart = kind == FORWARD || (kind == GRAD_KEYS && head > 64); // A in shared memory
  text *out = &s->functions;
  text_printf(
      out,
      "typedef unsigned int u32;\ntypedef unsigned long long u64;\n\n"
      "constexpr int HEAD = %d, GROUP = %lld, TOKENS = %lld, CONSUMERS = %d, KEYS = %d, STAGES = %d, CLUSTER = "
      "%d, BUFFERS "
      "= %d;\n"
      "constexpr bool TURNS = %s, STARTS = %s, CUT = %s;\nconstexpr int STARTS_ARG = %d, TURN_MAP = %d, CONSUMER_ROWS "
      "= %lld, CUT_COUNTERS = %d;\nconstexpr float SCALE = ",
      head, (long long)group_of(a), (long long)tokens_of(a), widths_of(a, kind)->consumers, keys, stages, cluster,
      widths_of(a, kind)->buffers, turns ? "true" : "false", a->starts ? "true" : "false",
      kind != FORWARD && cuts(a) ? "true" : "false", kind == FORWARD ? 3 : 6, kind == GRAD_KEYS ? 4 : 5,
      (long long)rows_of(a, kind), CUT_COUNTERS);
  cuda_float(out, a->scale);
  text_add(out, ";\n\n");
  write_wgmma("wgmma_scores", keys, !apart, false, keys / 2, out);
  if (kind == GRAD_KEYS) write_wgmma("wgmma_scores", keys, apart, false, keys / 2, out); // named alike, and not called
  write_wgmma("wgmma_values", head, true, true, head / 2, out);
  if (kind == FORWARD) write_wgmma("wgmma_half", keys / 2, false, false, keys / 2, out);
  text_add(out, "\n");
  cuda_include(s, cuda_text_attention_sm90);
  cuda_include(s, files[kind]);
  text_printf(&s->body, "  %s(p);\n", functions[kind]);
}

// Of the table's rows for a consumer, cosines or sines.
static int64_t turned_bytes(const attention *a, kernel_kind kind) {
  enum { FLOATS = 128, MULTIPLE = 1024 };
  return blocks_of(rows_of(a, kind) * FLOATS, MULTIPLE) * MULTIPLE;
}

static void add_table_map(cuda_entry *e, plan_launch *l, const attention *a, kernel_kind kind) {
  enum { FLOAT = 4 };
  MlirValue table = ir_operand(e->ir, a->rotation, 1);
  launch_map(e->arena, l,
             (plan_map){.at = ir_place(table),
                        .bytes = FLOAT,
                        .columns = a->head,
                        .rows = value_rows(table),
                        .count = 1,
                        .row_stride = a->head * FLOAT,
                        .stride = value_rows(table) * a->head * FLOAT,
                        .box_columns = a->head / 2,
                        .box_rows = rows_of(a, kind),
                        .swizzle = a->head / 2 * FLOAT});
}

static bool finish(cuda_entry *e, plan_launch *l, kernel_kind kind, const attention *a, lmn_error *error) {
  enum { ALIGNMENT = 1024, WARPGROUP = 128 };
  const widths *w = widths_of(a, kind);
  int64_t consumers = w->consumers, rows = consumers * rows_of(a, kind);
  int64_t items = a->sequences * a->key_heads * blocks_of(a->length, rows);
  if (kind == GRAD_KEYS && cuts(a)) items = cut_blocks(a);
  int cluster = cluster_of(a, kind), workers = PROCESSORS / cluster;
  int64_t peers = (cluster - 1) * consumers * (WARPS / cluster) * WARP_ROWS * 2 * a->head * 4; // dK, dV of others
  bool turns = turns_back(a, kind);
  int stages = w->stages - (turns && cluster > 1); // what shared memory holds
  cuda_source s = {0};
  write_text(a, kind, cluster, stages, &s);
  if (cluster > 1) s.attributes = arena_printf(e->arena, "__cluster_dims__(%d, 1, 1) ", cluster);
  attention_dims(e, l, a);
  cuda_dim(e, l, blocks_of(a->length, PADDED) * PADDED);
  cuda_dim(e, l, a->sequences);
  l->shared = ALIGNMENT + w->tiles * consumers * 64 * a->head * ELEMENT + peers +
              2 * (int64_t)stages * w->keys * a->head * ELEMENT + (turns ? 2 * consumers * turned_bytes(a, kind) : 0);
  cuda_grid(l, (items < workers ? items : workers) * cluster, 1, 1, (consumers + 1) * WARPGROUP);
  return cuda_finish(e, l, arena_printf(e->arena, "%s_sm90", functions[kind]), &s, error);
}

bool attention_sm90(cuda_entry *e, MlirOperation op, const attention *a, lmn_error *error) {
  plan_launch *l = cuda_launch(e, op);
  plan_ref qkv = ir_place(ir_operand(e->ir, op, 0)), out = ir_place(ir_result(e->ir, op, 0));
  int64_t all = a->heads + 2 * a->key_heads;
  add_heads_map(e, l, a, qkv, all);
  add_map(e, l, a, qkv, all, widths_of(a, FORWARD)->keys / 2);
  add_heads_map(e, l, a, out, a->heads);
  cuda_arg(e, l, qkv);
  cuda_arg(e, l, out);
  cuda_arg_value(e, l, ir_result(e->ir, op, 1));
  if (a->starts) cuda_arg_value(e, l, ir_operand(e->ir, op, 1));
  return finish(e, l, FORWARD, a, error);
}

// With, where items are cut, counters of their parts and room for them, two of every block.
static plan_ref workspace(cuda_entry *e, const attention *a) {
  enum { FLOAT = 4, PARTS = 2 };
  if (!cuts(a)) return attention_workspace(e, a);
  int64_t floats = 2 * a->sequences * a->heads * blocks_of(a->length, PADDED) * PADDED;
  int64_t parts = PROCESSORS * PARTS * widths_of(a, GRAD_KEYS)->consumers * 64 * 2 * a->head;
  return cuda_scratch(e, (floats + CUT_COUNTERS + parts) * FLOAT);
}

bool attention_sm90_grad(cuda_entry *e, MlirOperation op, const attention *a, lmn_error *error) {
  plan_ref places[] = {ir_place(ir_operand(e->ir, op, 0)), ir_place(ir_operand(e->ir, op, 1)),
                       ir_place(ir_operand(e->ir, op, 2)), ir_place(ir_operand(e->ir, op, 3)),
                       ir_place(ir_result(e->ir, op, 0)),  workspace(e, a)};
  const plan_ref qkv = places[0], out = places[1], dout = places[3], dqkv = places[4];
  int64_t all = a->heads + 2 * a->key_heads;
  for (kernel_kind kind = GRAD_QUERIES; kind <= GRAD_KEYS; ++kind) {
    plan_launch *l = cuda_launch(e, op);
    int64_t keys = widths_of(a, kind)->keys;
    if (kind == GRAD_QUERIES) {
      add_heads_map(e, l, a, qkv, all);
      add_map(e, l, a, qkv, all, keys);
      add_heads_map(e, l, a, out, a->heads);
      add_heads_map(e, l, a, dout, a->heads);
      add_heads_map(e, l, a, dqkv, all);
    } else {
      add_map(e, l, a, qkv, all, rows_of(a, kind));
      add_map(e, l, a, dqkv, all, WARP_ROWS);
      add_map(e, l, a, qkv, all, keys);
      add_map(e, l, a, dout, a->heads, keys);
    }
    for (size_t i = 0; i < LENGTH(places); ++i) cuda_arg(e, l, places[i]);
    if (turns_back(a, kind)) add_table_map(e, l, a, kind);
    if (a->starts) cuda_arg_value(e, l, ir_operand(e->ir, op, 4));
    if (!finish(e, l, kind, a, error)) return false;
  }
  if (turns_back(a, GRAD_KEYS)) e->done = a->rotation;
  return true;
}
