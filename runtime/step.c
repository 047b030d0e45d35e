// Batches through a network: what goes into an entry's inputs, one optimizer step, evaluation.
#include "runtime/network.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NOT_COUNTED = -100 };

// ---- entries ------------------------------------------------------------------------------------

static void list_entries(const plan *p, entry_kind kind, text *out) {
  for (int i = 0; i < p->entry_count; ++i)
    if (p->entries[i].kind == kind) text_printf(out, "%s%s", out->length ? ", " : "", p->entries[i].name);
  if (!out->length) text_add(out, "none");
}

const plan_entry *network_entry(lmn_network *n, entry_kind kind, int phase, int64_t batch, int64_t length, bool packed,
                                lmn_error *error) {
  const plan_entry *packed_one = NULL;
  for (int i = 0; i < n->plan->entry_count; ++i) {
    const plan_entry *e = &n->plan->entries[i];
    if (e->kind != kind || e->batch != batch || e->length != length) continue;
    if (e->phase != phase && kind != ENTRY_EVALUATE) continue;
    if (e->packed == packed) return e;
    if (e->packed) packed_one = e;
  }
  if (packed_one) return packed_one;
  text there = {0};
  list_entries(n->plan, kind, &there);
  bool of_phase = phase >= 0 && phase < n->plan->phase_count && kind != ENTRY_EVALUATE;
  fail(error, "%s: has no %s entry for %s%s%sbatch %lld, length %lld%s; it has: %s", n->artifact,
       entry_kind_names[kind], of_phase ? "phase " : "", of_phase ? n->plan->phases[phase].name : "",
       of_phase ? ", " : "", (long long)batch, (long long)length, packed ? ", packed rows" : "", there.data);
  text_free(&there);
  return NULL;
}

// ---- checks -------------------------------------------------------------------------------------

static bool check_range(const int32_t *values, const lmn_batch *b, int64_t columns, const char *what, int64_t low,
                        int64_t high, const char *of, lmn_error *error) {
  for (int64_t i = 0; i < b->batch * columns; ++i) {
    if (values[i] >= low && values[i] < high) continue;
    return fail(error, "%s of row %lld, position %lld is %d; %s, so it must be from %lld to %lld", what,
                (long long)(i / columns), (long long)(i % columns), values[i], of, (long long)low, (long long)high - 1);
  }
  return true;
}

static bool check_labels(const lmn_network *n, const lmn_batch *b, lmn_error *error) {
  int64_t classes = n->plan->classes, columns = classes ? 1 : b->length, high = classes ? classes : n->plan->vocabulary;
  for (int64_t i = 0; i < b->batch * columns; ++i) {
    if ((b->labels[i] >= 0 && b->labels[i] < high) || b->labels[i] == NOT_COUNTED) continue;
    return fail(error, "label of row %lld, position %lld is %d; the network has %lld %s (and -100 is not counted)",
                (long long)(i / columns), (long long)(i % columns), b->labels[i], (long long)high,
                classes ? "classes" : "tokens");
  }
  return true;
}

static bool check_positions(const lmn_network *n, const lmn_batch *b, lmn_error *error) {
  if (!n->plan->learned_positions) return true;
  int64_t most = n->plan->positions;
  if (b->positions)
    return check_range(b->positions, b, b->length, "position", 0, most, "the model has a table of positions", error);
  return b->length <= most ||
         fail(error, "rows of %lld tokens are longer than the %lld positions that the model has; use a smaller length",
              (long long)b->length, (long long)most);
}

static bool check_starts(const lmn_batch *b, lmn_error *error) {
  for (int64_t i = 0; b->starts && i < b->batch * b->length; ++i)
    if (b->starts[i] < 0 || b->starts[i] > i % b->length)
      return fail(error,
                  "start of row %lld, position %lld is %d; a token's first visible key is from 0 to its own position",
                  (long long)(i / b->length), (long long)(i % b->length), b->starts[i]);
  return true;
}

static bool check_batch(const lmn_network *n, const lmn_batch *b, lmn_error *error) {
  if (!b->input_ids || !b->labels || (n->plan->classes && !b->last))
    return fail(error, "a batch must have input_ids, labels and, for a classifier, last");
  return check_range(b->input_ids, b, b->length, "input id", 0, n->plan->vocabulary, "the vocabulary is of the model",
                     error) &&
         check_labels(n, b, error) && check_positions(n, b, error) && check_starts(b, error) &&
         (!n->plan->classes || check_range(b->last, b, 1, "last", 0, b->length, "it is a position of the row", error));
}

int64_t batch_labels(const lmn_network *n, const lmn_batch *b) {
  int64_t count = 0, elements = n->plan->classes ? b->batch : b->batch * b->length;
  for (int64_t i = 0; i < elements; ++i) count += b->labels[i] >= 0;
  return count;
}

// ---- running ------------------------------------------------------------------------------------

static void *input_in(void *inputs, const plan_entry *entry, const char *name) {
  const plan_value *input = entry_input(entry, name);
  return input ? (char *)inputs + input->at.offset : NULL;
}

static bool copy_in(const lmn_network *n, const plan_entry *entry, void *inputs, const char *name,
                    const int32_t *values, int64_t count, lmn_error *error) {
  const plan_value *input = entry_input(entry, name);
  if (!input) return true;
  if (value_elements_of(input) != count || input->type != TYPE_I32)
    return fail(error, "%s: input %s of %s has another shape than the batch", n->artifact, name, entry->name);
  if (values) memcpy(input_in(inputs, entry, name), values, (size_t)count * sizeof *values);
  return true;
}

// inputs: what is to become the entry's input space.
static bool fill_batch(const lmn_network *n, const plan_entry *entry, void *inputs, const lmn_batch *b, float scale,
                       lmn_error *error) {
  int64_t tokens = b->batch * b->length;
  if (!copy_in(n, entry, inputs, "input_ids", b->input_ids, tokens, error) ||
      !copy_in(n, entry, inputs, "labels", b->labels, n->plan->classes ? b->batch : tokens, error) ||
      !copy_in(n, entry, inputs, "positions", b->positions, tokens, error) ||
      !copy_in(n, entry, inputs, "starts", b->starts, tokens, error) ||
      !copy_in(n, entry, inputs, "last", b->last, b->batch, error))
    return false;
  int32_t *positions = input_in(inputs, entry, "positions"), *starts = input_in(inputs, entry, "starts");
  for (int64_t i = 0; positions && !b->positions && i < tokens; ++i) positions[i] = (int32_t)(i % b->length);
  if (starts && !b->starts) memset(starts, 0, (size_t)tokens * sizeof *starts);
  float *to = input_in(inputs, entry, "scale");
  if (to) *to = scale;
  return true;
}

bool network_send_ahead(lmn_network *n, int phase, const lmn_batch *b, int64_t labels, lmn_error *error) {
  void *inputs;
  float scale = (float)(1.0 / (double)labels);
  const plan_entry *entry = network_entry(n, ENTRY_TRAIN, phase, b->batch, b->length, b->starts != NULL, error);
  n->ahead_ids = NULL;
  if (!entry || !check_batch(n, b, error) || !device_ahead(n->device, &inputs, error)) return false;
  if (!inputs || entry->input_bytes > n->space_bytes[SPACE_INPUT]) return true;
  if (!fill_batch(n, entry, inputs, b, scale, error) || !device_send_ahead(n->device, entry->input_bytes, error))
    return false;
  n->ahead_ids = b->input_ids, n->ahead_entry = entry, n->ahead_scale = scale;
  return true;
}

static bool was_sent(lmn_network *n, const plan_entry *entry, const lmn_batch *b, float scale) {
  if (!n->ahead_ids || n->ahead_ids != b->input_ids || n->ahead_entry != entry || n->ahead_scale != scale) return false;
  n->ahead_ids = NULL;
  return device_take_ahead(n->device);
}

bool network_compute(lmn_network *n, const plan_entry *entry, const lmn_batch *b, float scale, lmn_error *error) {
  return check_batch(n, b, error) && network_prepare(n, entry, error) &&
         (was_sent(n, entry, b, scale) || fill_batch(n, entry, device_map(n->device, SPACE_INPUT), b, scale, error)) &&
         network_run(n, entry, error);
}

double network_loss(lmn_network *n, const plan_entry *entry) {
  const float *loss = network_output(n, entry, "loss");
  return loss ? *loss : NAN;
}

// Between micro-batches: what the gradient space holds is added to the sum of those before. After the last one the sum
// goes there.
static bool accumulate(lmn_network *n, int phase, int index, int count, lmn_error *error) {
  int64_t bytes = n->plan->phases[phase].gradient_bytes;
  if (count == 1 || !bytes) return true;
  if (index == 0)
    return network_reserve(n, SPACE_SUM, bytes, error) &&
           device_copy(n->device, SPACE_SUM, SPACE_GRADIENT, bytes, error);
  if (index < count - 1) return device_add(n->device, SPACE_SUM, SPACE_GRADIENT, bytes, error);
  return device_add(n->device, SPACE_GRADIENT, SPACE_SUM, bytes, error);
}

static bool compute_gradients(lmn_network *n, int phase, const lmn_batch *batches, int count, int64_t labels,
                              double *loss, lmn_error *error) {
  if (!network_use_gradients(n, phase, error)) return false;
  *loss = 0;
  for (int i = 0; i < count; ++i) {
    const lmn_batch *b = &batches[i];
    const plan_entry *entry = network_entry(n, ENTRY_TRAIN, phase, b->batch, b->length, b->starts != NULL, error);
    if (!entry || !network_compute(n, entry, b, (float)(1.0 / (double)labels), error)) return false;
    *loss += network_loss(n, entry);
    if (!accumulate(n, phase, i, count, error)) return false;
  }
  return true;
}

bool lmn_step(lmn_network *n, int phase, const lmn_batch *batches, int count, double learning_rate, double *loss,
              double *gradient_norm, lmn_error *error) {
  n->vertex_runs = 0;
  int64_t labels = 0;
  for (int i = 0; i < count; ++i) {
    if (!check_batch(n, &batches[i], error)) return false;
    labels += batch_labels(n, &batches[i]);
  }
  if (!labels) return fail(error, "no token of the step counts: every label is -100");
  double sum;
  if (!compute_gradients(n, phase, batches, count, labels, &sum, error)) return false;
  if (loss) *loss = sum;
  if (!isfinite(sum))
    return fail(error, "the loss of phase %s is not finite; use a lower learning rate, warmup or clip = 1",
                n->plan->phases[phase].name);
  if (learning_rate >= 0) return network_update(n, phase, learning_rate, gradient_norm, error);
  return !gradient_norm || network_gradient_norm(n, phase, gradient_norm, error);
}

static int64_t rows_right(lmn_network *n, const plan_entry *entry) {
  const plan_value *value = entry_output(entry, "correct");
  if (!value) return 0;
  const void *memory = network_output(n, entry, "correct");
  return value->type == TYPE_I32 ? *(const int32_t *)memory : (int64_t)lrintf(*(const float *)memory);
}

bool lmn_evaluate(lmn_network *n, const lmn_batch *b, double *loss_sum, int64_t *labels, int64_t *right,
                  lmn_error *error) {
  n->vertex_runs = 0;
  const plan_entry *entry = network_entry(n, ENTRY_EVALUATE, -1, b->batch, b->length, b->starts != NULL, error);
  if (!entry || !network_compute(n, entry, b, 1, error)) return false;
  *loss_sum = network_loss(n, entry);
  *labels = batch_labels(n, b);
  if (right) *right = rows_right(n, entry);
  return true;
}
