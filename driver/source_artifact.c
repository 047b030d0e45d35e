// A network from an artifact: settings of the command line that need no compilation change its plan.
#include "driver/source.h"

#include "runtime/network.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool artifact_is(const char *net) {
  text path = {0};
  text_printf(&path, "%s/plan.json", net);
  bool is = file_exists(path.data);
  text_free(&path);
  return is;
}

int source_phase(const network_source *s, const char *name, lmn_error *error) {
  text names = {0};
  int found = -1;
  for (int i = 0; i < s->phase_count; ++i) {
    if (!strcmp(s->phases[i].name, name)) found = i;
    text_printf(&names, "%s%s", i ? ", " : "", s->phases[i].name);
  }
  if (found < 0)
    fail(error, "there is no phase \"%s\"; the network's phases are: %s", name, names.data ? names.data : "none");
  text_free(&names);
  return found;
}

// ---- settings -----------------------------------------------------------------------------------

static bool set_count(int64_t *to, const define *option, lmn_error *error) {
  char *end;
  errno = 0;
  long long value = strtoll(option->value, &end, 10);
  if (!*option->value || *end || errno || value < 0)
    return fail(error, "%s = %s: it must be a number, 0 or more", option->name, option->value);
  *to = value;
  return true;
}

static bool set_real(double *to, const define *option, lmn_error *error) {
  char *end;
  double value = strtod(option->value, &end);
  if (!*option->value || *end || !(value >= 0))
    return fail(error, "%s = %s: it must be a number, 0 or more", option->name, option->value);
  *to = value;
  return true;
}

static bool set_phase(plan_phase *p, const define *o, lmn_error *error) {
  const struct {
    const char *name;
    int64_t *to;
  } counts[] = {{"steps", &p->steps},           {"epochs", &p->epochs},         {"batch", &p->batch},
                {"length", &p->length},         {"accumulate", &p->accumulate}, {"evaluate_every", &p->evaluate_every},
                {"save_every", &p->save_every}, {"seed", (int64_t *)&p->seed}};
  for (size_t i = 0; i < LENGTH(counts); ++i)
    if (!strcmp(o->name, counts[i].name)) return set_count(counts[i].to, o, error);
  if (!strcmp(o->name, "clip")) return set_real(&p->clip, o, error);
  return fail(error, "%s is compiled in; say it in train { } of the .lmn file, and compile again", o->name);
}

static bool apply_settings(network_source *s, lmn_error *error) {
  for (int i = 0; i < s->phase_count; ++i)
    for (int k = 0; k < s->request->setting_count; ++k)
      if (!set_phase(&s->phases[i], &s->request->settings[k], error)) return false;
  return true;
}

// ---- opening ------------------------------------------------------------------------------------

// A phase trains in the shape that it was compiled for, where that is not what its settings say.
static void take_shapes(plan *p) {
  for (int i = 0; i < p->phase_count; ++i) {
    plan_phase *phase = &p->phases[i];
    const plan_entry *first = NULL;
    bool there = false;
    for (int k = 0; k < p->entry_count; ++k) {
      const plan_entry *e = &p->entries[k];
      if (e->kind != ENTRY_EVALUATE && (e->kind != ENTRY_TRAIN || e->phase != i)) continue;
      there |= e->batch == phase->batch && e->length == phase->length;
      if (!first || (first->kind == ENTRY_EVALUATE && e->kind == ENTRY_TRAIN)) first = e;
    }
    if (there || !first) continue;
    phase->batch = first->batch;
    phase->length = first->length;
  }
}

static int64_t most_rows(const plan *p) {
  int64_t rows = 0;
  for (int i = 0; i < p->entry_count; ++i)
    if (p->entries[i].kind == ENTRY_EXTEND && p->entries[i].batch > rows) rows = p->entries[i].batch;
  return rows;
}

bool artifact_open(network_source *s, lmn_error *error) {
  const source_request *r = s->request;
  if (r->define_count || r->disabled_count || r->random_weights || r->target || r->precision)
    return fail(error, "%s: is compiled already; %s goes with a .lmn file, or with lmnc compile", r->net,
                r->define_count     ? "-D"
                : r->disabled_count ? "--disable-pass"
                : r->random_weights ? "--random-weights"
                : r->target         ? "--target"
                                    : "--precision");
  s->opened = lmn_open(r->net, &r->options, error);
  if (!s->opened) return false;
  plan *p = s->opened->plan;
  s->network = p->network;
  s->folder = ".";
  s->tokenizer = p->tokenizer;
  s->vocabulary = p->vocabulary;
  s->classes = p->classes;
  s->prefix = p->prefix;
  s->positions = p->positions;
  s->bos = p->bos;
  memcpy(s->eos, p->eos, sizeof s->eos);
  s->eos_count = p->eos_count;
  s->phases = p->phases;
  s->phase_count = p->phase_count;
  s->rows = most_rows(p);
  take_shapes(p);
  return apply_settings(s, error);
}

static bool serves(const plan_entry *e, const entry_wanted *w) {
  if (e->kind != w->kind) return false;
  if (e->kind != ENTRY_EVALUATE && e->kind != ENTRY_EXTEND && e->phase != w->phase) return false;
  if (e->kind == ENTRY_UPDATE) return true;
  if (e->kind == ENTRY_EXTEND) return e->batch >= w->batch && e->capacity >= w->capacity && e->length == w->length;
  return e->batch == w->batch && e->length == w->length && (e->packed || !w->packed);
}

bool artifact_fits(lmn_network *n, const entry_wanted *wanted, int count, lmn_error *error) {
  const plan *p = lmn_plan(n);
  for (int i = 0; i < count; ++i) {
    const plan_entry *least = NULL;
    for (int k = 0; k < p->entry_count; ++k) {
      const plan_entry *e = &p->entries[k];
      if (serves(e, &wanted[i]) && (!least || plan_bytes(p, e) < plan_bytes(p, least))) least = e;
    }
    if (least && !network_fits(n, least, error)) return false;
  }
  return true;
}

// Chunks of more than one token only make a prompt faster: they may be missing.
static bool may_miss(const entry_wanted *w) { return w->kind == ENTRY_EXTEND && w->length > 1; }

bool artifact_has(network_source *s, const entry_wanted *wanted, int count, lmn_error *error) {
  const plan *p = s->opened->plan;
  for (int i = 0; i < count; ++i) {
    const entry_wanted *w = &wanted[i];
    bool there = may_miss(w);
    for (int k = 0; k < p->entry_count; ++k) there = there || serves(&p->entries[k], w);
    if (there) continue;
    text names = {0};
    for (int k = 0; k < p->entry_count; ++k) text_printf(&names, "%s%s", k ? ", " : "", p->entries[k].name);
    text shape = {0};
    if (w->kind != ENTRY_UPDATE)
      text_printf(&shape, " of batch %lld, %s %lld", (long long)w->batch, w->kind == ENTRY_EXTEND ? "chunk" : "length",
                  (long long)w->length);
    if (w->kind == ENTRY_EXTEND) text_printf(&shape, ", capacity %lld", (long long)w->capacity);
    if (w->packed) text_add(&shape, ", packed");
    fail(error, "%s: has no %s entry%s; it has: %s. Give a shape that it has, or compile one with that shape",
         s->request->net, entry_kind_names[w->kind], shape.data ? shape.data : "", names.data ? names.data : "none");
    text_free(&shape);
    text_free(&names);
    return false;
  }
  return true;
}
