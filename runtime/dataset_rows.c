// Rows as tokens, on all cores. Every row goes through its thread's encoder; which thread takes which row changes
// nothing.
#include "runtime/dataset_parts.h"
#include "runtime/threads.h"

#include <ctype.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

typedef struct worker {
  tokenizer_encoder *encoder;
  row_reader reader;
  text prompt, completion;
  token_list ids;
} worker;

typedef struct placed { // a row's tokens in its worker's list
  int32_t worker, label;
  int64_t offset, count, labelled;
} placed;

typedef struct job {
  const data_list *list;
  const dataset_options *options;
  const tokenizer *tokenizer;
  int32_t eos;
  data_template prompt, completion; // plain text: prompt is its column, completion empty
  bool pairs;                       // prompt and completion
  worker *workers;
  int threads;
  placed *placed;
  pthread_mutex_t lock;
  lmn_error failure; // of the first row that is wrong
  int64_t failed;    // which; row_count: none
} job;

// A class as an index or a letter.
static bool read_label(const job *j, const data_row *row, const text *value, int32_t *label, lmn_error *error) {
  const char *start = value->data ? value->data : "";
  while (isspace((unsigned char)*start)) ++start;
  size_t length = strlen(start);
  while (length && isspace((unsigned char)start[length - 1])) --length;
  char *end = (char *)start;
  long long number = length && isdigit((unsigned char)*start) ? strtoll(start, &end, 10) : -1;
  if (length == 1 && isalpha((unsigned char)*start))
    number = toupper((unsigned char)*start) - 'A', end = (char *)start + 1;
  if (number >= 0 && number < j->options->classes && end == start + length) return *label = (int32_t)number, true;
  return fail(
      error,
      "%s:%lld: the label \"%.*s\" is none of the %lld classes; it must be an index from 0 to %lld or a letter from A",
      j->list->files[row->file].path, (long long)row->line, (int)(length < 60 ? length : 60), start,
      (long long)j->options->classes, (long long)j->options->classes - 1);
}

static void add_id(token_list *list, int32_t id) {
  if (id < 0) return;
  GROW(list->ids, list->count, list->capacity);
  list->ids[list->count++] = id;
}

static void add_prefix(const job *j, token_list *ids) {
  int64_t count;
  const int32_t *prefix = tokenizer_prefix(j->tokenizer, &count);
  for (int64_t i = 0; i < count; ++i) add_id(ids, prefix[i]);
}

// Encodes what begins (or goes on with) a row; an error gets its place.
static bool encode(const job *j, worker *w, const data_row *row, const char *in, size_t length, bool begins,
                   lmn_error *error) {
  bool ok = begins ? tokenizer_encoder_add(w->encoder, in, length, false, &w->ids, error)
                   : tokenizer_encoder_continue(w->encoder, in, length, &w->ids, error);
  return ok || fail_in(error, "%s:%lld", j->list->files[row->file].path, (long long)row->line);
}

// A piece of a text file: only the first one has the prefix.
static bool add_stream(const job *j, worker *w, const data_row *row, lmn_error *error) {
  const char *piece = j->list->files[row->file].data + row->offset;
  if (row->first) add_prefix(j, &w->ids);
  return encode(j, w, row, piece, row->length, row->first, error);
}

static bool add_row(const job *j, worker *w, const data_row *row, placed *p, lmn_error *error) {
  const data_file *f = &j->list->files[row->file];
  p->offset = w->ids.count;
  p->labelled = 1;
  if (f->format == DATA_TEXT) return add_stream(j, w, row, error);
  w->prompt.length = w->completion.length = 0;
  text_add(&w->prompt, ""), text_add(&w->completion, "");
  if (!row_read(&w->reader, f, row, error) || !template_fill(&j->prompt, &w->reader, f, row, &w->prompt, error) ||
      !template_fill(&j->completion, &w->reader, f, row, &w->completion, error))
    return false;
  add_prefix(j, &w->ids);
  if (!encode(j, w, row, w->prompt.data, w->prompt.length, true, error)) return false;
  if (j->options->classes)
    return (w->ids.count > p->offset || fail(error, "%s:%lld: the prompt is empty, so there is nothing to classify",
                                             f->path, (long long)row->line)) &&
           read_label(j, row, &w->completion, &p->label, error);
  if (j->pairs) {
    // with nothing at all before it, the completion's first id cannot be a label
    p->labelled = w->ids.count > p->offset ? w->ids.count - p->offset : 1;
    bool begins = !w->prompt.length; // then the completion is the start of the text
    if (!encode(j, w, row, w->completion.data, w->completion.length, begins, error)) return false;
  }
  add_id(&w->ids, j->eos);
  return true;
}

static bool check_ids(const job *j, const worker *w, const data_row *row, const placed *p, lmn_error *error) {
  for (int64_t i = p->offset; i < w->ids.count; ++i)
    if (w->ids.ids[i] >= j->options->vocabulary)
      return fail(error,
                  "%s:%lld: the tokenizer %s makes the id %d (\"%.60s\"), but the network's vocabulary is %lld; it "
                  "must be the tokenizer of the network's input model",
                  j->list->files[row->file].path, (long long)row->line, tokenizer_file(j->tokenizer), w->ids.ids[i],
                  tokenizer_token(j->tokenizer, w->ids.ids[i]) ? tokenizer_token(j->tokenizer, w->ids.ids[i]) : "",
                  (long long)j->options->vocabulary);
  return true;
}

static void tokenize(void *context, int64_t begin, int64_t end, int thread) {
  job *j = context;
  worker *w = &j->workers[thread];
  if (!w->encoder) w->encoder = tokenizer_encoder_open(j->tokenizer);
  for (int64_t i = begin; i < end; ++i) {
    pthread_mutex_lock(&j->lock);
    bool later = i > j->failed; // an earlier row is wrong already
    pthread_mutex_unlock(&j->lock);
    if (later) return;
    lmn_error error = {0};
    const data_row *row = &j->list->rows[i];
    placed *p = &j->placed[i];
    p->worker = thread;
    if (add_row(j, w, row, p, &error) && check_ids(j, w, row, p, &error)) {
      p->count = w->ids.count - p->offset;
      continue;
    }
    pthread_mutex_lock(&j->lock);
    if (i < j->failed) j->failed = i, j->failure = error;
    pthread_mutex_unlock(&j->lock);
    return;
  }
}

// One list of ids in the order of the rows; the pieces of a text file become one row again.
static void gather(const job *j, tokenized *result) {
  int64_t rows = j->list->row_count, total = 0;
  for (int64_t i = 0; i < rows; ++i) total += j->placed[i].count + 1;
  result->ids = memory_alloc((size_t)total * sizeof *result->ids);
  result->rows = memory_zero((size_t)(rows + 1) * sizeof *result->rows);
  for (int64_t i = 0; i < rows; ++i) {
    const placed *p = &j->placed[i];
    const data_row *row = &j->list->rows[i];
    bool text = j->list->files[row->file].format == DATA_TEXT;
    if (p->count)
      memcpy(result->ids + result->id_count, j->workers[p->worker].ids.ids + p->offset,
             (size_t)p->count * sizeof *result->ids);
    if (text && !row->first) result->rows[result->row_count - 1].count += p->count;
    else result->rows[result->row_count++] = (token_row){result->id_count, p->count, p->labelled, p->label, true};
    result->id_count += p->count;
  }
}

static bool parse_templates(job *j, arena *memory, lmn_error *error) {
  const dataset_options *o = j->options;
  j->pairs = o->completion && !o->classes;
  if (o->classes && (!o->prompt || !o->completion))
    return fail(error,
                "a classifier needs prompt and completion: the text to read, and its class as an index or a letter");
  if (o->prompt && !o->completion)
    return fail(error, "prompt is set, but completion is not; the loss is on the completion");
  if (!o->completion) return template_column(memory, "text", o->text && *o->text ? o->text : "text", &j->prompt);
  for (int64_t i = 0; i < j->list->file_count; ++i)
    if (j->list->files[i].format == DATA_TEXT)
      return fail(error, "%s: a text file has no columns for prompt and completion; give a .csv or .jsonl file",
                  j->list->files[i].path);
  return template_parse(memory, "prompt", o->prompt ? o->prompt : "", &j->prompt, error) &&
         template_parse(memory, "completion", o->completion, &j->completion, error);
}

static bool check_columns(const job *j, lmn_error *error) {
  for (int64_t i = 0; i < j->list->file_count; ++i)
    if (!template_check(&j->prompt, &j->list->files[i], error) ||
        !template_check(&j->completion, &j->list->files[i], error))
      return false;
  return true;
}

static bool run(job *j, lmn_error *error) {
  int64_t rows = j->list->row_count;
  int threads = j->options->threads > 0 ? j->options->threads : cores_available();
  if (threads > rows) threads = (int)rows;
  thread_pool *pool = pool_create(threads, NULL, error);
  if (!pool) return false;
  j->threads = pool_threads(pool);
  j->workers = memory_zero((size_t)j->threads * sizeof *j->workers);
  j->placed = memory_zero((size_t)rows * sizeof *j->placed);
  j->failed = rows;
  pthread_mutex_init(&j->lock, NULL);
  pool_run(pool, rows, 1, tokenize, j);
  pthread_mutex_destroy(&j->lock);
  pool_destroy(pool);
  for (int i = 0; i < j->threads; ++i) {
    worker *w = &j->workers[i];
    tokenizer_encoder_close(w->encoder);
    row_free(&w->reader);
    text_free(&w->prompt);
    text_free(&w->completion);
  }
  bool ok = j->failed == rows;
  if (!ok) fail(error, "%s", j->failure.text);
  return ok;
}

bool data_tokenize(const data_list *list, const dataset_options *options, const tokenizer *t, int32_t eos,
                   tokenized *result, lmn_error *error) {
  job j = {.list = list, .options = options, .tokenizer = t, .eos = eos};
  arena *memory = arena_create();
  bool ok = parse_templates(&j, memory, error) && check_columns(&j, error) && run(&j, error);
  if (ok) gather(&j, result);
  for (int i = 0; i < j.threads; ++i) free(j.workers[i].ids.ids);
  free(j.workers);
  free(j.placed);
  template_free(&j.prompt);
  template_free(&j.completion);
  arena_destroy(memory);
  return ok;
}
