#include "runtime/checkpoint.h"

#include "runtime/network.h"
#include "runtime/parameters.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char aside[] = ".writing", outgoing[] = ".removing";

// ---- files --------------------------------------------------------------------------------------

static bool sync_folder(const char *path, lmn_error *error) {
  int descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  bool ok = descriptor >= 0 && (fsync(descriptor) == 0 || errno == EINVAL);
  if (!ok) fail(error, "%s: cannot be synced to the disk: %s", path, strerror(errno));
  if (descriptor >= 0) close(descriptor);
  return ok;
}

// The names in a folder that begin with `prefix`, sorted; none where there is no folder. -1, with a message, where it
// cannot be read: a folder taken for an empty one would lose what is in it.
static int list_names(arena *a, const char *folder, const char *prefix, const char ***names, lmn_error *error) {
  struct dirent **entries;
  int count = scandir(folder, &entries, NULL, alphasort), kept = 0;
  if (count < 0 && (errno == ENOENT || errno == ENOTDIR)) return 0;
  if (count < 0) return fail(error, "%s: the folder cannot be read: %s", folder, strerror(errno)), -1;
  *names = ARENA_ARRAY(a, const char *, count ? count : 1);
  for (int i = 0; i < count; ++i) {
    if (!strncmp(entries[i]->d_name, prefix, strlen(prefix))) (*names)[kept++] = arena_string(a, entries[i]->d_name);
    free(entries[i]);
  }
  free(entries);
  return kept;
}

static void remove_matching(arena *a, const char *folder, const char *prefix) {
  const char **names;
  int count = list_names(a, folder, prefix, &names, NULL);
  for (int i = 0; i < count; ++i) directory_remove(arena_printf(a, "%s/%s", folder, names[i]));
}

// Renamed first, so that a checkpoint under its own name is never a half-removed one.
static void keep_newest(arena *a, const char *folder, int keep) {
  const char **names;
  int count = list_names(a, folder, "step-", &names, NULL);
  for (int i = 0; i < count - keep; ++i) {
    const char *old = arena_printf(a, "%s/%s", folder, names[i]), *gone = arena_printf(a, "%s/%s", folder, outgoing);
    if (rename(old, gone) == 0) directory_remove(gone);
  }
}

// ---- writing ------------------------------------------------------------------------------------

// A checkpoint in the making: what goes into it, of its own where the network goes on meanwhile.
struct checkpoint_writer {
  lmn_network *network;
  const char *run;
  int keep;
  arena *arena;              // of the one that is written
  const char *folder, *name; // checkpoints/ and step-00000100 in it
  space_view parameters, moments[2];
  int phase;
  int64_t total_step;
  char *state; // state.json
  pthread_t thread;
  bool running;
  atomic_bool done; // the thread has nothing left to do
  bool ok;
  lmn_error error;
  char last[512];
};

static char *describe_state(const plan *p, const training_state *s, const json_t *settings, lmn_error *error) {
  json_t *root = json_pack("{s:i, s:s, s:s, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:O}", "version", 1, "network",
                           p->network, "phase", p->phases[s->phase].name, "phase_index", s->phase, "step",
                           (json_int_t)s->step, "total_step", (json_int_t)s->total_step, "batches",
                           (json_int_t)s->batches, "epoch", (json_int_t)s->epoch, "index", (json_int_t)s->index,
                           "log_bytes", (json_int_t)s->log_bytes, "seconds", s->seconds, "settings", settings);
  char *text = root ? json_dumps(root, JSON_INDENT(2)) : NULL;
  json_decref(root);
  if (!text) fail(error, "the training's state is no valid JSON");
  return text;
}

// The optimizer state for the host; nothing of a phase that trains nothing.
static bool view_moments(lmn_network *n, int use, space_view views[2], lmn_error *error) {
  if (!network_view(n, SPACE_MOMENT1, use, &views[0], error)) return false;
  return network_view(n, SPACE_MOMENT2, use, &views[1], error) || network_view_end(n, &views[0], false, error);
}

static bool end_moments(lmn_network *n, space_view views[2], bool ok, lmn_error *error) {
  ok = network_view_end(n, &views[0], ok, error);
  return network_view_end(n, &views[1], ok, error);
}

static bool view_all(checkpoint_writer *w, lmn_error *error) {
  lmn_network *n = w->network;
  if (w->phase != n->moment_phase)
    return fail(error, "phase %s has no optimizer state yet", lmn_plan(n)->phases[w->phase].name);
  if (!network_view(n, SPACE_PARAMETER, VIEW_READ, &w->parameters, error)) return false;
  return view_moments(n, VIEW_READ, w->moments, error) || network_view_end(n, &w->parameters, false, error);
}

static void end_all(checkpoint_writer *w) {
  network_view_end(w->network, &w->parameters, true, NULL);
  end_moments(w->network, w->moments, true, NULL);
}

static bool write_parameters(const checkpoint_writer *w, const char *path, lmn_error *error) {
  const plan *p = lmn_plan(w->network);
  const safetensors_pair network = {"network", p->network};
  return parameters_save(p, (const float *)w->parameters.bytes, path, &network, 1, error);
}

static bool write_moments(const checkpoint_writer *w, const char *path, lmn_error *error) {
  const plan *p = lmn_plan(w->network);
  const plan_phase *of = &p->phases[w->phase];
  safetensors_item *items = ARENA_ARRAY(w->arena, safetensors_item, 2 * of->trained_count + 1);
  for (int i = 0; i < of->trained_count; ++i) {
    const plan_parameter *parameter = &p->parameters[of->trained[i].parameter];
    for (int which = 1; which <= 2; ++which) {
      safetensors_item *item = &items[2 * i + which - 1];
      *item = (safetensors_item){.name = arena_printf(w->arena, "moment%d.%s", which, parameter->name),
                                 .type = STORED_F32,
                                 .rank = parameter->rank,
                                 .data = w->moments[which - 1].bytes + of->trained[i].offset};
      for (int k = 0; k < parameter->rank; ++k) item->shape[k] = parameter->shape[k];
    }
  }
  return safetensors_write(path, items, 2 * of->trained_count, NULL, 0, error);
}

static bool write_aside(const checkpoint_writer *w, lmn_error *error) {
  arena *a = w->arena;
  const char *fresh = arena_printf(a, "%s/%s", w->folder, aside);
  directory_remove(fresh);
  temporary_add(fresh);
  bool ok = directory_make(fresh, error) &&
            write_parameters(w, arena_printf(a, "%s/parameters.safetensors", fresh), error) &&
            write_moments(w, arena_printf(a, "%s/optimizer.safetensors", fresh), error) &&
            file_write(arena_printf(a, "%s/state.json", fresh), w->state, strlen(w->state), error) &&
            sync_folder(fresh, error);
  if (ok && rename(fresh, arena_printf(a, "%s/%s", w->folder, w->name)))
    ok = fail(error, "%s: cannot be renamed to %s: %s", fresh, w->name, strerror(errno));
  if (!ok) directory_remove(fresh);
  temporary_drop(fresh);
  return ok && sync_folder(w->folder, error);
}

static void *write_checkpoint(void *context) {
  checkpoint_writer *w = context;
  bool there = file_exists(arena_printf(w->arena, "%s/%s/state.json", w->folder, w->name)); // of this very step
  w->ok = there || (directory_make(w->folder, &w->error) && write_aside(w, &w->error));
  if (w->ok) keep_newest(w->arena, w->folder, w->keep);
  else
    fail_in(&w->error, "no checkpoint of step %lld could be written (earlier ones are untouched)",
            (long long)w->total_step);
  atomic_store(&w->done, true);
  return NULL;
}

// ---- while the network goes on ------------------------------------------------------------------

checkpoint_writer *checkpoint_writer_create(lmn_network *n, const char *run, int keep) {
  checkpoint_writer *w = memory_zero(sizeof *w);
  w->network = n;
  w->run = run;
  w->keep = keep;
  return w;
}

static bool finish(checkpoint_writer *w, lmn_error *error) {
  end_all(w);
  if (w->ok) snprintf(w->last, sizeof w->last, "%s/%s", w->folder, w->name);
  else fail(error, "%s", w->error.text);
  free(w->state);
  arena_destroy(w->arena);
  w->arena = NULL;
  return w->ok;
}

bool checkpoint_wait(checkpoint_writer *w, lmn_error *error) {
  if (!w->running) return true;
  pthread_join(w->thread, NULL);
  w->running = false;
  return finish(w, error);
}

bool checkpoint_settle(checkpoint_writer *w, lmn_error *error) {
  return !w->running || !atomic_load(&w->done) || checkpoint_wait(w, error);
}

bool checkpoint_begin(checkpoint_writer *w, const training_state *state, const json_t *settings, lmn_error *error) {
  if (!checkpoint_wait(w, error)) return false;
  w->phase = state->phase;
  w->total_step = state->total_step;
  w->error = (lmn_error){0};
  atomic_store(&w->done, false);
  w->state = describe_state(lmn_plan(w->network), state, settings, error);
  if (!w->state || !view_all(w, error)) {
    free(w->state);
    return fail_in(error, "no checkpoint of step %lld could be written (earlier ones are untouched)",
                   (long long)w->total_step);
  }
  w->arena = arena_create();
  w->folder = arena_printf(w->arena, "%s/checkpoints", w->run);
  w->name = arena_printf(w->arena, "step-%08lld", (long long)state->total_step);
  bool copied = w->parameters.copy && w->moments[0].copy && w->moments[1].copy;
  w->running = copied && !pthread_create(&w->thread, NULL, write_checkpoint, w);
  if (w->running) return true;
  write_checkpoint(w);
  return finish(w, error);
}

const char *checkpoint_last(const checkpoint_writer *w) { return w->last; }

void checkpoint_writer_destroy(checkpoint_writer *w) {
  if (!w) return;
  checkpoint_wait(w, NULL);
  free(w);
}

// ---- reading ------------------------------------------------------------------------------------

bool checkpoint_newest(arena *a, const char *run, const char **newest, lmn_error *error) {
  const char *folder = arena_printf(a, "%s/checkpoints", run), **names;
  remove_matching(a, folder, aside);
  remove_matching(a, folder, outgoing);
  remove_matching(a, run, "parameters.safetensors.tmp.");
  int count = list_names(a, folder, "step-", &names, error);
  *newest = count > 0 ? arena_printf(a, "%s/%s", folder, names[count - 1]) : NULL;
  return count >= 0;
}

static const char *shown(const json_t *value, char buffer[64]) {
  if (json_is_string(value)) return json_string_value(value);
  if (json_is_integer(value)) snprintf(buffer, 64, "%lld", (long long)json_integer_value(value));
  else if (json_is_real(value)) snprintf(buffer, 64, "%g", json_real_value(value));
  else if (json_is_boolean(value)) snprintf(buffer, 64, "%s", json_is_true(value) ? "true" : "false");
  else snprintf(buffer, 64, "not said");
  return buffer;
}

static bool same_value(const json_t *a, const json_t *b) {
  if (json_is_number(a) && json_is_number(b)) return json_number_value(a) == json_number_value(b);
  return json_equal(a, b);
}

bool settings_compare(const char *path, const char *what, const char *again, const json_t *then, const json_t *now,
                      lmn_error *error) {
  const char *key;
  json_t *value;
  char a[64], b[64];
  json_object_foreach((json_t *)now, key, value) {
    const json_t *old = json_object_get(then, key);
    if (!same_value(old, value))
      return fail(error, "%s: another %s: %s was %s, and is %s now; go on with the same, or %s into another folder",
                  path, what, key, shown(old, a), shown(value, b), again);
  }
  json_object_foreach((json_t *)then, key, value) {
    if (!json_object_get(now, key))
      return fail(error,
                  "%s: another %s: %s was %s, and is not said now; go on with the same, or %s into another folder",
                  path, what, key, shown(value, a), again);
  }
  return true;
}

static bool unpack_state(const char *path, json_t *root, const json_t *settings, training_state *s, lmn_error *error) {
  int version;
  json_int_t step, total, batches, epoch, index, log;
  json_t *then;
  json_error_t fault;
  if (json_unpack_ex(root, &fault, 0, "{s:i, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:F, s:o}", "version", &version,
                     "phase_index", &s->phase, "step", &step, "total_step", &total, "batches", &batches, "epoch",
                     &epoch, "index", &index, "log_bytes", &log, "seconds", &s->seconds, "settings", &then))
    return fail(error, "%s: %s", path, fault.text);
  if (version != 1) return fail(error, "%s: is of version %d; this program reads version 1", path, version);
  if (!json_is_object(then)) return fail(error, "%s: \"settings\" is no object", path);
  if (!settings_compare(path, "training", "train", then, settings, error)) return false;
  if (s->phase < 0 || step < 0 || total < step || batches < 0 || log < 0)
    return fail(error, "%s: phase, step, batches or log_bytes is out of range", path);
  s->step = step;
  s->total_step = total;
  s->batches = batches;
  s->epoch = epoch;
  s->index = index;
  s->log_bytes = log;
  return true;
}

bool checkpoint_read_state(const char *checkpoint, const json_t *settings, training_state *state, lmn_error *error) {
  *state = (training_state){0};
  text path = {0};
  text_printf(&path, "%s/state.json", checkpoint);
  char *data = NULL;
  size_t length;
  bool ok = file_read(path.data, 1 << 24, &data, &length, error);
  json_error_t fault;
  json_t *root = ok ? json_loadb(data, length, 0, &fault) : NULL;
  if (ok && !root) ok = fail(error, "%s:%d: %s", path.data, fault.line, fault.text);
  ok = ok && unpack_state(path.data, root, settings, state, error);
  json_decref(root);
  free(data);
  text_free(&path);
  return ok;
}

static bool read_moment(const safetensors *file, const char *path, const char *name, float *to, int64_t elements,
                        lmn_error *error) {
  const safetensors_tensor *t = safetensors_find(file, name);
  if (!t || t->elements != elements)
    return fail(error, "%s: %s %s", path, name, t ? "has another size than the network's" : "is missing");
  return safetensors_floats(file, t, 0, elements, to, error);
}

static bool load_moments(lmn_network *n, arena *a, const char *path, int phase, lmn_error *error) {
  const plan_phase *of = &lmn_plan(n)->phases[phase];
  space_view views[2];
  safetensors *file = safetensors_open(path, error);
  bool ok = file && view_moments(n, VIEW_WRITE, views, error);
  if (!ok) {
    safetensors_close(file);
    return false;
  }
  for (int i = 0; ok && i < 2 * of->trained_count; ++i) {
    const plan_parameter *parameter = &lmn_plan(n)->parameters[of->trained[i / 2].parameter];
    int which = i % 2 + 1;
    ok = read_moment(file, path, arena_printf(a, "moment%d.%s", which, parameter->name),
                     (float *)(views[which - 1].bytes + of->trained[i / 2].offset), parameter->elements, error);
  }
  safetensors_close(file);
  return end_moments(n, views, ok, error);
}

bool checkpoint_load(lmn_network *n, const char *checkpoint, const training_state *state, lmn_error *error) {
  arena *a = arena_create();
  bool ok = state->phase < lmn_plan(n)->phase_count ||
            fail(error, "%s: the network has no phase %d", checkpoint, state->phase);
  ok = ok && lmn_replace(n, arena_printf(a, "%s/parameters.safetensors", checkpoint), error) &&
       lmn_begin_phase(n, state->phase, error) &&
       load_moments(n, a, arena_printf(a, "%s/optimizer.safetensors", checkpoint), state->phase, error);
  n->step = state->step;
  arena_destroy(a);
  return ok;
}
