// kernel.gemm: a launch of the device's own product with an epilogue kernel over the pieces of C while they are in
// cache; or, where C has few rows (decoding), a kernel of its own that reads each weight once for all rows, as fast as
// memory gives it.
#include "codegen/cpu/kernel_text.h"
#include "codegen/cpu/slots.h"

#include <string.h>

typedef struct product {
  plan_gemm gemm;
  const char *body;            // of the epilogue; NULL: none
  const char *epilogue, *tile; // kernel, and the function of it that does a tile
  int kinds, row_count, extra_count;
  int *rows, *extras; // slots
  slots slots;        // of rows and extras
  bool lists;         // rows are lists, a value a group
  int64_t pieces;     // of all groups
} product;

// ---- the epilogue

// name_tile(c, slots …, columns …, row begin, row end, column begin, column end, ldc, n, first row of the group in rows
// and extras)
enum { TILE_INTEGERS = 7 };

static void write_tile(cpu_entry *e, kernel_text *k, const product *p) {
  int pointers = 1 + p->slots.count + p->kinds, inputs = 1 + p->kinds + p->row_count;
  ssa *v = ARENA_ARRAY(e->arena, ssa, pointers + TILE_INTEGERS), *slots = v + 1, *columns = v + 1 + p->slots.count;
  ssa *arguments = ARENA_ARRAY(e->arena, ssa, inputs), *values = ARENA_ARRAY(e->arena, ssa, 1 + p->extra_count);
  k_function(k, p->tile, parameter_types(e, pointers, TILE_INTEGERS), v);
  ssa c = v[0], *bounds = v + pointers, ldc = bounds[4], n = bounds[5], group_row = bounds[6];
  ssa one = k_int(k, 1), row = k_for(k, bounds[0], bounds[1], one);
  ssa c_row = k_mul(k, row, ldc), other_row = k_mul(k, k_add(k, group_row, row), n);
  ssa column = k_for(k, bounds[2], bounds[3], one), at = k_add(k, c_row, column), other = k_add(k, other_row, column);
  ssa in_group = k_add(k, k_mul(k, row, n), column);
  int count = 0;
  arguments[count++] = k_load(k, c, at, K_F32);
  for (int i = 0; i < p->kinds; ++i) arguments[count++] = k_load(k, columns[i], column, K_F32);
  for (int i = 0; i < p->row_count; ++i)
    arguments[count++] = k_load(k, slots[p->rows[i]], p->lists ? in_group : other, K_F32);
  k_call_body(k, p->body, arguments, count, values, 1 + p->extra_count);
  k_store(k, values[0], c, at);
  for (int i = 0; i < p->extra_count; ++i) k_store(k, values[1 + i], slots[p->extras[i]], other);
  k_end(k);
  k_end(k);
  k_return(k);
}

// What every kernel of a product finds in its launch. args: A and B of every piece, C of every group, columns kind by
// kind, slots. dims: m, n, ldc, groups, lda, ldb, pieces, the first piece of every group and their end, the first row
// of every group in each of rows.
enum { DIM_M, DIM_N, DIM_LDC, DIM_GROUPS, DIM_LDA, DIM_LDB, DIM_PIECES, DIM_FIRST };
_Static_assert((int)DIM_FIRST == (int)GEMM_FIRST, "the runtime reads the first pieces too");

static ssa dim(kernel_text *k, ssa dims, int index) { return k_load(k, dims, k_int(k, index), K_I64); }

// Calls the tile function on the tile `bounds` (row begin, row end, column begin, column end) of `group`.
static void call_tile(cpu_entry *e, kernel_text *k, const product *p, ssa args, ssa dims, ssa group,
                      const ssa *bounds) {
  int pointers = 1 + p->slots.count + p->kinds, count = 0;
  ssa *arguments = ARENA_ARRAY(e->arena, ssa, pointers + TILE_INTEGERS);
  ssa groups = dim(k, dims, DIM_GROUPS), first_c = k_mul(k, dim(k, dims, DIM_PIECES), k_int(k, 2));
  ssa c_index = k_add(k, first_c, group), first_column = k_add(k, first_c, groups);
  ssa first_slot = k_add(k, first_c, k_mul(k, groups, k_int(k, 1 + p->kinds)));
  arguments[count++] = k_load(k, args, c_index, K_PTR);
  for (int i = 0; i < p->slots.count; ++i) arguments[1 + i] = k_load(k, args, k_add(k, first_slot, k_int(k, i)), K_PTR);
  for (int i = 0; i < p->row_count && p->lists; ++i) {
    ssa index =
        k_add(k, k_add(k, first_slot, k_int(k, p->slots.count)), k_add(k, k_mul(k, groups, k_int(k, i)), group));
    arguments[1 + p->rows[i]] = k_load(k, args, index, K_PTR);
  }
  count += p->slots.count;
  for (int i = 0; i < p->kinds; ++i) {
    ssa index = k_add(k, k_add(k, first_column, k_mul(k, groups, k_int(k, i))), group);
    arguments[count++] = k_load(k, args, index, K_PTR);
  }
  memcpy(arguments + count, bounds, 4 * sizeof *bounds);
  count += 4;
  arguments[count++] = dim(k, dims, DIM_LDC);
  arguments[count++] = dim(k, dims, DIM_N);
  arguments[count++] = k_mul(k, group, dim(k, dims, DIM_M));
  k_call(k, p->tile, arguments, count);
}

static void write_epilogue(cpu_entry *e, const product *p) {
  kernel_text k = {0};
  ssa v[7];
  write_tile(e, &k, p);
  k_public_function(&k, p->epilogue, "ppiiiii", v);
  call_tile(e, &k, p, v[0], v[1], v[6], v + 2);
  k_return(&k);
  cpu_add_kernel(e->cg, p->epilogue, k.out.data);
  text_free(&k.out);
}

// ---- products with few rows

// B stored [n, k] is read by dot products, stored [k, n] by scaled sums of its rows (axpy); up to this many rows of A
// that is faster than OpenBLAS, which first packs all of B. Rows of A beyond those done at once find the block in the
// cache.
enum { FEW_ROWS_DOT = 16, FEW_ROWS_AXPY = 8, ROWS_AT_ONCE = 12, AXPY_ROWS_AT_ONCE = 4 };
// Columns of C a task; vectors of sums, or rows of B, in flight; bytes of B worth handing to a thread.
enum { DOT_BLOCK = 32, DOT_SUMS = 4, AXPY_BLOCK = 128, AXPY_STEP = 4, PIECE_BYTES = 65536 };
// Elements between the packed rows of A, whose strides are then no power of two: those of one column would all want the
// same lines of the first-level cache.
enum { PADDING = 16 };

static int vector_lanes(void) { return strstr(cpu_features(), "+avx512f") ? 16 : 8; }
static int64_t packed_stride(const plan_gemm *g) { return (g->k + PADDING - 1) / PADDING * PADDING + PADDING; }

// What the block functions get: name_block(a, b, c, scratch, column begin, column end, lda, ldb, ldc, whether to add
// to C).
typedef struct block_values {
  ssa a, b, c, scratch, begin, end, lda, ldb, ldc, adds;
  int first, rows; // rows of A at once; the next ones find the block of B in the cache
} block_values;

static block_values begin_block(kernel_text *k, const char *name) {
  ssa p[10];
  k_function(k, name, "nnnniiiiii", p);
  return (block_values){p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7], p[8], p[9], 0, 0};
}

static void store_sum(kernel_text *k, const block_values *v, ssa sum, ssa row, ssa column) {
  ssa to = k_add(k, k_mul(k, v->ldc, row), column), adds = k_compare(k, "eq", v->adds, k_int(k, 1));
  ssa before = k_select(k, adds, k_load(k, v->c, to, K_F32), k_float(k, 0)); // what is there first may be anything
  k_store(k, k_add(k, before, sum), v->c, to);
}

// sums[row of A][depth] += A[row] * weights, over `depth` vectors (or single elements, lanes 0) from `at` on.
static void dot_step(kernel_text *k, const block_values *v, const ssa *rows, ssa weights, ssa at, int depth, int lanes,
                     ssa *sums) {
  for (int d = 0; d < depth; ++d) {
    ssa here = d ? k_add(k, at, k_int(k, (int64_t)d * lanes)) : at;
    ssa w = lanes ? k_load_vector(k, weights, here, lanes) : k_load(k, weights, here, K_F32);
    for (int i = 0; i < v->rows; ++i) {
      ssa x = lanes ? k_load_vector(k, rows[i], here, lanes) : k_load(k, rows[i], here, K_F32);
      sums[i * depth + d] = k_fma(k, x, w, sums[i * depth + d]);
    }
  }
}

static void dot_loop(cpu_entry *e, kernel_text *k, const block_values *v, const ssa *rows, ssa weights, int64_t from,
                     int64_t to, int depth, int lanes, ssa *sums) {
  if (from >= to) return;
  int count = v->rows * depth;
  ssa at = k_for_carry(k, k_int(k, from), k_int(k, to), k_int(k, lanes ? lanes * depth : 1), sums, count);
  ssa *next = ARENA_ARRAY(e->arena, ssa, count);
  memcpy(next, sums, (size_t)count * sizeof *next);
  dot_step(k, v, rows, weights, at, depth, lanes, next);
  k_end_carry(k, next);
}

// B stored [n, k]: its rows one after the other, as they lie in memory, each against several (packed) rows of A at
// once, the sums kept in a few vectors, enough of them to hide the latency of an addition.
static void dot_rows(cpu_entry *e, kernel_text *k, const plan_gemm *g, const block_values *v) {
  int m = v->rows, lanes = vector_lanes(), depth = m < DOT_SUMS ? DOT_SUMS / m : 1;
  int64_t deep = g->k / (lanes * depth) * (lanes * depth), whole = g->k / lanes * lanes;
  ssa rows[ROWS_AT_ONCE] = {{0}}, sums[ROWS_AT_ONCE * DOT_SUMS] = {{0}};
  ssa nothing = k_splat(k, k_float(k, 0), lanes);
  for (int i = 0; i < m; ++i) rows[i] = k_at(k, v->a, k_int(k, (v->first + i) * packed_stride(g)));
  ssa column = k_for(k, v->begin, v->end, k_int(k, 1)), weights = k_at(k, v->b, k_mul(k, v->ldb, column));
  for (int s = 0; s < m * depth; ++s) sums[s] = nothing;
  dot_loop(e, k, v, rows, weights, 0, deep, depth, lanes, sums);
  for (int i = 0; i < m; ++i) {
    ssa sum = sums[i * depth];
    for (int d = 1; d < depth; ++d) sum = k_add(k, sum, sums[i * depth + d]);
    sums[i] = sum;
  }
  dot_loop(e, k, v, rows, weights, deep, whole, 1, lanes, sums);
  for (int i = 0; i < m; ++i) sums[i] = k_sum_lanes(k, sums[i]);
  dot_loop(e, k, v, rows, weights, whole, g->k, 1, 0, sums);
  for (int i = 0; i < m; ++i) store_sum(k, v, sums[i], k_int(k, v->first + i), column);
  k_end(k);
}

// `step` rows of B from row `at` on, times their elements of A, added to the sums [m, AXPY_BLOCK] in scratch.
static void axpy_step(kernel_text *k, const block_values *v, ssa width, ssa at, int step) {
  ssa x[AXPY_ROWS_AT_ONCE][AXPY_STEP], rows[AXPY_STEP], weights[AXPY_STEP];
  for (int s = 0; s < step; ++s) {
    ssa row = k_add(k, at, k_int(k, s));
    for (int i = 0; i < v->rows; ++i)
      x[i][s] = k_load(k, v->a, k_add(k, k_mul(k, v->lda, k_int(k, v->first + i)), row), K_F32);
    rows[s] = k_add(k, k_mul(k, v->ldb, row), v->begin);
  }
  ssa column = k_for(k, k_int(k, 0), width, k_int(k, 1));
  for (int s = 0; s < step; ++s) weights[s] = k_load(k, v->b, k_add(k, rows[s], column), K_F32);
  for (int i = 0; i < v->rows; ++i) {
    ssa to = k_add(k, k_int(k, (int64_t)i * AXPY_BLOCK), column), sum = k_load(k, v->scratch, to, K_F32);
    for (int s = 0; s < step; ++s) sum = k_fma(k, x[i][s], weights[s], sum);
    k_store(k, sum, v->scratch, to);
  }
  k_end(k);
}

// B stored [k, n]: rows of B scaled and added, which reads B along its rows.
static void axpy_rows(kernel_text *k, const plan_gemm *g, const block_values *v) {
  ssa zero = k_int(k, 0), one = k_int(k, 1), width = k_sub(k, v->end, v->begin);
  int64_t whole = g->k / AXPY_STEP * AXPY_STEP;
  k_zero(k, v->scratch, k_int(k, (int64_t)v->rows * AXPY_BLOCK));
  ssa at = k_for(k, zero, k_int(k, whole), k_int(k, AXPY_STEP));
  axpy_step(k, v, width, at, AXPY_STEP);
  k_end(k);
  for (int64_t rest = whole; rest < g->k; ++rest) axpy_step(k, v, width, k_int(k, rest), 1);
  ssa row = k_for(k, zero, k_int(k, v->rows), one), column = k_for(k, zero, width, one);
  ssa sum = k_load(k, v->scratch, k_add(k, k_mul(k, row, k_int(k, AXPY_BLOCK)), column), K_F32);
  store_sum(k, v, sum, k_add(k, row, k_int(k, v->first)), k_add(k, v->begin, column));
  k_end(k);
  k_end(k);
}

static void write_block(cpu_entry *e, kernel_text *k, const plan_gemm *g, const char *name) {
  block_values v = begin_block(k, name);
  int most = g->trans_b ? ROWS_AT_ONCE : AXPY_ROWS_AT_ONCE;
  int parts = ((int)g->m + most - 1) / most, rows = ((int)g->m + parts - 1) / parts;
  for (v.first = 0; v.first < g->m; v.first += rows) {
    v.rows = (int)g->m - v.first < rows ? (int)g->m - v.first : rows;
    if (g->trans_b) dot_rows(e, k, g, &v);
    else axpy_rows(k, g, &v);
  }
  k_return(k);
}

static int64_t block_length(const plan_gemm *g) { return g->trans_b ? DOT_BLOCK : AXPY_BLOCK; }

static int64_t few_rows_scratch(const plan_gemm *g) {
  return (g->trans_b ? g->m * packed_stride(g) : g->m * AXPY_BLOCK) * (int64_t)sizeof(float);
}

// The rows of A into scratch; the address of what the block function reads as A.
static ssa pack_rows(kernel_text *k, const plan_gemm *g, ssa scratch, ssa a, ssa lda) {
  if (!g->trans_b) return a;
  for (int i = 0; i < g->m; ++i)
    k_copy(k, k_at(k, scratch, k_int(k, i * packed_stride(g))), k_at(k, a, k_mul(k, lda, k_int(k, i))), k_int(k, g->k));
  return scratch;
}

// args, dims: as above. tasks: groups x blocks of columns.
static void write_few_rows(cpu_entry *e, const product *p, const char *name) {
  const plan_gemm *g = &p->gemm;
  kernel_text text = {0}, *k = &text;
  const char *block_name = arena_printf(e->arena, "%s_block", name);
  if (p->body) write_tile(e, k, p);
  write_block(e, k, g, block_name);
  kernel_abi abi = k_kernel(k, name);
  ssa n = k_dim(k, abi, DIM_N), zero = k_int(k, 0), one = k_int(k, 1);
  ssa lda = k_dim(k, abi, DIM_LDA), ldb = k_dim(k, abi, DIM_LDB), ldc = k_dim(k, abi, DIM_LDC);
  ssa length = k_int(k, block_length(g)), blocks = k_div(k, k_sub(k, k_add(k, n, length), one), length);
  ssa first = k_div(k, abi.begin, blocks), last = k_div(k, k_sub(k, abi.end, one), blocks);
  ssa group = k_for(k, first, k_add(k, last, one), one), start = k_mul(k, group, blocks);
  ssa pieces = k_dim(k, abi, DIM_PIECES),
      c = k_load(k, abi.args, k_add(k, k_mul(k, pieces, k_int(k, 2)), group), K_PTR);
  ssa from = k_sub(k, k_max(k, abi.begin, start), start), to = k_min(k, blocks, k_sub(k, abi.end, start));
  ssa first_piece = k_load(k, abi.dims, k_add(k, k_int(k, DIM_FIRST), group), K_I64);
  ssa piece = k_for(k, first_piece, k_load(k, abi.dims, k_add(k, k_int(k, DIM_FIRST + 1), group), K_I64), one);
  ssa a = k_load(k, abi.args, piece, K_PTR), b = k_load(k, abi.args, k_add(k, pieces, piece), K_PTR);
  a = pack_rows(k, g, abi.scratch, a, lda);
  ssa later = k_convert(k, k_compare(k, "sgt", piece, first_piece), K_I64), adds = g->accumulate ? one : later;
  ssa block = k_for(k, from, to, one), begin = k_mul(k, block, length), end = k_min(k, n, k_add(k, begin, length));
  K_CALL(k, block_name, a, b, c, g->trans_b ? k_null(k) : abi.scratch, begin, end, lda, ldb, ldc, adds);
  k_end(k);
  k_end(k);
  if (p->body) {
    const ssa bounds[] = {zero, k_int(k, g->m), k_mul(k, from, length), k_min(k, n, k_mul(k, to, length))};
    call_tile(e, k, p, abi.args, abi.dims, group, bounds);
  }
  k_end(k);
  k_return(k);
  cpu_add_kernel(e->cg, name, text.out.data);
  text_free(&text.out);
}

// ---- the launch

// The places of an operand of every group (piece): one value each, or one value for all with a stride between groups.
static bool group_args(cpu_entry *e, plan_launch *launch, MlirOperation op, segment s, bool results, const char *name,
                       int64_t groups, lmn_error *error) {
  if (s.count != groups && s.count != 1)
    return fail(error, "%d values of %s for %lld groups", s.count, name, (long long)groups);
  int64_t stride = s.count == 1 && groups > 1 ? ir_int(op, arena_printf(e->arena, "%s_stride", name)) : 0;
  for (int64_t g = 0; g < groups; ++g) {
    int n = s.first + (int)(s.count == 1 ? 0 : g);
    plan_ref place = ir_place(results ? mlirOperationGetResult(op, n) : mlirOperationGetOperand(op, n));
    place.offset += g * stride * (int64_t)sizeof(float);
    cpu_arg(e, launch, place);
  }
  return true;
}

static bool same_place(plan_ref a, plan_ref b) { return a.space == b.space && a.offset == b.offset; }

static bool check_places(cpu_entry *e, MlirOperation op, const product *p, lmn_error *error) {
  segment accumulate = ir_operands(e->ir, op, 2), c = ir_results(e->ir, op, 0);
  if (accumulate.count && accumulate.count != c.count)
    return fail(error, "%d values to accumulate into %d results", accumulate.count, c.count);
  for (int i = 0; i < accumulate.count; ++i)
    if (!same_place(ir_place(mlirOperationGetOperand(op, accumulate.first + i)),
                    ir_place(mlirOperationGetResult(op, c.first + i))))
      return fail(error, "result %d is not in the place of the value it accumulates into", i);
  for (int i = 0; i < c.count; ++i)
    for (int s = 0; s < p->slots.count; ++s)
      if (same_place(ir_place(mlirOperationGetResult(op, c.first + i)), p->slots.places[s]))
        return fail(error, "result %d is in the place of a row operand or extra of the epilogue", i);
  return true;
}

static int64_t count_pieces(MlirOperation op) {
  int64_t pieces = 0;
  for (int g = 0; g < ir_count(op, "pieces"); ++g) pieces += ir_int_at(op, "pieces", g);
  return ir_count(op, "pieces") ? pieces : ir_int(op, "groups");
}

static void product_dims(cpu_entry *e, plan_launch *launch, MlirOperation op, const product *p) {
  const plan_gemm *g = &p->gemm;
  const int64_t dims[] = {g->m, g->n, g->ldc, g->groups, g->lda, g->ldb, p->pieces, 0};
  for (size_t i = 0; i < LENGTH(dims); ++i) cpu_dim(e, launch, dims[i]);
  for (int64_t group = 0, next = 0; group < g->groups; ++group) {
    next += ir_count(op, "pieces") ? ir_int_at(op, "pieces", (int)group) : 1;
    cpu_dim(e, launch, next);
  }
}

static void read_product(cpu_entry *e, MlirOperation op, product *p) {
  plan_gemm *g = &p->gemm;
  *g = (plan_gemm){.m = ir_int(op, "m"), .n = ir_int(op, "n"), .k = ir_int(op, "k"), .groups = ir_int(op, "groups")};
  g->pieces = ir_count(op, "pieces") ? count_pieces(op) : 0;
  p->pieces = count_pieces(op);
  p->lists = ir_int(op, "lists") != 0;
  g->lda = ir_int(op, "lda"), g->ldb = ir_int(op, "ldb"), g->ldc = ir_int(op, "ldc");
  g->trans_a = ir_int(op, "trans_a") != 0, g->trans_b = ir_int(op, "trans_b") != 0;
  g->accumulate = ir_operands(e->ir, op, 2).count > 0;
  segment columns = ir_operands(e->ir, op, 3), rows = ir_operands(e->ir, op, 4), extras = ir_results(e->ir, op, 1);
  text signature = {0};
  const char *body = ir_text(e->ir, op, "epilogue");
  p->body = body ? cpu_body(e, body) : NULL;
  p->kinds = (int)(columns.count / g->groups);
  if (p->lists) rows.count /= (int)g->groups;
  p->row_count = rows.count;
  p->extra_count = extras.count;
  p->rows = (p->lists ? list_slots : slots_of)(e, &p->slots, op, rows, false, &signature);
  p->extras = slots_of(e, &p->slots, op, extras, true, &signature);
  text_printf(&signature, "%d;%d;%s", p->kinds, p->lists, p->body ? p->body : "");
  p->epilogue = kernel_name(e, "epilogue", p->kinds, &signature);
  p->tile = arena_printf(e->arena, "%s_tile", p->epilogue);
}

static plan_launch *launch_few_rows(cpu_entry *e, MlirOperation op, product *p) {
  const plan_gemm *g = &p->gemm;
  text signature = {0};
  text_printf(&signature, "%lld;%d;%d;%s", (long long)g->m, g->trans_b, g->accumulate, p->body ? p->epilogue : "");
  const char *name = kernel_name(e, "few_rows", g->k, &signature);
  p->tile = arena_printf(e->arena, "%s_tile", name);
  if (!cpu_has_kernel(e->cg, name)) write_few_rows(e, p, name);
  plan_launch *launch = cpu_launch(e, op, LAUNCH_KERNEL, name);
  int64_t block = block_length(g), bytes = block * g->k * (int64_t)sizeof(float);
  launch->tasks = g->groups * ((g->n + block - 1) / block);
  launch->grain = bytes < PIECE_BYTES ? PIECE_BYTES / bytes : 1;
  launch->scratch = few_rows_scratch(g);
  return launch;
}

static plan_launch *launch_gemm(cpu_entry *e, MlirOperation op, const product *p) {
  if (p->body && !cpu_has_kernel(e->cg, p->epilogue)) write_epilogue(e, p);
  plan_launch *launch = cpu_launch(e, op, LAUNCH_GEMM, p->body ? p->epilogue : NULL);
  launch->gemm = p->gemm;
  return launch;
}

static bool emit_product(cpu_entry *e, MlirOperation op, product *p, lmn_error *error) {
  const plan_gemm *g = &p->gemm;
  segment columns = ir_operands(e->ir, op, 3);
  if (columns.count % g->groups) return fail(error, "%d columns for %lld groups", columns.count, (long long)g->groups);
  if (!p->body && (columns.count || p->row_count || p->extra_count))
    return fail(error, "columns, rows or extras without an epilogue");
  segment rows = ir_operands(e->ir, op, 4);
  int pieces = ir_count(op, "pieces");
  if ((p->lists && rows.count % g->groups) || (pieces && pieces != g->groups) || p->pieces < g->groups)
    return fail(error, "pieces or lists that are not one a group");
  if (!check_places(e, op, p, error)) return false;
  bool few_rows = !g->trans_a && g->m <= (g->trans_b ? FEW_ROWS_DOT : FEW_ROWS_AXPY);
  plan_launch *launch = few_rows ? launch_few_rows(e, op, p) : launch_gemm(e, op, p);
  launch_shape(e->arena, launch, g);
  if (!group_args(e, launch, op, ir_operands(e->ir, op, 0), false, "a", p->pieces, error) ||
      !group_args(e, launch, op, ir_operands(e->ir, op, 1), false, "b", p->pieces, error) ||
      !group_args(e, launch, op, ir_results(e->ir, op, 0), true, "c", g->groups, error))
    return false;
  for (int i = 0; i < columns.count; ++i) cpu_arg_value(e, launch, mlirOperationGetOperand(op, columns.first + i));
  for (int i = 0; i < p->slots.count; ++i) cpu_arg(e, launch, p->slots.places[i]);
  for (int i = 0; i < rows.count && p->lists; ++i)
    cpu_arg_value(e, launch, mlirOperationGetOperand(op, rows.first + i));
  product_dims(e, launch, op, p);
  return true;
}

bool cpu_emit_gemm(cpu_entry *e, MlirOperation op, lmn_error *error) {
  product p = {0};
  if (ir_int(op, "groups") < 1) return fail(error, "groups must be at least 1");
  if (ir_text(e->ir, op, "glu")) return fail(error, "only sm_90a has products with a gated unit (glu)");
  read_product(e, op, &p);
  bool ok = emit_product(e, op, &p, error);
  slots_free(&p.slots);
  return ok;
}
