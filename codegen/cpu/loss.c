// kernel.cross_entropy: head and loss in one, `chunk` rows of logits at a time. For each chunk: logits = H Wᵀ into the
// workspace; one pass of a kernel over its rows (loss, hit, and the gradient in the logits' place); dH = dL W; dW +=
// dLᵀ H. At the end the row losses are summed in order.
#include "codegen/cpu/cpu.h"
#include "codegen/cpu/kernel_text.h"

#include <string.h>

typedef struct loss_shape {
  int64_t rows, columns, vocabulary, chunk;
  double smoothing;
  bool gradient;
} loss_shape;

// ---- the rows' kernel

// The logits of a counted row: its loss and whether the label is the first of the largest. With a gradient the logits
// become scale (softmax - (1 - e) onehot - e / V).
static void write_row(kernel_text *k, const char *name, const loss_shape *s) {
  ssa p[5]; // logits, loss, right, label, scale
  k_function(k, name, "nnnif", p);
  ssa logits = p[0], label = p[3], scale = p[4], zero = k_int(k, 0), one = k_int(k, 1),
      vocabulary = k_int(k, s->vocabulary);
  ssa nought = k_float(k, 0), maximum = k_load(k, logits, zero, K_F32), target = k_load(k, logits, label, K_F32);
  ssa i = k_for_carry(k, zero, vocabulary, one, &maximum, 1);
  ssa larger = k_max(k, maximum, k_load(k, logits, i, K_F32));
  k_end_carry(k, &larger);

  // Right where nothing before the label is as large; looked for only where the label's logit is the largest.
  ssa largest = k_compare(k, "oeq", target, maximum), ties = zero;
  i = k_for_carry(k, zero, k_select(k, largest, label, zero), one, &ties, 1);
  ssa tie = k_add(k, ties, k_convert(k, k_compare(k, "oeq", k_load(k, logits, i, K_F32), maximum), K_I64));
  k_end_carry(k, &tie);
  ssa right = k_and(k, largest, k_compare(k, "eq", ties, zero));
  k_store(k, k_convert(k, right, K_F32), p[2], zero);

  ssa sums[2] = {nought, nought}, more[2]; // of e^(x - maximum), of x - maximum
  i = k_for_carry(k, zero, vocabulary, one, sums, s->smoothing ? 2 : 1);
  ssa difference = k_sub(k, k_load(k, logits, i, K_F32), maximum), power = k_math(k, "exp", difference);
  if (s->gradient) k_store(k, power, logits, i);
  more[0] = k_add_any_order(k, sums[0], power);
  more[1] = k_add_any_order(k, sums[1], difference);
  k_end_carry(k, more);
  ssa loss = k_sub(k, k_math(k, "log", sums[0]), k_mul(k, k_float(k, 1 - s->smoothing), k_sub(k, target, maximum)));
  if (s->smoothing) loss = k_sub(k, loss, k_mul(k, k_float(k, s->smoothing / (double)s->vocabulary), sums[1]));
  k_store(k, loss, p[1], zero);

  if (s->gradient) {
    ssa factor = k_div(k, scale, sums[0]), rest = k_mul(k, scale, k_float(k, -s->smoothing / (double)s->vocabulary));
    i = k_for(k, zero, vocabulary, one);
    ssa gradient = k_mul(k, k_load(k, logits, i, K_F32), factor);
    k_store(k, s->smoothing ? k_add(k, gradient, rest) : gradient, logits, i);
    k_end(k);
    ssa whole = k_mul(k, scale, k_float(k, 1 - s->smoothing));
    k_store(k, k_sub(k, k_load(k, logits, label, K_F32), whole), logits, label);
  }
  k_return(k);
}

// args: logits, labels, scale, row losses, row hits. tasks: rows. Rows whose label is no class do not count.
static void rows_kernel(kernel_text *k, const char *name, const char *row_function, const loss_shape *s) {
  write_row(k, row_function, s);
  kernel_abi abi = k_kernel(k, name);
  ssa logits = k_argument(k, abi, 0), labels = k_argument(k, abi, 1), losses = k_argument(k, abi, 3),
      hits = k_argument(k, abi, 4);
  ssa zero = k_int(k, 0), vocabulary = k_int(k, s->vocabulary), nought = k_float(k, 0);
  ssa scale = k_load(k, k_argument(k, abi, 2), zero, K_F32);
  ssa row = k_for(k, abi.begin, abi.end, k_int(k, 1));
  ssa label = k_convert(k, k_load(k, labels, row, K_I32), K_I64), at = k_at(k, logits, k_mul(k, row, vocabulary));
  k_if(k, k_and(k, k_compare(k, "sge", label, zero), k_compare(k, "slt", label, vocabulary)));
  K_CALL(k, row_function, at, k_at(k, losses, row), k_at(k, hits, row), label, scale);
  k_else(k);
  k_store(k, nought, losses, row);
  k_store(k, nought, hits, row);
  if (s->gradient) k_zero(k, at, vocabulary);
  k_end(k);
  k_end(k);
  k_return(k);
}

// args: row losses, row hits, scale, loss, right. dims: rows. One task.
static void sum_kernel(kernel_text *k, const char *name) {
  kernel_abi abi = k_kernel(k, name);
  ssa zero = k_int(k, 0), sums[2] = {k_double(k, 0), k_double(k, 0)}, next[2];
  ssa losses = k_argument(k, abi, 0), hits = k_argument(k, abi, 1);
  ssa i = k_for_carry(k, zero, k_dim(k, abi, 0), k_int(k, 1), sums, 2);
  next[0] = k_add(k, sums[0], k_convert(k, k_load(k, losses, i, K_F32), K_F64));
  next[1] = k_add(k, sums[1], k_convert(k, k_load(k, hits, i, K_F32), K_F64));
  k_end_carry(k, next);
  ssa scale = k_convert(k, k_load(k, k_argument(k, abi, 2), zero, K_F32), K_F64);
  k_store(k, k_convert(k, k_mul(k, sums[0], scale), K_F32), k_argument(k, abi, 3), zero);
  k_store(k, k_convert(k, sums[1], K_F32), k_argument(k, abi, 4), zero);
  k_return(k);
}

// ---- launches

typedef struct loss_values {
  MlirValue hidden, weight, labels, scale, loss, right, workspace, row_losses, row_right, dhidden, dweight;
} loss_values;

static plan_ref row_of(MlirValue value, int64_t row, int64_t columns) {
  plan_ref place = ir_place(value);
  place.offset += row * columns * (int64_t)sizeof(float);
  return place;
}

static void emit_product(cpu_entry *e, MlirOperation op, plan_gemm gemm, plan_ref a, plan_ref b, plan_ref c) {
  plan_launch *launch = cpu_launch(e, op, LAUNCH_GEMM, NULL);
  gemm.groups = 1;
  launch->gemm = gemm;
  launch_product(e->arena, launch, &gemm, (const int[]){4, 4, 4});
  cpu_arg(e, launch, a);
  cpu_arg(e, launch, b);
  cpu_arg(e, launch, c);
}

static const char *rows_kernel_name(cpu_entry *e, const loss_shape *s) {
  float smoothing = (float)s->smoothing;
  uint32_t bits;
  memcpy(&bits, &smoothing, sizeof bits);
  const char *name =
      arena_printf(e->arena, "cross_entropy_v%lld_e%08x%s", (long long)s->vocabulary, bits, s->gradient ? "_grad" : "");
  if (cpu_has_kernel(e->cg, name)) return name;
  kernel_text k = {0};
  rows_kernel(&k, name, arena_printf(e->arena, "%s_row", name), s);
  cpu_add_kernel(e->cg, name, k.out.data);
  text_free(&k.out);
  return name;
}

static void emit_chunk(cpu_entry *e, MlirOperation op, const loss_shape *s, const loss_values *v, int64_t first,
                       bool accumulate) {
  int64_t rows = s->rows - first < s->chunk ? s->rows - first : s->chunk, columns = s->columns,
          vocabulary = s->vocabulary;
  plan_ref hidden = row_of(v->hidden, first, columns), logits = ir_place(v->workspace), weight = ir_place(v->weight);
  plan_gemm forward = {
      .m = rows, .n = vocabulary, .k = columns, .lda = columns, .ldb = columns, .ldc = vocabulary, .trans_b = true};
  emit_product(e, op, forward, hidden, weight, logits);
  plan_launch *launch = cpu_launch(e, op, LAUNCH_KERNEL, rows_kernel_name(e, s));
  cpu_arg(e, launch, logits);
  cpu_arg(e, launch, row_of(v->labels, first, 1));
  cpu_arg_value(e, launch, v->scale);
  cpu_arg(e, launch, row_of(v->row_losses, first, 1));
  cpu_arg(e, launch, row_of(v->row_right, first, 1));
  launch->tasks = rows;
  launch->grain = 1 + 8192 / vocabulary;
  if (value_is(v->dhidden)) {
    plan_gemm product = {.m = rows, .n = columns, .k = vocabulary, .lda = vocabulary, .ldb = columns, .ldc = columns};
    emit_product(e, op, product, logits, weight, row_of(v->dhidden, first, columns));
  }
  if (value_is(v->dweight)) {
    plan_gemm product = {
        .m = vocabulary, .n = columns, .k = rows, .lda = vocabulary, .ldb = columns, .ldc = columns, .trans_a = true};
    product.accumulate = accumulate;
    emit_product(e, op, product, logits, hidden, ir_place(v->dweight));
  }
}

static void emit_sum(cpu_entry *e, MlirOperation op, const loss_shape *s, const loss_values *v) {
  static const char name[] = "cross_entropy_sum";
  if (!cpu_has_kernel(e->cg, name)) {
    kernel_text k = {0};
    sum_kernel(&k, name);
    cpu_add_kernel(e->cg, name, k.out.data);
    text_free(&k.out);
  }
  plan_launch *launch = cpu_launch(e, op, LAUNCH_KERNEL, name);
  MlirValue args[] = {v->row_losses, v->row_right, v->scale, v->loss, v->right};
  for (size_t i = 0; i < LENGTH(args); ++i) cpu_arg_value(e, launch, args[i]);
  cpu_dim(e, launch, s->rows);
  launch->tasks = launch->grain = 1;
}

bool cpu_emit_cross_entropy(cpu_entry *e, MlirOperation op, lmn_error *error) {
  ir *m = e->ir;
  loss_values v = {ir_operand(m, op, 0), ir_operand(m, op, 1), ir_operand(m, op, 2), ir_operand(m, op, 3),
                   ir_result(m, op, 0),  ir_result(m, op, 1),  ir_result(m, op, 2),  ir_result(m, op, 3),
                   ir_result(m, op, 4),  ir_result(m, op, 5),  ir_result(m, op, 6)};
  loss_shape s = {.rows = value_rows(v.hidden),
                  .columns = value_columns(v.hidden),
                  .vocabulary = value_rows(v.weight),
                  .chunk = ir_int(op, "chunk"),
                  .smoothing = ir_real(op, "smoothing"),
                  .gradient = value_is(v.dhidden) || value_is(v.dweight)};
  if (s.chunk < 1) return fail(error, "kernel.cross_entropy: its chunk must be positive");
  if (value_elements(v.labels) != s.rows) return fail(error, "kernel.cross_entropy: needs a label for each row");
  MlirValue accumulate = ir_operand(m, op, 4);
  if (value_is(accumulate) && value_is(v.dweight)) {
    plan_ref from = ir_place(accumulate), to = ir_place(v.dweight);
    if (from.space != to.space || from.offset != to.offset)
      return fail(error, "kernel.cross_entropy: adds in place only");
  }
  for (int64_t first = 0; first < s.rows; first += s.chunk)
    emit_chunk(e, op, &s, &v, first, first > 0 || value_is(accumulate));
  emit_sum(e, op, &s, &v);
  return true;
}
