#include "runtime/generate.h"

#include <stdlib.h>
#include <string.h>

const char *const generation_end_names[4] = {"length", "eos", "stop", "capacity"};

typedef struct row {
  generation *result;
  tokenizer_stream *stream;
  stop_matcher stops;
  random_stream random;
  size_t handed; // bytes of result->text handed to on_text
  int32_t next;  // the token to be fed
  bool done;
} row;

// ---- prompts ------------------------------------------------------------------------------------

static void add_token(token_list *list, int32_t id) {
  GROW(list->ids, list->count, list->capacity);
  list->ids[list->count++] = id;
}

bool generate_prompt(const tokenizer *t, const char *prompt, int64_t bos, bool raw, token_list *ids, lmn_error *error) {
  int64_t prefix = 0;
  const int32_t *before = tokenizer_prefix(t, &prefix);
  for (int64_t i = 0; !raw && i < prefix; ++i) add_token(ids, before[i]);
  int32_t *encoded = NULL;
  int64_t count = 0;
  if (!tokenizer_encode(t, prompt, strlen(prompt), false, &encoded, &count, error)) return false;
  for (int64_t i = 0; i < count; ++i) add_token(ids, encoded[i]);
  free(encoded);
  if (!ids->count && !raw && (bos >= 0 || tokenizer_bos(t) >= 0))
    add_token(ids, bos >= 0 ? (int32_t)bos : tokenizer_bos(t));
  if (ids->count) return true;
  return fail(error, "an empty prompt needs a BOS token to begin with%s",
              raw ? ", and --raw leaves it out" : "; this model has none: give a prompt");
}

// ---- text ---------------------------------------------------------------------------------------

static void hand_on(row *r, const generate_options *o, int index) {
  const text *t = &r->result->text;
  bool more = t->length > r->handed;
  if (o->on_text && more && !o->on_text(o->context, index, t->data + r->handed, t->length - r->handed)) r->done = true;
  r->handed = t->length;
}

static void finish(row *r, const generate_options *o, int index, generation_end end) {
  r->done = true;
  r->result->end = end;
  if (!r->stream) return;
  if (end != END_STOP) {
    text rest = {0};
    tokenizer_stream_finish(r->stream, &rest);
    if (rest.length) stop_push(&r->stops, rest.data, rest.length, &r->result->text);
    stop_finish(&r->stops, &r->result->text);
    if (r->stops.stopped) r->result->end = END_STOP;
    text_free(&rest);
  }
  hand_on(r, o, index);
}

static void say(row *r, const generate_options *o, int index, int32_t id) {
  if (!r->stream) return;
  text piece = {0};
  tokenizer_stream_push(r->stream, id, &piece);
  if (piece.length && stop_push(&r->stops, piece.data, piece.length, &r->result->text)) finish(r, o, index, END_STOP);
  else hand_on(r, o, index);
  text_free(&piece);
}

// ---- rows ---------------------------------------------------------------------------------------

// Each row draws from a stream of its own: the seed's, and for the n-th prompt of the same tokens the n-th, so that a
// row among others is as it is alone and yet the same prompt twice is two samples.
static random_stream row_random(const token_list *prompts, int index, uint64_t seed) {
  int same = 0;
  for (int i = 0; i < index; ++i)
    same += prompts[i].count == prompts[index].count &&
            !memcmp(prompts[i].ids, prompts[index].ids, (size_t)prompts[i].count * sizeof(int32_t));
  return sample_stream(seed, same);
}

static void begin_row(row *r, const tokenizer *t, const token_list *prompts, int index, const generate_options *o,
                      generation *result) {
  *r = (row){.result = result, .random = row_random(prompts, index, o->sample.seed)};
  if (!t) return;
  r->stream = tokenizer_stream_open(t, !o->special);
  stop_open(&r->stops, o->stops, o->stop_count);
  text prompt = {0}; // pushed for what follows (a space at a text's beginning); its own text is not the result's
  for (int64_t i = 0; i < prompts[index].count; ++i) tokenizer_stream_push(r->stream, prompts[index].ids[i], &prompt);
  text_free(&prompt);
}

static bool ends(const plan *p, int32_t id) {
  for (int i = 0; i < p->eos_count; ++i)
    if (p->eos[i] == id) return true;
  return id == p->bos; // a new document begins: this one has ended
}

static bool take(row *r, const plan *p, const generate_options *o, int index, const float *logits, lmn_error *error) {
  int32_t id = sample_token(&o->sample, &r->random, logits, p->vocabulary);
  if (id < 0) return fail(error, "the logits of sequence %d are not numbers; are the parameters sound?", index);
  if (ends(p, id)) {
    finish(r, o, index, END_TOKEN);
    return true;
  }
  add_token(&r->result->ids, id);
  r->next = id;
  say(r, o, index, id);
  if (!r->done && r->result->ids.count >= o->max_tokens) finish(r, o, index, END_LENGTH);
  return true;
}

static bool feed_prompts(lmn_network *n, const token_list *prompts, int count, const float **logits, lmn_error *error) {
  int64_t longest = 1;
  for (int i = 0; i < count; ++i)
    if (prompts[i].count > longest) longest = prompts[i].count;
  int32_t *ids = memory_zero((size_t)(longest * count) * sizeof *ids),
          *counts = memory_zero((size_t)count * sizeof *counts);
  for (int i = 0; i < count; ++i) {
    memcpy(ids + i * longest, prompts[i].ids, (size_t)prompts[i].count * sizeof *ids);
    counts[i] = (int32_t)prompts[i].count;
  }
  bool ok = lmn_extend(n, ids, longest, counts, logits, error);
  free(ids);
  free(counts);
  return ok;
}

// One more token for every row that goes on. *active: how many do.
static bool feed_next(lmn_network *n, row *rows, const token_list *prompts, int count, const generate_options *o,
                      int *active, const float **logits, lmn_error *error) {
  const plan *p = lmn_plan(n);
  int32_t *ids = memory_zero((size_t)count * sizeof *ids), *counts = memory_zero((size_t)count * sizeof *counts);
  *active = 0;
  for (int i = 0; i < count; ++i) {
    int64_t tokens = prompts[i].count + rows[i].result->ids.count;
    if (!rows[i].done && p->positions && tokens > p->positions) finish(&rows[i], o, i, END_CAPACITY);
    ids[i] = rows[i].next;
    counts[i] = !rows[i].done;
    *active += counts[i];
  }
  bool ok = !*active || lmn_extend(n, ids, 1, counts, logits, error);
  for (int i = 0; ok && i < count; ++i)
    if (counts[i]) ok = take(&rows[i], p, o, i, *logits + i * p->vocabulary, error);
  free(ids);
  free(counts);
  return ok;
}

static bool generate_rows(lmn_network *n, row *rows, const token_list *prompts, int count, const generate_options *o,
                          lmn_error *error) {
  const plan *p = lmn_plan(n);
  int64_t longest = 0;
  for (int i = 0; i < count; ++i)
    if (prompts[i].count > longest) longest = prompts[i].count;
  const float *logits;
  int64_t tokens = longest + o->max_tokens;
  if (p->positions && tokens > p->positions) tokens = p->positions;
  if (!lmn_reset(n, count, p->prefix + tokens, error) || !feed_prompts(n, prompts, count, &logits, error)) return false;
  for (int i = 0; i < count; ++i) {
    if (o->max_tokens <= 0) finish(&rows[i], o, i, END_LENGTH);
    else if (!take(&rows[i], p, o, i, logits + i * p->vocabulary, error)) return false;
  }
  for (int active = 1; active;)
    if (!feed_next(n, rows, prompts, count, o, &active, &logits, error)) return false;
  return true;
}

bool generate_run(lmn_network *n, const tokenizer *t, const token_list *prompts, int count, const generate_options *o,
                  generation *results, lmn_error *error) {
  if (lmn_plan(n)->classes)
    return fail(error, "this network classifies; only one with a language model head generates");
  row *rows = memory_zero((size_t)count * sizeof *rows);
  for (int i = 0; i < count; ++i) begin_row(&rows[i], t, prompts, i, o, &results[i]);
  bool ok = generate_rows(n, rows, prompts, count, o, error);
  for (int i = 0; i < count; ++i) {
    if (!rows[i].stream) continue;
    tokenizer_stream_close(rows[i].stream);
    stop_close(&rows[i].stops);
  }
  free(rows);
  return ok;
}

void generation_free(generation *g) {
  free(g->ids.ids);
  text_free(&g->text);
  *g = (generation){0};
}
