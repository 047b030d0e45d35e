// generate: prompts in groups through the KV cache; one prompt is streamed.
#include "driver/run_options.h"
#include "runtime/generate.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PROMPTS_AT_ONCE = 8, CAPACITY_STEP = 64, PROMPTS_BYTES = 1 << 28 };

typedef struct work {
  const run_options *options;
  network_source source;
  tokenizer *tokenizer;
  text_list prompts;
  char *file;
  token_list *ids;
  lmn_network *network;
  bool stream, broken; // broken: nobody reads what is printed
} work;

// ---- prompts ------------------------------------------------------------------------------------

static void add_prompt(work *w, const char *prompt) {
  GROW(w->prompts.items, w->prompts.count, w->prompts.capacity);
  w->prompts.items[w->prompts.count++] = prompt;
}

static bool collect_prompts(work *w, lmn_error *error) {
  const run_options *o = w->options;
  for (int i = 0; i < o->prompts.count; ++i) add_prompt(w, o->prompts.items[i]);
  if (o->prompts_file) {
    size_t length;
    if (!file_read(o->prompts_file, PROMPTS_BYTES, &w->file, &length, error)) return false;
    if (strlen(w->file) != length)
      return fail(error, "%s: has a zero byte; prompts are lines of text", o->prompts_file);
    for (char *line = w->file; *line;) {
      char *end = line + strcspn(line, "\n"), *next = *end ? end + 1 : end;
      *end = 0;
      if (end > line && end[-1] == '\r') end[-1] = 0;
      add_prompt(w, line);
      line = next;
    }
    if (!w->prompts.count) return fail(error, "%s: has no prompt", o->prompts_file);
  }
  if (!w->prompts.count) add_prompt(w, "");
  return true;
}

// "12, 7 99" as ids.
static bool read_ids(const char *prompt, int64_t vocabulary, token_list *list, lmn_error *error) {
  for (const char *at = prompt + strspn(prompt, " ,\t"); *at;) {
    char *end;
    errno = 0;
    long long id = strtoll(at, &end, 10);
    if (end == at || errno || id < 0 || id >= vocabulary)
      return fail(error, "--ids: \"%s\" must be token ids from 0 to %lld", prompt, (long long)vocabulary - 1);
    GROW(list->ids, list->count, list->capacity);
    list->ids[list->count++] = (int32_t)id;
    at = end + strspn(end, " ,\t");
  }
  return list->count > 0 || fail(error, "--ids: an empty prompt has no ids; give --prompt '1 2 3'");
}

static bool encode_prompts(work *w, lmn_error *error) {
  const run_options *o = w->options;
  w->ids = memory_zero((size_t)w->prompts.count * sizeof *w->ids);
  for (int i = 0; i < w->prompts.count; ++i) {
    const char *prompt = w->prompts.items[i];
    bool ok = o->ids ? read_ids(prompt, w->source.vocabulary, &w->ids[i], error)
                     : generate_prompt(w->tokenizer, prompt, w->source.bos, o->raw, &w->ids[i], error);
    if (!ok) return false;
    if (w->source.positions && w->ids[i].count > w->source.positions)
      return fail(error, "prompt %d has %lld tokens; the model has %lld positions", i + 1, (long long)w->ids[i].count,
                  (long long)w->source.positions);
  }
  return true;
}

// ---- output -------------------------------------------------------------------------------------

static bool print_text(void *context, int index, const char *text, size_t length) {
  work *w = context;
  (void)index;
  if (fwrite(text, 1, length, stdout) != length || fflush(stdout)) w->broken = true;
  return !w->broken;
}

static void print_ids(const token_list *ids) {
  for (int64_t i = 0; i < ids->count; ++i) printf("%s%d", i ? " " : "", ids->ids[i]);
}

static json_t *ids_json(const token_list *ids) {
  json_t *array = json_array();
  for (int64_t i = 0; i < ids->count; ++i) json_array_append_new(array, json_integer(ids->ids[i]));
  return array;
}

static void print_json(const work *w, int index, const generation *g) {
  json_t *root = json_object();
  json_object_set_new(root, "prompt", json_string(w->prompts.items[index]));
  if (!w->options->ids)
    json_object_set_new(root, "text", json_stringn(g->text.data ? g->text.data : "", g->text.length));
  json_object_set_new(root, "prompt_ids", ids_json(&w->ids[index]));
  json_object_set_new(root, "ids", ids_json(&g->ids));
  json_object_set_new(root, "end", json_string(generation_end_names[g->end]));
  json_dumpf(root, stdout, JSON_COMPACT);
  putchar('\n');
  json_decref(root);
}

static void print_result(const work *w, int index, const generation *g) {
  const run_options *o = w->options;
  if (o->json) {
    print_json(w, index, g);
    return;
  }
  if (!w->stream && w->prompts.count > 1 && !o->echo) printf("> %s\n", w->prompts.items[index]);
  if (!w->stream && o->echo) fputs(w->prompts.items[index], stdout);
  if (o->ids) {
    if (o->echo) putchar(' ');
    print_ids(&g->ids);
  } else if (!w->stream && g->text.length) fwrite(g->text.data, 1, g->text.length, stdout);
  putchar('\n');
  if (w->prompts.count > 1 && !o->ids) putchar('\n');
}

// ---- running ------------------------------------------------------------------------------------

static int64_t longest_prompt(const work *w) {
  int64_t longest = 1;
  for (int i = 0; i < w->prompts.count; ++i)
    if (w->ids[i].count > longest) longest = w->ids[i].count;
  return longest;
}

static int rows_at_once(const work *w) {
  int64_t rows = w->options->batch > 0 ? w->options->batch : PROMPTS_AT_ONCE;
  if (w->source.rows && w->source.rows < rows) rows = w->source.rows;
  return rows < w->prompts.count ? (int)rows : w->prompts.count;
}

static bool open_network(work *w, lmn_error *error) {
  const network_source *s = &w->source;
  int64_t longest = longest_prompt(w), tokens = longest + w->options->max_tokens;
  int64_t capacity = (s->prefix + tokens + CAPACITY_STEP - 1) / CAPACITY_STEP * CAPACITY_STEP;
  if (s->positions && tokens > s->positions) capacity = s->prefix + s->positions;
  const int64_t chunks[] = {1, 16, 128};
  entry_wanted wanted[4];
  int count = 0;
  if (s->prefix)
    wanted[count++] = (entry_wanted){.kind = ENTRY_EXTEND, .phase = -1, .batch = rows_at_once(w), .capacity = capacity};
  for (size_t i = 0; i < LENGTH(chunks); ++i)
    if (chunks[i] == 1 || (chunks[i] <= 4 * longest && chunks[i] <= capacity))
      wanted[count++] = (entry_wanted){
          .kind = ENTRY_EXTEND, .phase = -1, .batch = rows_at_once(w), .length = chunks[i], .capacity = capacity};
  w->network = run_network(w->options, &w->source, wanted, count, error);
  return w->network != NULL;
}

static bool generate_group(work *w, int first, int count, lmn_error *error) {
  const run_options *o = w->options;
  generate_options options = {.max_tokens = o->max_tokens,
                              .sample = o->sample,
                              .stops = o->stops.items,
                              .stop_count = o->stops.count,
                              .special = o->special,
                              .on_text = w->stream ? print_text : NULL,
                              .context = w};
  generation *results = memory_zero((size_t)count * sizeof *results);
  if (w->stream && o->echo) fputs(w->prompts.items[first], stdout);
  bool ok = generate_run(w->network, w->tokenizer, w->ids + first, count, &options, results, error);
  for (int i = 0; i < count; ++i) {
    if (ok) print_result(w, first + i, &results[i]);
    generation_free(&results[i]);
  }
  free(results);
  return ok;
}

static bool generate(work *w, lmn_error *error) {
  const run_options *o = w->options;
  if (!sample_check(&o->sample, error) || !collect_prompts(w, error) || !run_source(o, &w->source, error)) return false;
  if (w->source.classes) return fail(error, "this network classifies; only one with a language model head generates");
  if (!o->ids) {
    w->tokenizer = tokenizer_open(w->source.tokenizer, error);
    if (!w->tokenizer) return fail_in(error, "generate needs the tokenizer (or --ids)");
  }
  if (!encode_prompts(w, error) || !open_network(w, error)) return false;
  w->stream = w->prompts.count == 1 && !o->json && !o->ids;
  int rows = rows_at_once(w);
  for (int i = 0; i < w->prompts.count && !w->broken; i += rows)
    if (!generate_group(w, i, i + rows < w->prompts.count ? rows : w->prompts.count - i, error)) return false;
  if (fflush(stdout) || ferror(stdout)) return fail(error, "the output cannot be written: %s", strerror(errno));
  return true;
}

int generate_command(const run_options *o) {
  lmn_error error = {0};
  work w = {.options = o};
  bool ok = generate(&w, &error);
  for (int i = 0; w.ids && i < w.prompts.count; ++i) free(w.ids[i].ids);
  free(w.ids);
  free(w.prompts.items);
  free(w.file);
  tokenizer_close(w.tokenizer);
  lmn_close(w.network);
  source_close(&w.source);
  return ok ? 0 : run_failed(&error);
}
