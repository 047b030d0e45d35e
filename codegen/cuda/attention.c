// kernel.attention, attention_grad, attention_cached: on tensor cores where attention_sm90.c or attention_mma.c
// can, else, and over a KV cache, as in attention.cuh and attention_grad.cuh.
#include "codegen/cuda/attention.h"
#include "codegen/cuda/texts.h"

#include <string.h>

enum { THREADS = 128, WARPS = 4, KEYS = 32, HEAD_MAX = 256 }; // as in attention.cuh

static bool read_attention(cuda_entry *e, MlirOperation op, bool starts, attention *a, lmn_error *error) {
  *a = (attention){.heads = ir_int(op, "heads"),
                   .key_heads = ir_int(op, "key_value_heads"),
                   .head = ir_int(op, "head_size"),
                   .length = ir_int(op, "length"),
                   .batch = ir_int(op, "batch"),
                   .segments = ir_int(op, "segments"),
                   .scale = ir_real(op, "scale"),
                   .element = cuda_type(ir_operand(e->ir, op, 0)),
                   .starts = starts};
  a->sequences = value_rows(ir_operand(e->ir, op, 0)) / a->length;
  a->rows = a->head <= 128 ? 8 : 4; // what registers and shared memory hold
  if (a->head > HEAD_MAX)
    return fail(error, "heads of %lld columns; the CUDA back end has attention for up to %d", (long long)a->head,
                HEAD_MAX);
  return true;
}

static int64_t block_rows(const attention *a) { return (int64_t)WARPS * a->rows; }
static int64_t padded(const attention *a) { return a->head | 1; }

static void constants(const attention *a, cuda_source *s) {
  text_printf(&s->functions,
              "using element = %s;\nconstexpr int HEAD = %lld, ROWS = %d;\nconstexpr bool STARTS = %s;\n"
              "constexpr float SCALE = ",
              a->element, (long long)a->head, a->rows, a->starts ? "true" : "false");
  cuda_float(&s->functions, a->scale);
  text_add(&s->functions, ";\n\n");
  cuda_include(s, cuda_text_team);
  cuda_include(s, cuda_text_attention);
}

// call: the function of the .cuh files that is the kernel.
static bool finish(cuda_entry *e, plan_launch *launch, const char *kind, const char *call, const attention *a,
                   int64_t floats, lmn_error *error) {
  bool gradient = !strncmp(kind, "attention_grad", 14);
  cuda_source s = {0};
  constants(a, &s);
  if (gradient) cuda_include(&s, cuda_text_attention_grad);
  text_printf(&s.body, "  %s(p);\n", call);
  launch->shared = floats * (int64_t)sizeof(float);
  return cuda_finish(e, launch, kind, &s, error);
}

void attention_dims(cuda_entry *e, plan_launch *launch, const attention *a) {
  const int64_t dims[] = {a->length, a->batch, a->segments, a->heads, a->key_heads};
  for (size_t i = 0; i < LENGTH(dims); ++i) cuda_dim(e, launch, dims[i]);
}

bool cuda_emit_attention(cuda_entry *e, MlirOperation op, lmn_error *error) {
  attention a;
  MlirValue starts = ir_operand(e->ir, op, 1);
  if (!read_attention(e, op, value_is(starts), &a, error)) return false;
  if (attention_sm90_can(e, &a)) return attention_sm90(e, op, &a, error);
  if (attention_mma_can(&a)) return attention_mma(e, op, &a, error);
  plan_launch *launch = cuda_launch(e, op);
  cuda_arg_value(e, launch, ir_operand(e->ir, op, 0));
  cuda_arg_value(e, launch, ir_result(e->ir, op, 0));
  cuda_arg_value(e, launch, ir_result(e->ir, op, 1));
  if (a.starts) cuda_arg_value(e, launch, starts);
  attention_dims(e, launch, &a);
  cuda_grid(launch, a.sequences * a.heads, blocks_of(a.length, block_rows(&a)), 1, THREADS);
  return finish(e, launch, "attention", "attention", &a, block_rows(&a) * a.head + 2 * KEYS * padded(&a), error);
}

// A rotation rides on the gradient, in its place.
static MlirOperation rotation_of(const cuda_entry *e, MlirOperation grad) {
  MlirOperation next = mlirOperationGetNextInBlock(grad);
  if (!next.ptr || ir_code(e->ir, next) != KERNEL_ROPE || !ir_int(next, "rides")) return (MlirOperation){NULL};
  plan_ref from = ir_place(ir_result(e->ir, grad, 0)), to = ir_place(ir_result(e->ir, next, 0));
  bool fits = from.space == to.space && from.offset == to.offset &&
              value_rows(ir_operand(e->ir, next, 1)) >= ir_int(grad, "length");
  return fits ? next : (MlirOperation){NULL};
}

// dQ, then dK and dV.
bool cuda_emit_attention_grad(cuda_entry *e, MlirOperation op, lmn_error *error) {
  attention a;
  MlirValue starts = ir_operand(e->ir, op, 4);
  if (!read_attention(e, op, value_is(starts), &a, error)) return false;
  a.rotation = rotation_of(e, op);
  if (attention_sm90_can(e, &a)) return attention_sm90_grad(e, op, &a, error);
  if (attention_mma_can(&a)) return attention_mma_grad(e, op, &a, error);
  int64_t floats = 2 * block_rows(&a) * a.head + 2 * KEYS * padded(&a);
  bool ok = true;
  for (int keys = 0; ok && keys < 2; ++keys) {
    plan_launch *launch = cuda_launch(e, op);
    for (int i = 0; i < 4; ++i) cuda_arg_value(e, launch, ir_operand(e->ir, op, i));
    cuda_arg_value(e, launch, ir_result(e->ir, op, 0));
    if (a.starts) cuda_arg_value(e, launch, starts);
    attention_dims(e, launch, &a);
    cuda_grid(launch, a.sequences * (keys ? a.key_heads : a.heads), blocks_of(a.length, block_rows(&a)), 1, THREADS);
    const char *kind = keys ? "attention_grad_keys" : "attention_grad_queries";
    ok = finish(e, launch, kind, kind, &a, floats + (keys ? 2 * KEYS : 0), error);
  }
  return ok;
}

// ---- over a KV cache

typedef struct cached {
  attention shape;
  int64_t capacity;
  plan_ref keys, values;
} cached;

static plan_launch *cached_launch(cuda_entry *e, MlirOperation op, const cached *c) {
  plan_launch *launch = cuda_launch(e, op);
  const attention *a = &c->shape;
  cuda_arg_value(e, launch, ir_operand(e->ir, op, 0));
  cuda_arg_value(e, launch, ir_operand(e->ir, op, 1));
  cuda_arg(e, launch, c->keys);
  cuda_arg(e, launch, c->values);
  const int64_t dims[] = {a->length, a->batch, c->capacity, a->segments, a->heads, a->key_heads};
  for (size_t i = 0; i < LENGTH(dims); ++i) cuda_dim(e, launch, dims[i]);
  return launch;
}

bool cuda_emit_attention_cached(cuda_entry *e, MlirOperation op, lmn_error *error) {
  cached c = {.capacity = ir_int(op, "capacity")};
  attention *a = &c.shape;
  if (!read_attention(e, op, false, a, error)) return false;
  if (c.capacity < 1) return fail(error, "kernel.attention_cached: its capacity must be positive");
  int64_t bytes = a->sequences * c.capacity * a->key_heads * a->head * value_element_bytes(ir_operand(e->ir, op, 0));
  c.keys = (plan_ref){SPACE_CACHE, ir_int(op, "cache")};
  c.values = (plan_ref){SPACE_CACHE, c.keys.offset + bytes};
  plan_launch *launch = cached_launch(e, op, &c);
  cuda_grid(launch, a->sequences * a->length, 1, 1, THREADS);
  if (!finish(e, launch, "attention_store", "attention_store", a, 0, error)) return false;
  bool decode = a->length == 1; // a block's rows are then the query heads of a key head
  if (decode) a->rows = 1;
  launch = cached_launch(e, op, &c);
  cuda_arg_value(e, launch, ir_result(e->ir, op, 0));
  cuda_grid(launch, a->sequences * (decode ? a->key_heads : a->heads),
            blocks_of(decode ? a->heads / a->key_heads : a->length, block_rows(a)), 1, THREADS);
  return finish(e, launch, decode ? "attention_decode" : "attention_cached",
                decode ? "attention_cached<true>" : "attention_cached<false>", a,
                block_rows(a) * a->head + 2 * KEYS * padded(a), error);
}
