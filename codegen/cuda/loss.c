// kernel.cross_entropy: head and loss in one, `chunk` rows of logits at a time. For each chunk: logits = H Wᵀ into the
// workspace; one pass over its rows (loss, hit, and the gradient in the logits' place); dH = dL W; dW += dLᵀ H. At the
// end the row losses are summed in order.
#include "codegen/cuda/cuda.h"
#include "codegen/cuda/texts.h"

#include <string.h>

enum { TEAM = 512 };

typedef struct loss {
  int64_t rows, columns, vocabulary, stride, chunk; // stride: of a row of logits
  double smoothing;
  bool gradient;
  MlirValue hidden, weight, labels, scale, loss, right, workspace, row_losses, row_right, dhidden, dweight;
} loss;

static plan_ref row_of(MlirValue value, int64_t row, int64_t columns) {
  plan_ref place = ir_place(value);
  place.offset += row * columns * value_element_bytes(value);
  return place;
}

// How a row of logits is shared and kept: see loss.cuh.
typedef struct row_plan {
  int many, cluster;
  int64_t kept; // bytes of a block; 0: none
} row_plan;

// Rows are kept in shared memory where it has room for two blocks.
static row_plan plan_row(const cuda_entry *e, const loss *l) {
  enum { WIDEST = 16, SHARED_HALF = 112 * 1024, MOST = 4 };
  int64_t bytes = value_element_bytes(l->workspace);
  row_plan r = {.many = (int)(WIDEST / bytes), .cluster = 1};
  if (l->stride % r.many || ir_place(l->workspace).offset % WIDEST) r.many = 1;
  if (!l->gradient || strcmp(e->architecture, "sm_90a")) return r;
  for (int cluster = 1; cluster <= MOST; cluster *= 2) {
    int64_t kept = blocks_of(l->vocabulary, (int64_t)cluster * r.many) * r.many * bytes;
    if (kept <= SHARED_HALF) return (row_plan){r.many, cluster, kept};
  }
  return r;
}

static bool loss_rows(cuda_entry *e, MlirOperation op, const loss *l, int64_t first, int64_t rows, lmn_error *error) {
  row_plan r = plan_row(e, l);
  plan_launch *launch = cuda_launch(e, op);
  cuda_source s = {0};
  cuda_arg_value(e, launch, l->workspace);
  cuda_arg(e, launch, row_of(l->labels, first, 1));
  cuda_arg_value(e, launch, l->scale);
  cuda_arg(e, launch, row_of(l->row_losses, first, 1));
  cuda_arg(e, launch, row_of(l->row_right, first, 1));
  cuda_dim(e, launch, l->vocabulary);
  cuda_dim(e, launch, l->stride);
  cuda_grid(launch, rows * r.cluster, 1, 1, TEAM);
  launch->shared = r.kept;
  if (r.cluster > 1) s.attributes = arena_printf(e->arena, "__cluster_dims__(%d, 1, 1) ", r.cluster);
  cuda_include(&s, cuda_text_fast);
  cuda_include(&s, cuda_text_team);
  cuda_include(&s, cuda_text_loss);
  text_printf(&s.body, "  loss_row<%d, %d, %d, %s, %s, %s, %s>(p, ", TEAM, r.many, r.cluster, r.kept ? "true" : "false",
              l->gradient ? "true" : "false", l->smoothing != 0 ? "true" : "false", cuda_type(l->workspace));
  cuda_float(&s.body, l->smoothing);
  text_add(&s.body, ");\n");
  return cuda_finish(e, launch, "cross_entropy", &s, error);
}

static bool loss_chunk(cuda_entry *e, MlirOperation op, const loss *l, int64_t first, bool accumulate,
                       lmn_error *error) {
  int64_t rows = l->rows - first < l->chunk ? l->rows - first : l->chunk, d = l->columns, v = l->vocabulary,
          stride = l->stride;
  plan_ref hidden = row_of(l->hidden, first, d), logits = ir_place(l->workspace), weight = ir_place(l->weight);
  const char *hidden_type = cuda_type(l->hidden), *weight_type = cuda_type(l->weight), *type = cuda_type(l->workspace);
  plan_gemm forward = {.m = rows, .n = v, .k = d, .lda = d, .ldb = d, .ldc = stride, .trans_b = true};
  if (!cuda_product(e, op, &forward, (cuda_product_types){hidden_type, weight_type, type}, hidden, weight, logits,
                    error) ||
      !loss_rows(e, op, l, first, rows, error))
    return false;
  plan_gemm dhidden = {.m = rows, .n = d, .k = v, .lda = stride, .ldb = d, .ldc = d};
  if (value_is(l->dhidden) &&
      !cuda_product(e, op, &dhidden, (cuda_product_types){type, weight_type, cuda_type(l->dhidden)}, logits, weight,
                    row_of(l->dhidden, first, d), error))
    return false;
  plan_gemm dweight = {.m = v, .n = d, .k = rows, .lda = stride, .ldb = d, .ldc = d, .trans_a = true};
  dweight.accumulate = accumulate;
  return !value_is(l->dweight) ||
         cuda_product(e, op, &dweight, (cuda_product_types){type, hidden_type, cuda_type(l->dweight)}, logits, hidden,
                      ir_place(l->dweight), error);
}

static bool loss_sum(cuda_entry *e, MlirOperation op, const loss *l, lmn_error *error) {
  plan_launch *launch = cuda_launch(e, op);
  cuda_source s = {0};
  MlirValue args[] = {l->row_losses, l->row_right, l->scale, l->loss, l->right};
  for (size_t i = 0; i < LENGTH(args); ++i) cuda_arg_value(e, launch, args[i]);
  cuda_dim(e, launch, l->rows);
  cuda_grid(launch, 1, 1, 1, TEAM);
  cuda_include(&s, cuda_text_fast);
  cuda_include(&s, cuda_text_team);
  cuda_include(&s, cuda_text_loss);
  text_printf(&s.body, "  loss_sum<%d>(p);\n", TEAM);
  return cuda_finish(e, launch, "cross_entropy_sum", &s, error);
}

bool cuda_emit_cross_entropy(cuda_entry *e, MlirOperation op, lmn_error *error) {
  ir *m = e->ir;
  loss l = {.hidden = ir_operand(m, op, 0),
            .weight = ir_operand(m, op, 1),
            .labels = ir_operand(m, op, 2),
            .scale = ir_operand(m, op, 3),
            .loss = ir_result(m, op, 0),
            .right = ir_result(m, op, 1),
            .workspace = ir_result(m, op, 2),
            .row_losses = ir_result(m, op, 3),
            .row_right = ir_result(m, op, 4),
            .dhidden = ir_result(m, op, 5),
            .dweight = ir_result(m, op, 6)};
  l.rows = value_rows(l.hidden), l.columns = value_columns(l.hidden), l.vocabulary = value_rows(l.weight);
  l.stride = value_columns(l.workspace), l.chunk = ir_int(op, "chunk"), l.smoothing = ir_real(op, "smoothing");
  l.gradient = value_is(l.dhidden) || value_is(l.dweight);
  if (l.chunk < 1) return fail(error, "kernel.cross_entropy: its chunk must be positive");
  if (l.stride < l.vocabulary) return fail(error, "kernel.cross_entropy: a row of its workspace has no room");
  if (value_elements(l.labels) != l.rows) return fail(error, "kernel.cross_entropy: needs a label for each row");
  MlirValue accumulate = ir_operand(m, op, 4);
  if (value_is(accumulate) && value_is(l.dweight)) {
    plan_ref from = ir_place(accumulate), to = ir_place(l.dweight);
    if (from.space != to.space || from.offset != to.offset)
      return fail(error, "kernel.cross_entropy: adds in place only");
  }
  for (int64_t first = 0; first < l.rows; first += l.chunk)
    if (!loss_chunk(e, op, &l, first, first > 0 || value_is(accumulate), error)) return false;
  return loss_sum(e, op, &l, error);
}
