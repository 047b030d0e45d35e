#include "codegen/cpu/internal.h"

#include <stdlib.h>
#include <string.h>

#include "mlir-c/Support.h"

// ---- the emitters

// Ops that launch nothing: their values are memory that is there, or the place plan-memory gave them.
static bool nothing(cpu_entry *e, MlirOperation op, lmn_error *error) {
  (void)e, (void)op, (void)error;
  return true;
}

static bool mark(cpu_entry *e, MlirOperation op, lmn_error *error) {
  (void)error;
  e->launches.vertices = ir_int(op, "vertices");
  return true;
}

static cpu_emitter *const emitters[OP_COUNT] = {
    [KERNEL_BUFFER] = nothing,
    [KERNEL_VIEW] = nothing,
    [KERNEL_MARK] = mark,
    [KERNEL_OUTPUT] = nothing,
    [KERNEL_GRADIENT] = nothing,
    [KERNEL_ZERO] = cpu_emit_zero,
    [KERNEL_COPY] = cpu_emit_copy,
    [KERNEL_GEMM] = cpu_emit_gemm,
    [KERNEL_ROW] = cpu_emit_row,
    [KERNEL_COLUMN] = cpu_emit_column,
    [KERNEL_GLU] = cpu_emit_glu,
    [KERNEL_GLU_GRAD] = cpu_emit_glu_grad,
    [KERNEL_ROPE] = cpu_emit_rope,
    [KERNEL_ATTENTION] = cpu_emit_attention,
    [KERNEL_ATTENTION_GRAD] = cpu_emit_attention_grad,
    [KERNEL_ATTENTION_CACHED] = cpu_emit_attention_cached,
    [KERNEL_EMBED] = cpu_emit_embed,
    [KERNEL_EMBED_GRAD] = cpu_emit_embed_grad,
    [KERNEL_PREFIX_GRAD] = cpu_emit_prefix_grad,
    [KERNEL_SELECT] = cpu_emit_select,
    [KERNEL_SELECT_GRAD] = cpu_emit_select_grad,
    [KERNEL_CROSS_ENTROPY] = cpu_emit_cross_entropy,
    [KERNEL_GRADIENT_NORM] = cpu_emit_gradient_norm,
    [KERNEL_ADAMW] = cpu_emit_adamw,
};

bool cpu_codegen_entry(cpu_codegen *cg, ir *m, plan_entry *entry, lmn_error *error) {
  cpu_entry e = {.cg = cg, .ir = m, .plan = cg->plan, .arena = cg->arena, .launches = launches_of(cg->arena, entry)};
  op_list ops = ir_ops(m);
  for (int i = 0; i < ops.count; ++i) {
    op_code code = ir_code(m, ops.items[i]);
    if (code == OP_COUNT || !emitters[code]) {
      MlirStringRef name = mlirIdentifierStr(mlirOperationGetName(ops.items[i]));
      return fail(error,
                  "the CPU back end has no kernel for %.*s; every op must have been lowered to the kernel dialect",
                  (int)name.length, name.data);
    }
    int first = entry->launch_count;
    if (!emitters[code](&e, ops.items[i], error)) return fail_in(error, "%s", op_name(code));
    launches_cost(&e.launches, first, cost_of_op(m, ops.items[i]));
  }
  return true;
}

// ---- kernels

cpu_codegen *cpu_codegen_create(arena *a, const plan *p, const char *cache) {
  cpu_codegen *cg = ARENA_NEW(a, cpu_codegen);
  cg->arena = a;
  cg->plan = p;
  cg->cache = cache && *cache ? arena_string(a, cache) : NULL;
  return cg;
}

void cpu_codegen_time(cpu_codegen *cg, timings *t) { cg->timings = t; }

void cpu_codegen_destroy(cpu_codegen *cg) {
  if (!cg) return;
  free(cg->kernels);
  free(cg->bodies);
}

static bool has_function(const cpu_function *functions, int count, const char *name) {
  for (int i = 0; i < count; ++i)
    if (!strcmp(functions[i].name, name)) return true;
  return false;
}

bool cpu_has_kernel(const cpu_codegen *cg, const char *name) {
  return has_function(cg->kernels, cg->kernel_count, name);
}

void cpu_add_kernel(cpu_codegen *cg, const char *name, const char *mlir) {
  if (cpu_has_kernel(cg, name)) return;
  GROW(cg->kernels, cg->kernel_count, cg->kernel_capacity);
  cg->kernels[cg->kernel_count++] = (cpu_function){arena_string(cg->arena, name), arena_string(cg->arena, mlir)};
}

// ---- bodies

static MlirStringRef ref(const char *string) { return mlirStringRefCreateFromCString(string); }

static void append(MlirStringRef part, void *to) { text_add_bytes(to, part.data, part.length); }

// Points the calls inside a body at the called bodies' own unique names, which thereby are part of the text that is
// hashed.
static MlirWalkResult rename_call(MlirOperation op, void *user) {
  cpu_entry *e = user;
  if (!mlirStringRefEqual(mlirIdentifierStr(mlirOperationGetName(op)), ref("func.call"))) return MlirWalkResultAdvance;
  const char *callee = cpu_body(e, ir_text(e->ir, op, "callee"));
  mlirOperationSetAttributeByName(op, ref("callee"), mlirFlatSymbolRefAttrGet(e->ir->context, ref(callee)));
  return MlirWalkResultAdvance;
}

static void rename_and_print(MlirOperation function, MlirContext context, const char *name, text *out) {
  mlirOperationSetAttributeByName(function, ref("sym_name"), mlirStringAttrGet(context, ref(name)));
  mlirOperationSetAttributeByName(function, ref("sym_visibility"), mlirStringAttrGet(context, ref("private")));
  mlirOperationPrint(function, append, out);
}

const char *cpu_body(cpu_entry *e, const char *symbol) {
  MlirOperation found = symbol ? ir_body_function(e->ir, symbol) : (MlirOperation){NULL};
  if (mlirOperationIsNull(found)) {
    fprintf(stderr, "internal error: the module has no body @%s\n", symbol ? symbol : "(none)");
    abort();
  }
  cpu_codegen *cg = e->cg;
  MlirOperation function = mlirOperationClone(found);
  mlirOperationWalk(function, rename_call, e, MlirWalkPreOrder);
  text printed = {0};
  rename_and_print(function, e->ir->context, CPU_BODY_PREFIX, &printed);
  uint64_t hash = hash_bytes(HASH_START, printed.data, printed.length);
  const char *name = arena_printf(cg->arena, CPU_BODY_PREFIX "%016llx", (unsigned long long)hash);
  printed.length = 0;
  if (!has_function(cg->bodies, cg->body_count, name)) {
    rename_and_print(function, e->ir->context, name, &printed);
    GROW(cg->bodies, cg->body_count, cg->body_capacity);
    cg->bodies[cg->body_count++] = (cpu_function){name, arena_string(cg->arena, printed.data)};
  }
  text_free(&printed);
  mlirOperationDestroy(function);
  return name;
}

// ---- launches

plan_launch *cpu_launch(cpu_entry *e, MlirOperation op, launch_kind kind, const char *kernel) {
  plan_launch *launch = launch_add(&e->launches, e->ir, op, kind, kernel);
  launch->grain = 1;
  launch->rides = ir_int(op, "rides") != 0;
  return launch;
}

void cpu_arg(cpu_entry *e, plan_launch *launch, plan_ref place) { launch_arg(e->arena, launch, place); }

void cpu_arg_value(cpu_entry *e, plan_launch *launch, MlirValue value) { cpu_arg(e, launch, ir_place(value)); }

void cpu_dim(cpu_entry *e, plan_launch *launch, int64_t dim) { launch_dim(e->arena, launch, dim); }
