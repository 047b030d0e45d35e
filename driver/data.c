#include "driver/data.h"

#include <glob.h>
#include <string.h>

static bool path_there(const char *path) {
  if (file_exists(path) || directory_exists(path)) return true;
  glob_t found;
  bool there = glob(path, 0, NULL, &found) == 0 && found.gl_pathc > 0;
  globfree(&found);
  return there;
}

// Each of the paths between commas.
static const char *beside(arena *a, const char *folder, const char *paths) {
  text all = {0};
  for (const char *at = paths; *at;) {
    size_t length = strcspn(at, ",");
    const char *path = arena_copy(a, at, length), *inside = arena_printf(a, "%s/%s", folder, path);
    text_printf(&all, "%s%s", all.length ? "," : "", *path != '/' && path_there(inside) ? inside : path);
    at += length + (at[length] == ',');
  }
  const char *result = arena_string(a, all.data ? all.data : "");
  text_free(&all);
  return result;
}

const char *data_paths(const network_source *s, const char *said, const char *in_file) {
  return said ? said : beside(s->arena, s->folder, in_file);
}

dataset *data_open(const run_options *o, const network_source *s, const plan_phase *phase, const tokenizer *t,
                   const char *said, const char *in_file, bool shuffle, lmn_error *error) {
  dataset_options options = {.data = data_paths(s, said, in_file),
                             .text = o->text,
                             .prompt = o->prompt ? o->prompt : phase->prompt,
                             .completion = o->completion ? o->completion : phase->completion,
                             .batch = phase->batch,
                             .length = phase->length,
                             .vocabulary = s->vocabulary,
                             .classes = s->classes,
                             .eos = s->eos_count ? s->eos[0] : -1,
                             .pad = -1,
                             .packed = o->pack,
                             .shuffle = shuffle,
                             .seed = phase->seed,
                             .threads = o->source.options.threads};
  if (o->text) options.prompt = options.completion = NULL; // plain text is asked for, whatever the file says
  if (s->positions && phase->length > s->positions) {
    fail(error, "length = %lld, but the model has %lld positions; use a smaller length", (long long)phase->length,
         (long long)s->positions);
    return NULL;
  }
  dataset *d = dataset_open(&options, t, error);
  if (d && dataset_warning(d)) fprintf(stderr, "warning: %s\n", dataset_warning(d));
  return d;
}

batch_source data_batches(dataset *d) {
  return (batch_source){.context = d, .batch = dataset_batch, .batches = dataset_batches(d)};
}

static uint64_t hash_array(uint64_t hash, const int32_t *values, int64_t count) {
  return values ? hash_bytes(hash, values, (size_t)count * sizeof *values) : hash;
}

bool data_fingerprint(dataset *d, const network_source *s, char text[32], lmn_error *error) {
  uint64_t hash = HASH_START;
  for (int64_t i = 0; i < dataset_batches(d); ++i) {
    lmn_batch b;
    if (!dataset_batch(d, 0, i, &b, error)) return false;
    int64_t tokens = b.batch * b.length;
    hash = hash_array(hash, b.input_ids, tokens);
    hash = hash_array(hash, b.labels, s->classes ? b.batch : tokens);
    hash = hash_array(hash, b.starts, tokens);
  }
  snprintf(text, 32, "%016llx", (unsigned long long)hash);
  return true;
}
