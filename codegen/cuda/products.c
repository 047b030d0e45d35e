// kernel.gemm; see gemm.cuh and, of bf16, gemm_mma.cuh; products_sm90.c has the fast ones for sm_90a. args: A, then B
// of every piece, C of every group, columns kind by kind, rows, extras. dims: m, n, k, lda, ldb, ldc, and where a group
// has several pieces the first piece of every group and their end.
#include "codegen/cuda/products.h"
#include "codegen/cuda/texts.h"

#include <string.h>

enum { THREADS = 256, DIM_FIRST = 6 };

// ---- the kernel

// How a product is made: the text that makes it, and its tiles.
typedef struct method {
  bool tensor; // gemm_mma.cuh; else gemm.cuh
  int rows, columns, warp_rows, warp_columns, stages;
} method;

// Large tiles where there are enough of them to fill a GPU.
static method simple_method(const plan_gemm *g) {
  enum { ENOUGH = 128 };
  int64_t large = blocks_of(g->m, 128) * blocks_of(g->n, 128) * g->groups;
  if (g->m > 64 && g->n > 64 && large >= ENOUGH) return (method){.rows = 128, .columns = 128};
  return g->m <= 32 ? (method){.rows = 32, .columns = 64} : (method){.rows = 64, .columns = 64};
}

static method tensor_method(const plan_gemm *g) {
  enum { ENOUGH = 100, WIDE = 2048 };
  static const method widest = {true, 128, 256, 64, 64, 4}, large = {true, 128, 128, 64, 64, 4},
                      small = {true, 64, 64, 32, 32, 4}, flat = {true, 32, 64, 16, 32, 4};
  int64_t count = blocks_of(g->m, 128) * blocks_of(g->n, 128) * g->groups;
  if (g->m <= 32) return flat;
  if (g->m <= 64 || g->n <= 64 || count < ENOUGH) return small;
  return count >= 4 * ENOUGH && (g->n % 256 == 0 || g->n >= WIDE) ? widest : large;
}

// Which kernel makes a product: here alone is that said.
static method method_of(const product *p) {
  bool bf16 = !strcmp(p->types.a, "bf16") && !strcmp(p->types.b, "bf16");
  return bf16 ? tensor_method(&p->gemm) : simple_method(&p->gemm);
}

static int64_t warps_of(const method *w) { return w->rows / w->warp_rows * (w->columns / w->warp_columns); }

static int64_t threads_of(const method *w) { return w->tensor ? 32 * warps_of(w) : THREADS; }

// Bytes of dynamic shared memory: the slices on their way, later the sums of 16 rows of each warp.
static int64_t shared_of(const method *w) {
  enum { STEPS = 32 };
  if (!w->tensor) return 0;
  int64_t slices = (int64_t)w->stages * (w->rows + w->columns) * STEPS * 2;
  int64_t sums = warps_of(w) * 16 * (w->warp_columns + 8) * (int64_t)sizeof(float);
  return slices > sums ? slices : sums;
}

// Of how many bf16, up to 8, the places of `count` args and the rows there are whole multiples.
static int alignment(const plan_launch *launch, int64_t first, int64_t count, int64_t leading) {
  int elements = 8;
  while (leading % elements) elements /= 2;
  for (int64_t i = first; i < first + count; ++i)
    while (launch->args[i].offset % (2 * elements)) elements /= 2;
  return elements;
}

// What a thread does with an element of C: finish(row, column, sum).
static void write_finish(const product *p, cuda_source *s) {
  const plan_gemm *g = &p->gemm;
  int64_t c = 2 * p->pieces, column = c + g->groups, row = column + p->kinds * g->groups;
  int64_t extra = row + p->rows * (p->lists ? g->groups : 1);
  text *t = &s->body;
  text_printf(t,
              "  const auto finish = [&](long long row, long long column, float sum) {\n"
              "    %s *c = (%s *)p.args[%lld + group] + row * p.dims[5] + column;\n",
              p->types.c, p->types.c, (long long)c);
  if (g->accumulate) text_add(t, "    sum += (float)*c;\n");
  if (!p->body) {
    text_add(t, "    *c = sum;\n  };\n");
    return;
  }
  if (p->rows || p->extras)
    text_add(
        t, "    const long long in_group = row * p.dims[1] + column, at = group * p.dims[0] * p.dims[1] + in_group;\n");
  text_add(t, "    float y");
  for (int i = 0; i < p->extras; ++i) text_printf(t, ", e%d", i);
  text_printf(t, ";\n    %s(sum", p->body);
  for (int i = 0; i < p->kinds; ++i)
    text_printf(t, ", ((const float *)p.args[%lld + group])[column]", (long long)(column + i * g->groups));
  for (int i = 0; i < p->rows; ++i)
    if (p->lists)
      text_printf(t, ", ((const %s *)p.args[%lld + group])[in_group]", p->row_type, (long long)(row + i * g->groups));
    else text_printf(t, ", ((const %s *)p.args[%lld])[at]", p->row_type, (long long)(row + i));
  text_add(t, ", y");
  for (int i = 0; i < p->extras; ++i) text_printf(t, ", e%d", i);
  text_add(t, ");\n    *c = y;\n");
  for (int i = 0; i < p->extras; ++i)
    text_printf(t, "    ((%s *)p.args[%lld])[at] = e%d;\n", p->extra_type, (long long)(extra + i), i);
  text_add(t, "  };\n");
}

static void write_method(const product *p, const method *w, const plan_launch *launch, cuda_source *s) {
  const plan_gemm *g = &p->gemm;
  text *t = &s->functions;
  text_printf(t, "constexpr int BM = %d, BN = %d;\nconstexpr bool TRANS_A = %s, TRANS_B = %s;\n", w->rows, w->columns,
              g->trans_a ? "true" : "false", g->trans_b ? "true" : "false");
  if (w->tensor)
    text_printf(t, "constexpr int WM = %d, WN = %d, STAGES = %d, ALIGN_A = %d, ALIGN_B = %d;\n\n", w->warp_rows,
                w->warp_columns, w->stages, alignment(launch, 0, p->pieces, g->lda),
                alignment(launch, p->pieces, p->pieces, g->ldb));
  else text_printf(t, "using A_TYPE = %s;\nusing B_TYPE = %s;\n\n", p->types.a, p->types.b);
  cuda_include(s, w->tensor ? cuda_text_gemm_mma : cuda_text_gemm);
}

static void write_product(const product *p, cuda_source *s) {
  text_add(&s->body, "  const int group = blockIdx.z;\n");
  write_finish(p, s);
  if (p->several)
    text_printf(&s->body, "  const int first = (int)p.dims[%d + group], pieces = (int)p.dims[%d + group] - first;\n",
                DIM_FIRST, DIM_FIRST + 1);
  else text_add(&s->body, "  const int first = group, pieces = 1;\n");
  text_printf(&s->body, "  product(p.dims, p.args + first, p.args + %lld + first, pieces, finish);\n",
              (long long)p->pieces);
}

// The launch, which has all its args, of the product.
static bool finish_product(cuda_entry *e, plan_launch *launch, const product *p, cuda_source *s, lmn_error *error) {
  const plan_gemm *g = &p->gemm;
  method w = method_of(p);
  const int64_t dims[DIM_FIRST] = {g->m, g->n, g->k, g->lda, g->ldb, g->ldc};
  for (int i = 0; i < DIM_FIRST; ++i) cuda_dim(e, launch, dims[i]);
  plan_gemm counted = *g;
  counted.pieces = p->several ? p->pieces : 0;
  launch_shape(e->arena, launch, &counted);
  if (sm90_takes(e, launch, p)) return sm90_product(e, launch, p, s, error);
  if (p->glu) {
    fail(error, "only sm_90a has products with a gated unit, of bf16 and at least 64 rows; leave the pass "
                "fuse-activations out");
    return cuda_drop(s);
  }
  for (int64_t group = 0; p->several && group <= g->groups; ++group) cuda_dim(e, launch, p->first[group]);
  cuda_grid(launch, blocks_of(g->m, w.rows), blocks_of(g->n, w.columns), g->groups, threads_of(&w));
  launch->shared = shared_of(&w);
  write_method(p, &w, launch, s);
  write_product(p, s);
  const char *kind = arena_printf(e->arena, "gemm%s_%dx%d_%c%c", w.tensor ? "_mma" : "", w.rows, w.columns,
                                  g->trans_a ? 't' : 'n', g->trans_b ? 't' : 'n');
  return cuda_finish(e, launch, kind, s, error);
}

static int bytes_of(const char *type) { return strcmp(type, "bf16") ? 4 : 2; }

bool cuda_product(cuda_entry *e, MlirOperation op, const plan_gemm *g, cuda_product_types types, plan_ref a, plan_ref b,
                  plan_ref c, lmn_error *error) {
  product p = {.gemm = *g, .pieces = 1, .types = types, .stored = true};
  p.gemm.groups = 1;
  cuda_source s = {0};
  plan_launch *launch = cuda_launch(e, op);
  cuda_arg(e, launch, a);
  cuda_arg(e, launch, b);
  cuda_arg(e, launch, c);
  launch_product(e->arena, launch, &p.gemm, (const int[]){bytes_of(types.a), bytes_of(types.b), bytes_of(types.c)});
  return finish_product(e, launch, &p, &s, error);
}

// ---- the op

// The places of an operand of every group (piece): one value each, or one value for all with a stride between groups.
static bool group_args(cuda_entry *e, plan_launch *launch, MlirOperation op, segment s, bool results, const char *name,
                       int64_t groups, lmn_error *error) {
  if (s.count != groups && s.count != 1)
    return fail(error, "%d values of %s for %lld groups", s.count, name, (long long)groups);
  int64_t stride = s.count == 1 && groups > 1 ? ir_int(op, arena_printf(e->arena, "%s_stride", name)) : 0;
  for (int64_t g = 0; g < groups; ++g) {
    int n = s.first + (int)(s.count == 1 ? 0 : g);
    MlirValue value = results ? mlirOperationGetResult(op, n) : mlirOperationGetOperand(op, n);
    plan_ref place = ir_place(value);
    place.offset += g * stride * value_element_bytes(value);
    cuda_arg(e, launch, place);
  }
  return true;
}

// An accumulator is in its result's place.
static bool check_places(cuda_entry *e, MlirOperation op, lmn_error *error) {
  segment accumulate = ir_operands(e->ir, op, 2), c = ir_results(e->ir, op, 0);
  if (accumulate.count && accumulate.count != c.count)
    return fail(error, "%d values to accumulate into %d results", accumulate.count, c.count);
  for (int i = 0; i < accumulate.count; ++i) {
    plan_ref from = ir_place(mlirOperationGetOperand(op, accumulate.first + i)),
             to = ir_place(mlirOperationGetResult(op, c.first + i));
    if (from.space != to.space || from.offset != to.offset)
      return fail(error, "result %d is not in the place of the value it accumulates into", i);
  }
  return true;
}

static bool read_product(cuda_entry *e, MlirOperation op, product *p, lmn_error *error) {
  plan_gemm *g = &p->gemm;
  *g = (plan_gemm){.m = ir_int(op, "m"), .n = ir_int(op, "n"), .k = ir_int(op, "k"), .groups = ir_int(op, "groups")};
  g->lda = ir_int(op, "lda"), g->ldb = ir_int(op, "ldb"), g->ldc = ir_int(op, "ldc");
  g->trans_a = ir_int(op, "trans_a") != 0, g->trans_b = ir_int(op, "trans_b") != 0;
  g->accumulate = ir_operands(e->ir, op, 2).count > 0;
  segment columns = ir_operands(e->ir, op, 3), rows = ir_operands(e->ir, op, 4), extras = ir_results(e->ir, op, 1);
  int listed = ir_count(op, "pieces");
  p->several = listed > 0;
  p->lists = ir_int(op, "lists") != 0;
  p->pieces = listed ? 0 : g->groups;
  p->first = ARENA_ARRAY(e->arena, int64_t, listed + 1);
  for (int i = 0; i < listed; ++i) p->first[i + 1] = p->pieces += ir_int_at(op, "pieces", i);
  if (g->groups < 1) return fail(error, "groups must be at least 1");
  if (columns.count % g->groups) return fail(error, "%d columns for %lld groups", columns.count, (long long)g->groups);
  if ((p->lists && rows.count % g->groups) || (listed && listed != g->groups) || p->pieces < g->groups)
    return fail(error, "pieces or lists that are not one a group");
  p->kinds = (int)(columns.count / g->groups);
  p->rows = p->lists ? rows.count / (int)g->groups : rows.count;
  p->extras = extras.count;
  p->types = (cuda_product_types){cuda_type_of(op, ir_operands(e->ir, op, 0), false),
                                  cuda_type_of(op, ir_operands(e->ir, op, 1), false),
                                  cuda_type_of(op, ir_results(e->ir, op, 0), true)};
  p->row_type = cuda_type_of(op, rows, false);
  p->extra_type = cuda_type_of(op, extras, true);
  bool epilogue = ir_text(e->ir, op, "epilogue") != NULL;
  const char *glu = ir_text(e->ir, op, "glu");
  p->glu = !glu ? GLU_NONE : !strcmp(glu, "grad") ? GLU_GRAD : GLU_VALUE;
  p->stored = ir_results(e->ir, op, 0).count > 0;
  if (!p->stored && p->glu != GLU_VALUE) return fail(error, "no result");
  if (p->glu && (!epilogue || p->kinds || g->accumulate || p->lists || p->extras > 1 ||
                 (p->glu == GLU_VALUE ? !g->trans_b || g->n % 2 || p->rows || p->extras != 1 : p->rows != 1)))
    return fail(error, "not the operands and results of a gated unit");
  if (!epilogue && (columns.count || rows.count || extras.count))
    return fail(error, "columns, rows or extras without an epilogue");
  return check_places(e, op, error);
}

bool cuda_emit_gemm(cuda_entry *e, MlirOperation op, lmn_error *error) {
  product p = {0};
  if (!read_product(e, op, &p, error)) return false;
  cuda_source s = {0};
  const char *body = ir_text(e->ir, op, "epilogue");
  if (body) {
    s.fast = (!p.stored || !strcmp(p.types.c, "bf16")) && (!p.extras || !strcmp(p.extra_type, "bf16"));
    cuda_include(&s, cuda_text_team);
    if (s.fast) cuda_include(&s, cuda_text_fast);
    p.body = cuda_body(e, &s, body, error);
    if (!p.body) return cuda_drop(&s);
  }
  plan_launch *launch = cuda_launch(e, op);
  if (!group_args(e, launch, op, ir_operands(e->ir, op, 0), false, "a", p.pieces, error) ||
      !group_args(e, launch, op, ir_operands(e->ir, op, 1), false, "b", p.pieces, error) ||
      (p.stored && !group_args(e, launch, op, ir_results(e->ir, op, 0), true, "c", p.gemm.groups, error)))
    return cuda_drop(&s);
  cuda_args(e, launch, op, ir_operands(e->ir, op, 3), false);
  cuda_args(e, launch, op, ir_operands(e->ir, op, 4), false);
  cuda_args(e, launch, op, ir_results(e->ir, op, 1), true);
  return finish_product(e, launch, &p, &s, error);
}
