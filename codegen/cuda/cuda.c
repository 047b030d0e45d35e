#include "codegen/cuda/internal.h"
#include "codegen/cuda/texts.h"
#include "codegen/order.h"

#include <stdlib.h>
#include <string.h>

// ---- the emitters

// Ops that launch nothing: their values are memory that is there, or the place plan-memory gave them.
static bool nothing(cuda_entry *e, MlirOperation op, lmn_error *error) {
  (void)e, (void)op, (void)error;
  return true;
}

static bool mark(cuda_entry *e, MlirOperation op, lmn_error *error) {
  (void)error;
  e->launches.vertices = ir_int(op, "vertices");
  return true;
}

static cuda_emitter *const emitters[OP_COUNT] = {
    [KERNEL_BUFFER] = nothing,
    [KERNEL_VIEW] = nothing,
    [KERNEL_MARK] = mark,
    [KERNEL_OUTPUT] = nothing,
    [KERNEL_GRADIENT] = nothing,
    [KERNEL_ZERO] = cuda_emit_zero,
    [KERNEL_COPY] = cuda_emit_copy,
    [KERNEL_GEMM] = cuda_emit_gemm,
    [KERNEL_ROW] = cuda_emit_row,
    [KERNEL_ROW_SUMS] = cuda_emit_row_sums,
    [KERNEL_COLUMN] = cuda_emit_column,
    [KERNEL_TOTAL] = cuda_emit_total,
    [KERNEL_GLU] = cuda_emit_glu,
    [KERNEL_GLU_GRAD] = cuda_emit_glu_grad,
    [KERNEL_ROPE] = cuda_emit_rope,
    [KERNEL_ATTENTION] = cuda_emit_attention,
    [KERNEL_ATTENTION_GRAD] = cuda_emit_attention_grad,
    [KERNEL_ATTENTION_CACHED] = cuda_emit_attention_cached,
    [KERNEL_EMBED] = cuda_emit_embed,
    [KERNEL_EMBED_GRAD] = cuda_emit_embed_grad,
    [KERNEL_PREFIX_GRAD] = cuda_emit_prefix_grad,
    [KERNEL_SELECT] = cuda_emit_select,
    [KERNEL_SELECT_GRAD] = cuda_emit_select_grad,
    [KERNEL_CROSS_ENTROPY] = cuda_emit_cross_entropy,
    [KERNEL_GRADIENT_NORM] = cuda_emit_gradient_norm,
    [KERNEL_ADAMW] = cuda_emit_adamw,
};

bool cuda_codegen_entry(cuda_codegen *cg, ir *m, plan_entry *entry, lmn_error *error) {
  cuda_entry e = {.cg = cg,
                  .ir = m,
                  .plan = cg->plan,
                  .arena = cg->arena,
                  .launches = launches_of(cg->arena, entry),
                  .architecture = cg->architecture,
                  .tiles = cg->tiles,
                  .arena_bytes = entry->arena_bytes,
                  .measured = cg->measured,
                  .trials = cg->trials};
  op_list ops = ir_ops(m);
  int *firsts = ARENA_ARRAY(cg->arena, int, ops.count + 1);
  for (int i = 0; i < ops.count; ++i) {
    op_code code = ir_code(m, ops.items[i]);
    if (code == OP_COUNT || !emitters[code]) {
      MlirStringRef name = mlirIdentifierStr(mlirOperationGetName(ops.items[i]));
      return fail(error,
                  "the CUDA back end has no kernel for %.*s; every op must have been lowered to the kernel dialect",
                  (int)name.length, name.data);
    }
    int first = firsts[i] = entry->launch_count;
    if (!emitters[code](&e, ops.items[i], error)) return fail_in(error, "%s", op_name(code));
    launches_cost(&e.launches, first, cost_of_op(m, ops.items[i]));
  }
  firsts[ops.count] = entry->launch_count;
  order_launches(cg->arena, m, &ops, firsts, e.arena_bytes, entry);
  return true;
}

// ---- kernels

cuda_codegen *cuda_codegen_create(arena *a, const plan *p, const char *architecture, const char *cache) {
  cuda_codegen *cg = ARENA_NEW(a, cuda_codegen);
  cg->arena = a;
  cg->plan = p;
  cg->architecture = architecture;
  cg->cache = cache && *cache ? arena_string(a, cache) : NULL;
  return cg;
}

void cuda_codegen_time(cuda_codegen *cg, timings *t) { cg->timings = t; }

void cuda_codegen_lines(cuda_codegen *cg) { cg->lines = true; }

void cuda_codegen_tiles(cuda_codegen *cg, const char *tiles) { cg->tiles = tiles; }

void cuda_codegen_measured(cuda_codegen *cg, const tiles_file *measured) { cg->measured = measured; }

void cuda_codegen_try(cuda_codegen *cg, cuda_trials *trials) { cg->trials = trials; }

void cuda_codegen_destroy(cuda_codegen *cg) {
  if (!cg) return;
  for (int i = 0; i < cg->kernel_count; ++i) free(cg->kernels[i].cubin);
  free(cg->kernels);
}

const cuda_kernel *cuda_kernels(const cuda_codegen *cg, int *count) {
  *count = cg->kernel_count;
  return cg->kernels;
}

void cuda_include(cuda_source *s, const char *cuh) {
  text_add(&s->functions, cuh);
  text_add(&s->functions, cuda_line_of_place);
  text_add(&s->functions, "\n");
}

bool cuda_drop(cuda_source *s) {
  text_free(&s->functions);
  text_free(&s->body);
  free(s->bodies);
  *s = (cuda_source){0};
  return false;
}

// The program but for its comment, with `name` as the kernel's.
static void write_program(const plan_launch *l, const cuda_source *s, const char *name, text *out) {
  if (l->map_count) text_add(out, "struct alignas(64) tensor_map {\n  unsigned long long words[16];\n};\n");
  const cuda_room room = plan_room(l);
  text_add(out, "struct parameters {\n");
  if (room.maps) text_printf(out, "  tensor_map maps[%lld];\n", (long long)room.maps);
  text_printf(out, "  void *args[%lld];\n", (long long)room.args);
  if (room.dims) text_printf(out, "  long long dims[%lld];\n", (long long)room.dims);
  text_add(out, "};\n\n");
  text_add(out, cuda_text_types);
  text_add(out, cuda_line_of_place);
  text_add(out, "\n");
  text_add_bytes(out, s->functions.data, s->functions.length); // a launch writes it: no printing of what is long
  text_add(out, cuda_line_of_place);
  text_printf(out, "extern \"C\" __global__ void %s__launch_bounds__(%lld, 1)\n%s(", s->attributes ? s->attributes : "",
              (long long)l->block, name);
  if (l->table) text_add(out, "const parameters *__restrict__ table) {\n  const parameters &p = *table;\n");
  else text_add(out, "const __grid_constant__ parameters p) {\n");
  text_add_bytes(out, s->body.data, s->body.length);
  text_add(out, "}\n");
}

static const char *comment_of(cuda_entry *e, const plan_launch *l) {
  text out = {0};
  text_printf(&out, "// %s; %d args; dims", l->what, l->arg_count);
  for (int i = 0; i < l->dim_count && i < 12; ++i) text_printf(&out, " %lld", (long long)l->dims[i]);
  text_printf(&out, "%s; grid %lld x %lld x %lld\n", l->dim_count > 12 ? " …" : "", (long long)l->grid[0],
              (long long)l->grid[1], (long long)l->grid[2]);
  const char *comment = arena_string(e->arena, out.data);
  text_free(&out);
  return comment;
}

static void add_kernel(cuda_entry *e, plan_launch *l, const char *kind, const cuda_source *s) {
  cuda_codegen *cg = e->cg;
  text program = {0};
  write_program(l, s, "KERNEL", &program);
  uint64_t hash = hash_words(HASH_START, program.data, program.length); // quick: there are many launches
  l->kernel = arena_printf(cg->arena, "%s_%016llx", kind, (unsigned long long)hash);
  int i = 0;
  while (i < cg->kernel_count && strcmp(cg->kernels[i].name, l->kernel)) ++i;
  if (i == cg->kernel_count) {
    program.length = 0;
    write_program(l, s, l->kernel, &program);
    GROW(cg->kernels, cg->kernel_count, cg->kernel_capacity);
    cg->kernels[cg->kernel_count++] = (cuda_kernel){.name = l->kernel,
                                                    .source = arena_string(cg->arena, program.data),
                                                    .what = l->what,
                                                    .comment = comment_of(e, l),
                                                    .block = l->block,
                                                    .shared = l->shared};
  }
  text_free(&program);
}

// ---- launches

const char *cuda_type(MlirValue value) { return value_is(value) && value_is_bf16(value) ? "bf16" : "float"; }

const char *cuda_type_of(MlirOperation op, segment part, bool results) {
  if (!part.count) return "float";
  return cuda_type(results ? mlirOperationGetResult(op, part.first) : mlirOperationGetOperand(op, part.first));
}

plan_launch *cuda_launch(cuda_entry *e, MlirOperation op) {
  return launch_add(&e->launches, e->ir, op, LAUNCH_CUDA, NULL);
}

void cuda_arg(cuda_entry *e, plan_launch *launch, plan_ref place) { launch_arg(e->arena, launch, place); }

void cuda_arg_value(cuda_entry *e, plan_launch *launch, MlirValue value) { cuda_arg(e, launch, ir_place(value)); }

void cuda_args(cuda_entry *e, plan_launch *launch, MlirOperation op, segment part, bool results) {
  for (int i = part.first; i < part.first + part.count; ++i)
    cuda_arg_value(e, launch, results ? mlirOperationGetResult(op, i) : mlirOperationGetOperand(op, i));
}

void cuda_dim(cuda_entry *e, plan_launch *launch, int64_t dim) { launch_dim(e->arena, launch, dim); }

plan_ref cuda_scratch(cuda_entry *e, int64_t bytes) {
  enum { ALIGNMENT = 256 };
  int64_t at = (e->arena_bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT, *end = &e->launches.entry->arena_bytes;
  if (at + bytes > *end) *end = at + bytes;
  return (plan_ref){SPACE_ARENA, at};
}

void cuda_make_room(plan_launch *launch, cuda_room room) {
  const cuda_room counts = plan_room(launch);
  if (counts.maps <= room.maps && counts.args <= room.args && counts.dims <= room.dims) launch->room = room;
}

void cuda_grid(plan_launch *launch, int64_t x, int64_t y, int64_t z, int64_t threads) {
  launch->grid[0] = x, launch->grid[1] = y, launch->grid[2] = z;
  launch->block = threads;
}

bool cuda_finish(cuda_entry *e, plan_launch *l, const char *kind, cuda_source *s, lmn_error *error) {
  enum { GRID_YZ = 65535 };
  bool ok = true;
  if (l->grid[0] > INT32_MAX || l->grid[1] > GRID_YZ || l->grid[2] > GRID_YZ)
    ok = fail(error, "%s: a grid of %lld x %lld x %lld blocks is too large for CUDA; a smaller batch would fit",
              l->what, (long long)l->grid[0], (long long)l->grid[1], (long long)l->grid[2]);
  if (!l->grid[0] || !l->grid[1] || !l->grid[2]) { // nothing to do; the next launch begins the vertices' run
    --e->launches.entry->launch_count;
    if (l->vertices) e->launches.vertices = l->vertices;
  } else if (ok) {
    l->table = s->table || (!l->map_count && plan_parameter_bytes(l) > CUDA_PARAMETER_BYTES);
    if (plan_parameter_bytes(l) > CUDA_MAPS_PARAMETER_BYTES && !l->table)
      ok = fail(error, "%s: %d tensor maps and %d args are too many for one launch", l->what, l->map_count,
                l->arg_count);
    add_kernel(e, l, kind, s);
  }
  cuda_drop(s);
  return ok;
}
