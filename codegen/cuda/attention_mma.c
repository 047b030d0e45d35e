// Attention in bf16 on tensor cores: attention_mma.cuh and attention_mma_grad.cuh.
#include "codegen/cuda/attention.h"
#include "codegen/cuda/texts.h"

#include <string.h>

enum { ROWS_MAX = 128 }; // of a block

typedef enum { FORWARD, GRAD_QUERIES, GRAD_KEYS } kernel_kind;

// The constants of the .cuh files, and the bytes of shared memory that follow from them.
typedef struct tiles {
  int mt, tile, parts, rows; // rows: of a block
  int64_t shared;
} tiles;

bool attention_mma_can(const attention *a) { return !strcmp(a->element, "bf16") && a->head % 8 == 0; }

static int64_t up(int64_t x, int64_t multiple) { return (x + multiple - 1) / multiple * multiple; }

// As large as 255 registers and the 99 KB of shared memory that every architecture has can hold. Gradients of keys sum
// dK and dV at once: wide heads in two column ranges, and 64 rows rather than 128 where the blocks would be few.
static tiles tiles_of(const attention *a, kernel_kind kind) {
  enum { SHARED_MAX = 99 << 10, FEW = 256 };
  int64_t wide = up(a->head, 16);
  tiles t = {.parts = kind == GRAD_KEYS && wide > 128 ? 2 : 1};
  wide = up(wide, 16 * t.parts);
  if (kind == FORWARD) {
    t.mt = wide <= 128 ? 2 : 1;
    t.tile = wide <= 96 || wide > 128 ? 64 : a->starts ? 32 : 48;
  } else {
    bool few = a->sequences * a->key_heads * blocks_of(a->length, ROWS_MAX) < FEW;
    t.mt = wide <= 64 && !(kind == GRAD_KEYS && (a->starts || few)) ? 2 : 1;
    t.tile = wide > 64 ? 32 : kind == GRAD_KEYS ? 64 / t.mt : wide > 32 ? 48 : 64;
  }
  t.rows = 64 * t.mt;
  for (;; t.tile /= 2) { // the gradients have two blocks of rows, and every tile twice
    int64_t lines = kind == FORWARD ? t.rows + 2 * t.tile : 2 * t.rows + 4 * t.tile;
    t.shared = lines * (wide + 8) * 2;
    if (t.shared <= SHARED_MAX) return t;
  }
}

static bool finish(cuda_entry *e, plan_launch *launch, kernel_kind kind, const attention *a, lmn_error *error) {
  enum { THREADS = 128 };
  static const char *const functions[] = {"attention", "attention_grad_queries", "attention_grad_keys"};
  tiles t = tiles_of(a, kind);
  cuda_source s = {0};
  text_printf(&s.functions,
              "constexpr int HEAD = %lld, MT = %d, TILE = %d, PARTS = %d;\nconstexpr bool STARTS = %s;\n"
              "constexpr float SCALE = ",
              (long long)a->head, t.mt, t.tile, t.parts, a->starts ? "true" : "false");
  cuda_float(&s.functions, a->scale);
  text_add(&s.functions, ";\n\n");
  cuda_include(&s, cuda_text_attention_mma);
  if (kind != FORWARD) cuda_include(&s, cuda_text_attention_mma_grad);
  text_printf(&s.body, "  %s(p);\n", functions[kind]);
  launch->shared = t.shared;
  cuda_grid(launch, a->sequences * (kind == GRAD_KEYS ? a->key_heads : a->heads), blocks_of(a->length, t.rows), t.parts,
            THREADS);
  return cuda_finish(e, launch, functions[kind], &s, error);
}

bool attention_mma(cuda_entry *e, MlirOperation op, const attention *a, lmn_error *error) {
  plan_launch *launch = cuda_launch(e, op);
  cuda_arg_value(e, launch, ir_operand(e->ir, op, 0));
  cuda_arg_value(e, launch, ir_result(e->ir, op, 0));
  cuda_arg_value(e, launch, ir_result(e->ir, op, 1));
  if (a->starts) cuda_arg_value(e, launch, ir_operand(e->ir, op, 1));
  attention_dims(e, launch, a);
  return finish(e, launch, FORWARD, a, error);
}

plan_ref attention_workspace(cuda_entry *e, const attention *a) {
  return cuda_scratch(e, 2 * a->sequences * a->heads * up(a->length, ROWS_MAX) * (int64_t)sizeof(float));
}

bool attention_mma_grad(cuda_entry *e, MlirOperation op, const attention *a, lmn_error *error) {
  plan_ref workspace = attention_workspace(e, a);
  for (kernel_kind kind = GRAD_QUERIES; kind <= GRAD_KEYS; ++kind) {
    plan_launch *launch = cuda_launch(e, op);
    for (int i = 0; i < 4; ++i) cuda_arg_value(e, launch, ir_operand(e->ir, op, i));
    cuda_arg_value(e, launch, ir_result(e->ir, op, 0));
    cuda_arg(e, launch, workspace);
    if (a->starts) cuda_arg_value(e, launch, ir_operand(e->ir, op, 4));
    attention_dims(e, launch, a);
    cuda_dim(e, launch, up(a->length, ROWS_MAX));
    if (!finish(e, launch, kind, a, error)) return false;
  }
  return true;
}
