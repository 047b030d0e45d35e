// A data set opened, and its batches. An epoch's order is a permutation of the sequences from the epoch's own stream,
// so (epoch, index) says everything about a batch.
#include "runtime/dataset_parts.h"

#include <stdlib.h>
#include <string.h>

struct dataset {
  dataset_options options; // the strings are not kept
  int32_t pad;
  tokenized rows;
  packing packing;
  token_list prefix;
  dataset_counts counts;
  text warning;
  int64_t *order, epoch; // of the sequences; epoch -1: none yet
  int32_t *ids, *labels, *last, *positions, *starts;
};

static bool check_options(const dataset_options *o, lmn_error *error) {
  if (!o->data || !*o->data) return fail(error, "no data: set data to a .txt, .csv, .tsv or .jsonl file");
  if (o->batch < 1 || o->length < 1 || o->length > INT32_MAX / 2 || o->batch > INT32_MAX / o->length)
    return fail(error, "batch %lld and length %lld are not possible; both must be at least 1", (long long)o->batch,
                (long long)o->length);
  if (o->packed && o->classes)
    return fail(error, "rows to be classified cannot be packed: each has a label of its own");
  return true;
}

static void describe(dataset *d, bool ended) {
  const dataset_counts *c = &d->counts;
  if (c->cut_completions)
    text_printf(&d->warning, "%lld of %lld rows are longer than %lld tokens: their completions are cut at the end; ",
                (long long)c->cut_completions, (long long)c->rows, (long long)d->options.length);
  if (c->cut_prompts)
    text_printf(&d->warning, "%lld of %lld rows have prompts too long for %lld tokens: they are cut at the start; ",
                (long long)c->cut_prompts, (long long)c->rows, (long long)d->options.length);
  if (c->cut_completions || c->cut_prompts) text_add(&d->warning, "set a greater length to keep all of them");
  if (!ended)
    text_printf(&d->warning,
                "%sneither the model nor the tokenizer names an end-of-text token: the network will not learn where a "
                "text ends",
                d->warning.length ? "\n" : "");
}

static bool open_rows(dataset *d, const dataset_options *o, const tokenizer *t, lmn_error *error) {
  int32_t eos = o->eos >= 0 ? (int32_t)o->eos : tokenizer_eos(t),
          pad = o->pad >= 0 ? (int32_t)o->pad : tokenizer_pad(t);
  if (pad < 0) pad = eos;
  d->pad = pad < 0 || pad >= o->vocabulary ? 0 : pad;
  int64_t count;
  const int32_t *prefix = tokenizer_prefix(t, &count);
  d->prefix.ids = memory_alloc((size_t)(count + 1) * sizeof *prefix);
  d->prefix.count = count;
  for (int64_t i = 0; i < count; ++i) d->prefix.ids[i] = prefix[i];
  data_list list = {.memory = arena_create()};
  bool ok = data_read(&list, o->data, error) && data_tokenize(&list, o, t, eos, &d->rows, error);
  if (ok) pack_rows(&d->packing, &d->rows, o, count, &d->counts);
  if (ok && !d->counts.labels)
    ok = fail(error, "%s: there is nothing to learn from: no row has a token to predict%s", list.files[0].path,
              o->completion ? "; are the completions empty?" : "");
  data_free(&list);
  arena_destroy(list.memory);
  if (ok) describe(d, eos >= 0 || o->classes);
  return ok;
}

dataset *dataset_open(const dataset_options *options, const tokenizer *t, lmn_error *error) {
  if (!check_options(options, error)) return NULL;
  dataset *d = memory_zero(sizeof *d);
  d->options = *options;
  d->epoch = -1;
  if (!open_rows(d, options, t, error)) {
    dataset_close(d);
    return NULL;
  }
  size_t cells = (size_t)(options->batch * options->length) * sizeof *d->ids;
  d->order = memory_alloc((size_t)d->packing.sequences * sizeof *d->order);
  d->ids = memory_alloc(cells);
  d->labels = memory_alloc(cells);
  d->last = memory_alloc((size_t)options->batch * sizeof *d->last);
  d->positions = options->packed ? memory_alloc(cells) : NULL;
  d->starts = options->packed ? memory_alloc(cells) : NULL;
  return d;
}

void dataset_close(dataset *d) {
  if (!d) return;
  pack_free(&d->packing);
  text_free(&d->warning);
  free(d->rows.ids), free(d->rows.rows), free(d->prefix.ids), free(d->order);
  free(d->ids), free(d->labels), free(d->last), free(d->positions), free(d->starts);
  free(d);
}

dataset_counts dataset_count(const dataset *d) { return d->counts; }
const char *dataset_warning(const dataset *d) { return d->warning.length ? d->warning.data : NULL; }
int64_t dataset_sequences(const dataset *d) { return d->packing.sequences; }
int64_t dataset_batches(const dataset *d) { return (d->packing.sequences + d->options.batch - 1) / d->options.batch; }

static int32_t token(const dataset *d, const example *e, int32_t i) {
  return i < e->head ? d->prefix.ids[i] : d->rows.ids[e->offset + i - e->head];
}

// Padding from `at` on: it sees itself only, and has no labels.
static void pad_row(dataset *d, int64_t row, int64_t at) {
  int64_t length = d->options.length, base = row * length;
  for (int64_t i = at; i < length; ++i) {
    d->ids[base + i] = d->pad;
    if (!d->options.classes) d->labels[base + i] = -100;
    if (!d->options.packed) continue;
    d->positions[base + i] = (int32_t)(i - at);
    d->starts[base + i] = (int32_t)at;
  }
}

static int64_t put_example(dataset *d, int64_t row, int64_t at, const example *e) {
  int64_t base = row * d->options.length + at;
  int32_t inputs = d->options.classes ? e->count : e->count - 1;
  for (int32_t i = 0; i < inputs; ++i) {
    d->ids[base + i] = token(d, e, i);
    if (!d->options.classes) d->labels[base + i] = i + 1 >= e->labelled ? token(d, e, i + 1) : -100;
    if (!d->options.packed) continue;
    d->positions[base + i] = i;
    d->starts[base + i] = (int32_t)at;
  }
  d->last[row] = (int32_t)at + inputs - 1;
  if (d->options.classes) d->labels[row] = e->label;
  return at + inputs;
}

static void order_epoch(dataset *d, int64_t epoch) {
  if (d->epoch == epoch) return;
  char name[40];
  snprintf(name, sizeof name, "epoch %lld", (long long)epoch);
  if (d->options.shuffle) shuffle(d->order, d->packing.sequences, random_named(d->options.seed, name));
  else
    for (int64_t i = 0; i < d->packing.sequences; ++i) d->order[i] = i;
  d->epoch = epoch;
}

bool dataset_batch(void *context, int64_t epoch, int64_t index, lmn_batch *batch, lmn_error *error) {
  dataset *d = context;
  if (epoch < 0 || index < 0 || index >= dataset_batches(d))
    return fail(error, "batch %lld of epoch %lld: an epoch of the data has %lld batches", (long long)index,
                (long long)epoch, (long long)dataset_batches(d));
  order_epoch(d, epoch);
  const packing *p = &d->packing;
  for (int64_t row = 0; row < d->options.batch; ++row) {
    int64_t which = index * d->options.batch + row, at = 0;
    d->last[row] = 0;
    if (d->options.classes) d->labels[row] = -100;
    if (which < p->sequences)
      for (int64_t i = p->begin[d->order[which]]; i < p->begin[d->order[which] + 1]; ++i)
        at = put_example(d, row, at, &p->examples[p->order[i]]);
    pad_row(d, row, at);
  }
  *batch = (lmn_batch){.batch = d->options.batch,
                       .length = d->options.length,
                       .input_ids = d->ids,
                       .labels = d->labels,
                       .last = d->last,
                       .positions = d->positions,
                       .starts = d->starts};
  return true;
}
