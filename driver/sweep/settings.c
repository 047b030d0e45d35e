// sweep.json: everything but points and seeds that the results depend on. Points and seeds may be added later.
#include "driver/sweep/sweep.h"
#include "runtime/checkpoint.h"

#include <stdlib.h>
#include <string.h>

static void set_text(json_t *to, const char *name, const char *value) {
  if (value) json_object_set_new(to, name, json_string(value));
}

static void set_hash(json_t *to, const char *name, uint64_t hash) {
  char text[32];
  snprintf(text, sizeof text, "%016llx", (unsigned long long)hash);
  json_object_set_new(to, name, json_string(text));
}

static bool set_file_hash(json_t *to, const char *name, const char *path, lmn_error *error) {
  char *data;
  size_t length;
  if (!file_read(path, (size_t)1 << 40, &data, &length, error)) return false;
  set_hash(to, name, hash_bytes(HASH_START, data, length));
  free(data);
  return true;
}

static void set_list(json_t *to, const char *name, const text_list *list) {
  text all = {0};
  for (int i = 0; i < list->count; ++i) text_printf(&all, "%s%s", i ? ", " : "", list->items[i]);
  set_text(to, name, all.data);
  text_free(&all);
}

static void set_options(json_t *to, const sweep *s) {
  const run_options *o = s->options;
  char key[256];
  text swept = {0};
  for (int i = 0; i < s->param_count; ++i) text_printf(&swept, "%s%s", i ? ", " : "", s->params[i].name);
  set_text(to, "the swept params", swept.data ? swept.data : "none");
  text_free(&swept);
  for (int i = 0; i < o->defines.count; ++i) {
    bool fixed = true;
    for (int k = 0; k < s->param_count; ++k) fixed &= strcmp(s->params[k].name, o->defines.items[i].name) != 0;
    snprintf(key, sizeof key, "-D %s", o->defines.items[i].name);
    if (fixed) set_text(to, key, s->points[0].defines[i].value);
  }
  for (int i = 0; i < o->settings.count; ++i) set_text(to, o->settings.items[i].name, o->settings.items[i].value);
  set_list(to, "--phase", &o->phases);
  set_list(to, "--disable-pass", &o->disabled);
  set_text(to, "prompt", o->prompt);
  set_text(to, "completion", o->completion);
  set_text(to, "text", o->text);
  if (o->pack) set_text(to, "--pack", "said");
  if (o->source.random_weights) set_text(to, "--random-weights", "said");
}

// What the files of a phase hold. p may be NULL where `said` names them.
static bool set_data(json_t *to, const char *what, const network_source *source, const plan_phase *p, const char *said,
                     const char *in_file, lmn_error *error) {
  char key[256];
  uint64_t hash;
  if (!said && !in_file) return true;
  if (said) snprintf(key, sizeof key, "the content of --%s", what);
  else snprintf(key, sizeof key, "the content of phase %s's %s", p->name, what);
  if (!dataset_hash(data_paths(source, said, in_file), &hash, error)) return false;
  set_hash(to, key, hash);
  return true;
}

static bool set_phases_data(json_t *to, const run_options *o, network_source *source, lmn_error *error) {
  int *phases = ARENA_ARRAY(source->arena, int, source->phase_count + 1);
  int count = run_phases(o, source, phases, error);
  bool ok = count >= 0;
  for (int i = 0; ok && i < count; ++i) {
    const plan_phase *p = &source->phases[phases[i]];
    if (i == 0 || !o->data) ok = set_data(to, "data", source, p, o->data, p->data, error);
    if (ok && (i == 0 || !o->validation))
      ok = set_data(to, "validation", source, p, o->validation, p->validation, error);
  }
  return ok && set_data(to, "test", source, NULL, o->test, NULL, error);
}

static bool set_all(json_t *to, sweep *s, lmn_error *error) {
  int valid = 0;
  while (s->points[valid].error) ++valid; // there is one, see sweep_check
  run_options o = sweep_options(s, &s->points[valid], NULL);
  text unused = {0};
  network_source source;
  o.source.messages = &unused;
  set_options(to, s);
  bool ok = run_source(&o, &source, error);
  text_free(&unused);
  if (!ok) return false;
  ok = set_phases_data(to, &o, &source, error) && set_file_hash(to, "the network's text", o.source.net, error) &&
       (!o.init || set_file_hash(to, "the content of --init", o.init, error));
  source_close(&source);
  return ok;
}

static bool compare(const char *path, const json_t *now, lmn_error *error) {
  json_error_t fault;
  json_t *root = json_load_file(path, 0, &fault);
  const json_t *then = json_object_get(root, "settings");
  bool ok = then ? settings_compare(path, "sweep", "sweep", then, now, error)
                 : fail(error, "%s: cannot be read: %s", path, root ? "it has no settings" : fault.text);
  json_decref(root);
  return ok;
}

bool sweep_settings(sweep *s, lmn_error *error) {
  const char *path = arena_printf(s->arena, "%s/sweep.json", s->folder);
  json_t *now = json_object();
  bool ok = set_all(now, s, error);
  if (ok && file_exists(path)) ok = compare(path, now, error);
  else if (ok) {
    json_t *root = json_pack("{s:i, s:s, s:O}", "version", 1, "network", s->network, "settings", now);
    char *printed = json_dumps(root, JSON_INDENT(2));
    ok = file_write(path, printed, strlen(printed), error);
    free(printed);
    json_decref(root);
  }
  json_decref(now);
  return ok;
}
