// The points of a sweep: the values of each -D split at its commas, and all combinations of them.
#include "driver/sweep/sweep.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_RUNS = 10000 };

// ---- -D -----------------------------------------------------------------------------------------

// Length of the value that begins here: up to a comma that is in no brackets and no quotes.
static size_t value_length(const char *at) {
  int depth = 0;
  size_t i = 0;
  for (bool quoted = false; at[i] && (quoted || depth > 0 || at[i] != ','); ++i) {
    if (at[i] == '"') quoted = !quoted;
    else if (quoted && at[i] == '\\' && at[i + 1]) ++i;
    else if (!quoted && strchr("[({", at[i])) ++depth;
    else if (!quoted && depth > 0 && strchr("])}", at[i])) --depth;
  }
  return i;
}

static const char *trimmed(arena *a, const char *at, size_t length) {
  while (length && at[0] == ' ') ++at, --length;
  while (length && at[length - 1] == ' ') --length;
  return arena_copy(a, at, length);
}

static bool split(sweep *s, const define *d, sweep_param *p, lmn_error *error) {
  size_t room = 1;
  for (const char *c = d->value; *c; ++c) room += *c == ',';
  *p = (sweep_param){.name = d->name, .values = ARENA_ARRAY(s->arena, const char *, room)};
  for (const char *at = d->value;; ++at) {
    size_t length = value_length(at);
    const char *value = trimmed(s->arena, at, length);
    for (int i = 0; i < p->count; ++i)
      if (!strcmp(p->values[i], value)) return fail(error, "-D %s=%s: has %s twice", d->name, d->value, value);
    p->values[p->count++] = value;
    at += length;
    if (!*at) break;
  }
  for (int i = 0; i < p->count && p->count > 1; ++i)
    if (!*p->values[i]) return fail(error, "-D %s=%s: there is nothing beside a comma", d->name, d->value);
  return true;
}

// ---- points -------------------------------------------------------------------------------------

// The letters that are at home in a file's name; a value in which others are replaced is made unique by its hash.
static void add_to_folder(text *folder, const char *value) {
  bool replaced = strlen(value) > 64;
  for (const char *c = value; *c && c - value < 64; ++c) {
    bool plain = (*c >= '0' && *c <= '9') || ((*c | 32) >= 'a' && (*c | 32) <= 'z') || strchr("-_.+", *c);
    replaced |= !plain && *c != '/';
    text_printf(folder, "%c", plain ? *c : '-');
  }
  if (replaced) text_printf(folder, "~%08x", (unsigned)hash_bytes(HASH_START, value, strlen(value)));
}

static void name_point(sweep *s, sweep_point *p) {
  text name = {0}, folder = {0};
  for (int i = 0; i < s->param_count; ++i) {
    text_printf(&name, "%s%s=%s", i ? ", " : "", s->params[i].name, p->values[i]);
    text_printf(&folder, "%s%s=", i ? "," : "", s->params[i].name);
    add_to_folder(&folder, p->values[i]);
  }
  p->name = arena_string(s->arena, name.length ? name.data : "the network");
  p->folder = arena_string(s->arena, folder.length ? folder.data : "network");
  text_free(&name);
  text_free(&folder);
}

// all: by place in options->defines, with one value or several.
static void make_point(sweep *s, const sweep_param *all, int number, sweep_point *p) {
  int count = s->options->defines.count, swept = s->param_count;
  p->values = ARENA_ARRAY(s->arena, const char *, swept + 1);
  p->defines = ARENA_ARRAY(s->arena, define, count + 1);
  for (int i = count - 1; i >= 0; --i) { // the last param changes fastest
    const char *value = all[i].values[number % all[i].count];
    number /= all[i].count;
    p->defines[i] = (define){all[i].name, value};
    if (all[i].count > 1) p->values[--swept] = value;
  }
  name_point(s, p);
}

static bool check_names(const sweep *s, lmn_error *error) {
  const define_list *d = &s->options->defines;
  for (int i = 0; i < d->count; ++i)
    for (int k = 0; k < i; ++k)
      if (!strcmp(d->items[i].name, d->items[k].name))
        return fail(error, "-D %s is given twice; put its values into one: -D %s=%s,%s", d->items[i].name,
                    d->items[i].name, d->items[k].value, d->items[i].value);
  for (int i = 0; i < s->point_count; ++i)
    for (int k = 0; k < i; ++k)
      if (!strcmp(s->points[i].folder, s->points[k].folder))
        return fail(error, "%s and %s are the same folder's name; write one of them otherwise", s->points[i].name,
                    s->points[k].name);
  return true;
}

bool sweep_points(sweep *s, lmn_error *error) {
  const define_list *d = &s->options->defines;
  sweep_param *all = ARENA_ARRAY(s->arena, sweep_param, d->count + 1);
  s->params = ARENA_ARRAY(s->arena, sweep_param, d->count + 1);
  int64_t count = 1;
  for (int i = 0; i < d->count; ++i) {
    if (!split(s, &d->items[i], &all[i], error)) return false;
    if (all[i].count > 1) s->params[s->param_count++] = all[i];
    count *= all[i].count;
    if (count > MOST_RUNS) return fail(error, "the sweep has more than %d points; give -D fewer values", MOST_RUNS);
  }
  s->point_count = (int)count;
  s->points = ARENA_ARRAY(s->arena, sweep_point, count);
  for (int i = 0; i < s->point_count; ++i) make_point(s, all, i, &s->points[i]);
  return check_names(s, error);
}

// ---- seeds --------------------------------------------------------------------------------------

static bool read_seed(const char *text, size_t length, uint64_t *seed, lmn_error *error) {
  char digits[24] = "", *end = digits;
  if (length < sizeof digits) memcpy(digits, text, length);
  errno = 0;
  *seed = (uint64_t)strtoll(digits, &end, 10);
  return (length && length < sizeof digits && !*end && !errno && digits[0] != '-') ||
         fail(error, "--seeds %s: it must be how many (3), or the seeds themselves (3,5,8)", text);
}

bool sweep_seeds(sweep *s, lmn_error *error) {
  const char *said = s->options->seeds;
  uint64_t number;
  if (!said) return true;
  if (!strchr(said, ',')) {
    if (!read_seed(said, strlen(said), &number, error)) return false;
    if (number < 1 || number > MOST_RUNS) return fail(error, "--seeds %s: 1 to %d seeds are possible", said, MOST_RUNS);
    s->seeds = ARENA_ARRAY(s->arena, uint64_t, number);
    for (; s->seed_count < (int)number; ++s->seed_count) s->seeds[s->seed_count] = (uint64_t)s->seed_count;
    return true;
  }
  s->seeds = ARENA_ARRAY(s->arena, uint64_t, strlen(said));
  for (const char *at = said; *at;) {
    size_t length = strcspn(at, ",");
    if (!read_seed(trimmed(s->arena, at, length), strlen(trimmed(s->arena, at, length)), &number, error)) return false;
    for (int i = 0; i < s->seed_count; ++i)
      if (s->seeds[i] == number) return fail(error, "--seeds %s: has %llu twice", said, (unsigned long long)number);
    s->seeds[s->seed_count++] = number;
    at += length + (at[length] == ',');
  }
  return true;
}

bool sweep_runs(sweep *s, uint64_t own, lmn_error *error) {
  if (!s->options->seeds) {
    s->seeds = ARENA_NEW(s->arena, uint64_t);
    s->seeds[s->seed_count++] = own;
  }
  if ((int64_t)s->point_count * s->seed_count > MOST_RUNS)
    return fail(error, "%d points with %d seeds are more than %d trainings", s->point_count, s->seed_count, MOST_RUNS);
  s->runs = ARENA_ARRAY(s->arena, sweep_run, s->point_count * s->seed_count);
  for (int i = 0; i < s->seed_count; ++i)
    for (int k = 0; k < s->point_count; ++k)
      s->runs[s->run_count++] =
          (sweep_run){.point = k,
                      .seed = s->seeds[i],
                      .folder = arena_printf(s->arena, "%s/%s/seed-%llu", s->folder, s->points[k].folder,
                                             (unsigned long long)s->seeds[i])};
  return true;
}

run_options sweep_options(sweep *s, const sweep_point *point, const sweep_run *run) {
  run_options o = *s->options;
  o.source.defines = point->defines;
  o.source.define_count = o.defines.count;
  if (run && o.seeds) {
    define *settings = ARENA_ARRAY(s->arena, define, o.settings.count + 1);
    if (o.settings.count) memcpy(settings, o.settings.items, sizeof *settings * (size_t)o.settings.count);
    settings[o.settings.count] = (define){"seed", arena_printf(s->arena, "%llu", (unsigned long long)run->seed)};
    o.source.settings = settings;
    o.source.setting_count = o.settings.count + 1;
  }
  if (run) o.output = run->folder;
  return o;
}
