#include "driver/emitted.h"

#include <stdlib.h>
#include <string.h>

// ---- writing -----------------------------------------------------------------------------------------------------

static void quote(text *out, const char *value) {
  text_add(out, " \"");
  for (const char *p = value; *p; ++p) {
    if (*p == '\n') text_add(out, "\\n");
    else if (*p == '\\' || *p == '"') text_printf(out, "\\%c", *p);
    else text_add_bytes(out, p, 1);
  }
  text_add(out, "\"");
}

static void pair(text *out, const char *word, const char *name, const char *value) {
  text_printf(out, "// %s", word);
  quote(out, name);
  quote(out, value);
  text_add(out, "\n");
}

void emitted_note(text *out, const char *note) {
  text_add(out, "// note ");
  for (const char *p = note; *p; ++p) text_add_bytes(out, *p == '\n' ? " " : p, 1);
  text_add(out, "\n");
}

static const char unfinished[] = " without a newline at its end";

void emitted_block(text *out, const char *name, const char *content) {
  size_t length = strlen(content);
  text_printf(out, "// %s%s\n", name, length && content[length - 1] == '\n' ? "" : unfinished);
  for (const char *p = content; *p;) {
    size_t line = strcspn(p, "\n");
    text_printf(out, "// |%s%.*s\n", line ? " " : "", (int)line, p);
    p += line + (p[line] == '\n');
  }
}

void emitted_header(const compilation *c, const char *level, int step, const char *pass, text *out) {
  const graph *g = c->graph;
  const compile_options *o = c->options;
  const kept_network *kept = c->emitted ? &c->emitted->network : NULL;
  const define *defines = kept ? kept->defines : o->defines, *settings = kept ? kept->overrides : o->overrides;
  int define_count = kept ? kept->define_count : o->define_count;
  int setting_count = kept ? kept->override_count : o->override_count;
  text_printf(out, "// lmnc %s at %s", LMN_VERSION, level);
  if (step) text_printf(out, " before step %d %s", step, pass);
  text_add(out, "\n// file");
  quote(out, g->file);
  text_add(out, "\n");
  for (int i = 0; i < define_count; ++i) pair(out, "define", defines[i].name, defines[i].value);
  for (int i = 0; i < setting_count; ++i) pair(out, "setting", settings[i].name, settings[i].value);
  if (c->random_weights) text_add(out, "// random-weights\n");
  for (int i = 0; i < g->model_count; ++i) {
    char *directory = realpath(g->models[i].description.directory, NULL);
    pair(out, "model", g->models[i].name, directory ? directory : g->models[i].description.directory);
    free(directory);
  }
  emitted_block(out, "source", g->source);
}

// ---- reading -----------------------------------------------------------------------------------------------------

typedef struct reader {
  arena *arena;
  emitted *e;
  lmn_error *error;
  char *p, *line; // p: behind `line`, which is 0-terminated
  int number;     // of `line`
  int define_capacity, setting_capacity, model_capacity, entry_capacity;
  define *defines, *settings, *models;
  emitted_part *entries;
} reader;

static bool bad(reader *r, const char *what) { return fail(r->error, "%s:%d: %s", r->e->path, r->number, what); }

static bool next_line(reader *r) {
  if (!*r->p) return false;
  r->line = r->p;
  r->p += strcspn(r->p, "\n");
  if (*r->p) *r->p++ = 0;
  ++r->number;
  return true;
}

// Takes one quoted text off the line.
static bool take_quoted(reader *r, char **at, const char **value) {
  char *from = *at, *to = *at + 1;
  *value = to;
  if (strncmp(from, " \"", 2)) return bad(r, "a text in quotes must stand here");
  for (from += 2; *from && *from != '"'; ++from) {
    bool escaped = *from == '\\';
    from += escaped;
    if (!*from) break;
    *to++ = escaped && *from == 'n' ? '\n' : *from;
  }
  if (*from != '"') return bad(r, "a text in quotes is not closed");
  *to = 0;
  *at = from + 1;
  return true;
}

static bool take_pair(reader *r, char *at, define *to) {
  return take_quoted(r, &at, &to->name) && take_quoted(r, &at, &to->value) &&
         (!*at || bad(r, "something follows the two texts"));
}

// The comment lines `// | …` that follow.
static bool take_block(reader *r, const char *name, const char *rest, emitted_part *to) {
  bool whole = !*rest;
  if (!whole && strcmp(rest, unfinished)) return bad(r, "the header does not know this line");
  if (to->text) return fail(r->error, "%s:%d: a second `// %s`", r->e->path, r->number, name);
  text content = {0};
  to->line = r->number + 1;
  for (int lines = 0; !strncmp(r->p, "// |", 4); ++lines) {
    next_line(r);
    if (lines) text_add(&content, "\n");
    text_add(&content, r->line + 4 + (r->line[4] == ' '));
  }
  if (whole) text_add(&content, "\n");
  to->text = arena_string(r->arena, content.data ? content.data : "");
  text_free(&content);
  return true;
}

static bool take_title(reader *r, const char *level) {
  emitted *e = r->e;
  char version[32], at[16], pass[64];
  int step = 0, end = 0;
  if (!next_line(r) || sscanf(r->line, "// lmnc %31s at %15s%n", version, at, &end) != 2)
    return fail(r->error,
                "%s:1: this is no text that `lmnc compile --emit` printed: it must begin with `// lmnc %s at %s`",
                e->path, LMN_VERSION, level);
  if (strcmp(version, LMN_VERSION))
    return fail(r->error, "%s:1: lmnc %s printed this, and this is lmnc %s; print it again", e->path, version,
                LMN_VERSION);
  if (strcmp(at, level)) return fail(r->error, "%s:1: this stands at %s: use --from=%s", e->path, at, at);
  char *rest = r->line + end;
  if (!*rest) return true;
  if (sscanf(rest, " before step %d %63s%n", &step, pass, &end) != 2 || rest[end] || step < 1)
    return bad(r, "`before step NUMBER PASS` must stand behind the level");
  e->step = step;
  e->pass = arena_string(r->arena, pass);
  return true;
}

static char *after(char *line, const char *word) {
  size_t length = strlen(word);
  return !strncmp(line, word, length) ? line + length : NULL;
}

static bool take_define(reader *r, char *rest, define **items, int *count, int *capacity) {
  GROW(*items, *count, *capacity);
  return take_pair(r, rest, &(*items)[(*count)++]);
}

// The module or the kernels, up to the next `// entry`.
static bool take_part(reader *r, emitted_part *part) {
  part->line = r->number + 1;
  char *from = r->p, *p = from;
  while (*p && strncmp(p, "// entry ", 9)) {
    p += strcspn(p, "\n");
    p += *p == '\n';
    ++r->number;
  }
  part->text = arena_copy(r->arena, from, (size_t)(p - from));
  r->p = p;
  return p > from || bad(r, "nothing stands below this line");
}

static bool take_header_line(reader *r, emitted_part *source) {
  emitted *e = r->e;
  kept_network *n = &e->network;
  char *rest;
  if ((rest = after(r->line, "// file"))) return take_quoted(r, &rest, &n->path);
  if ((rest = after(r->line, "// define")))
    return take_define(r, rest, &r->defines, &n->define_count, &r->define_capacity);
  if ((rest = after(r->line, "// setting")))
    return take_define(r, rest, &r->settings, &n->override_count, &r->setting_capacity);
  if ((rest = after(r->line, "// model"))) return take_define(r, rest, &r->models, &n->model_count, &r->model_capacity);
  if (after(r->line, "// note ")) return true;
  if (!strcmp(r->line, "// random-weights")) return e->random_weights = true;
  if ((rest = after(r->line, "// source"))) return take_block(r, "source", rest, source);
  if ((rest = after(r->line, "// plan"))) return take_block(r, "plan", rest, &e->plan);
  if ((rest = after(r->line, "// kernel.mlir"))) return take_block(r, "kernel.mlir", rest, &e->kernel_mlir);
  if (!strcmp(r->line, "// kernels")) return take_part(r, &e->kernels);
  if (!after(r->line, "// entry ")) return bad(r, "the header does not know this line");
  GROW(r->entries, e->entry_count, r->entry_capacity);
  r->entries[e->entry_count] = (emitted_part){0};
  return take_part(r, &r->entries[e->entry_count++]);
}

static void *kept(arena *a, void *items, size_t bytes) {
  void *copy = arena_copy(a, items ? items : "", bytes);
  free(items);
  return copy;
}

static bool complete(reader *r) {
  emitted *e = r->e;
  const char *missing = NULL;
  bool kernels = !strcmp(e->level, "mlir");
  if (!e->network.path) missing = "file";
  else if (!e->network.source) missing = "source";
  else if (kernels && !e->plan.text) missing = "plan";
  else if (kernels && !e->kernel_mlir.text) missing = "kernel.mlir";
  else if (kernels && !e->kernels.text) missing = "kernels";
  else if (!kernels && !e->entry_count) missing = "entry";
  if (missing) return fail(r->error, "%s: there is no line `// %s`; is the text whole?", e->path, missing);
  bool strange = kernels ? e->entry_count > 0 : e->plan.text || e->kernel_mlir.text || e->kernels.text;
  return !strange || fail(r->error, "%s: it has parts that do not belong to the %s level", e->path, e->level);
}

emitted *emitted_read(arena *a, const char *path, const char *level, lmn_error *error) {
  char *data;
  size_t length;
  if (!file_read(path, (size_t)1 << 30, &data, &length, error)) return NULL;
  emitted *e = ARENA_NEW(a, emitted);
  *e = (emitted){.path = arena_string(a, path), .level = level};
  reader r = {.arena = a, .e = e, .error = error, .p = arena_copy(a, data, length)};
  free(data);
  emitted_part source = {0};
  bool ok = strlen(r.p) == length || fail(error, "%s: it has a byte 0", path);
  ok = ok && take_title(&r, level);
  while (ok && next_line(&r)) ok = take_header_line(&r, &source);
  e->network.source = source.text;
  e->network.defines = kept(a, r.defines, sizeof(define) * (size_t)e->network.define_count);
  e->network.overrides = kept(a, r.settings, sizeof(define) * (size_t)e->network.override_count);
  e->network.models = kept(a, r.models, sizeof(define) * (size_t)e->network.model_count);
  e->entries = kept(a, r.entries, sizeof(emitted_part) * (size_t)e->entry_count);
  return ok && complete(&r) ? e : NULL;
}
