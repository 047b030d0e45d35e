// Where a model is: beside the .lmn file, in the folders of LMN_MODELS, in the Hugging Face cache.
#include "frontend/resolve.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

static bool has_config(arena *a, const char *directory) {
  return file_exists(arena_printf(a, "%s/config.json", directory));
}

// Notes a folder that was looked at; the message about a missing model lists them.
static const char *try_directory(arena *a, const char *directory, text *tried) {
  if (has_config(a, directory)) return directory;
  text_printf(tried, "%s`%s`", tried->length ? ", " : "", directory);
  return NULL;
}

// A cached repository's snapshot: the one that refs/main names, else the first by name that has a config.json.
static const char *find_snapshot(arena *a, const char *repository) {
  char *revision = NULL;
  size_t length;
  if (file_read(arena_printf(a, "%s/refs/main", repository), 256, &revision, &length, NULL)) {
    while (length && strchr("\r\n ", revision[length - 1])) revision[--length] = 0;
    const char *directory = arena_printf(a, "%s/snapshots/%s", repository, revision);
    bool plain = length && !strchr(revision, '/');
    free(revision);
    if (plain && has_config(a, directory)) return directory;
  }
  struct dirent **entries = NULL;
  const char *snapshots = arena_printf(a, "%s/snapshots", repository), *found = NULL;
  int count = scandir(snapshots, &entries, NULL, alphasort);
  for (int i = 0; i < count; ++i) {
    const char *directory = arena_printf(a, "%s/%s", snapshots, entries[i]->d_name);
    if (!found && entries[i]->d_name[0] != '.' && has_config(a, directory)) found = directory;
    free(entries[i]);
  }
  free(entries);
  return found;
}

static const char *cache_directory(arena *a) {
  const char *value = getenv("HF_HUB_CACHE");
  if (value && *value) return value;
  if ((value = getenv("HF_HOME")) && *value) return arena_printf(a, "%s/hub", value);
  if ((value = getenv("XDG_CACHE_HOME")) && *value) return arena_printf(a, "%s/huggingface/hub", value);
  if ((value = getenv("HOME")) && *value) return arena_printf(a, "%s/.cache/huggingface/hub", value);
  return NULL;
}

static const char *find_cached(arena *a, const char *name, text *tried) {
  const char *cache = cache_directory(a);
  if (!cache || name[0] == '/' || name[0] == '.' || strstr(name, "..")) return NULL; // a path, not a model id
  text id = {0};
  text_printf(&id, "%s/models--", cache);
  for (const char *p = name; *p; ++p) text_add_bytes(&id, *p == '/' ? "--" : p, *p == '/' ? 2 : 1);
  const char *repository = arena_string(a, id.data), *found = find_snapshot(a, repository);
  text_free(&id);
  if (!found) text_printf(tried, ", `%s`", repository);
  return found;
}

const char *model_directory_find(arena *a, const char *file, const char *name, text *tried) {
  const char *slash = strrchr(file, '/');
  if (name[0] == '/') return try_directory(a, name, tried);
  const char *beside = slash ? arena_printf(a, "%.*s/%s", (int)(slash - file), file, name) : name;
  const char *found = try_directory(a, beside, tried);
  if (found) return found;
  const char *folders = getenv("LMN_MODELS");
  while (folders && *folders) {
    int length = (int)strcspn(folders, ":");
    if (length && (found = try_directory(a, arena_printf(a, "%.*s/%s", length, folders, name), tried))) return found;
    folders += length + (folders[length] == ':');
  }
  return find_cached(a, name, tried);
}

static bool ends_with(const char *string, const char *end) {
  size_t length = strlen(string), tail = strlen(end);
  return length >= tail && !strcasecmp(string + length - tail, end);
}

// Where the model declared as `declared` is.
static const char *directory_of(resolver *r, const char *declared, const char *name, text *tried) {
  if (!r->kept) return model_directory_find(r->arena, r->file->name, name, tried);
  for (int i = 0; i < r->kept->model_count; ++i)
    if (!strcmp(r->kept->models[i].name, declared)) return try_directory(r->arena, r->kept->models[i].value, tried);
  return NULL;
}

// Fills the description in, or leaves it empty after an error.
static void read_model(resolver *r, const ast_value *path, const char *declared, const char *name, model *result) {
  if (ends_with(name, ".gguf")) {
    diagnostic *item = report(r->d, ERROR_GGUF, path->place, "`%s`: GGUF files are not supported yet", name);
    report_help(r->d, item, "name a Hugging Face directory: one with a config.json and safetensors");
    return;
  }
  text tried = {0};
  const char *directory = strlen(name) > 4096 || !*name ? NULL : directory_of(r, declared, name, &tried);
  if (!directory) {
    diagnostic *item = report(r->d, ERROR_MODEL_MISSING, path->place, "there is no model directory `%.200s`", name);
    if (tried.length) report_label(r->d, item, "no config.json there");
    if (tried.length) report_help(r->d, item, "looked in %s; LMN_MODELS may name more folders", tried.data);
    text_free(&tried);
    return;
  }
  text_free(&tried);
  lmn_error error = {{0}};
  if (model_read(r->arena, directory, result, &error)) return;
  report(r->d, ERROR_MODEL_CONFIG, path->place, "%s", error.text);
  memset(result, 0, sizeof *result);
}

void run_model(resolver *r, const ast_statement *s) {
  ast_argument *none[1];
  bind_options(r, "a model", NULL, 0, &s->options, none);
  const char *name;
  GROW(r->models, r->model_count, r->model_capacity);
  graph_model *m = &r->models[r->model_count];
  *m = (graph_model){.name = s->name.text, .place = s->name.place};
  if (take_string(r, s->value, "a model", &name)) read_model(r, s->value, m->name, name, &m->description);
  symbol *declared = symbol_declare(r, SYMBOL_MODEL, s->name);
  if (declared) declared->model = r->model_count++; // a broken one has hidden 0: no message about its sizes
}
