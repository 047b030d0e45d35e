// Devices of every kind: which one opens, and what is checked before it is asked.
#include "runtime/device_parts.h"

#include <string.h>

// First in the struct of every kind.
static device_base *base_of(device *d) { return (device_base *)d; }
static const device_base *const_base_of(const device *d) { return (const device_base *)d; }

device *device_open(const plan *p, const char *artifact, const device_options *options, lmn_error *error) {
  if (!strcmp(p->target, "cpu")) return device_cpu_open(p, artifact, options->threads, error);
  if (!strncmp(p->target, "sm_", 3)) return device_cuda_open(p, artifact, options->gpu, error);
  fail(error, "%s: was compiled for the target \"%s\"; this runtime has cpu and sm_…: compile it again", artifact,
       p->target);
  return NULL;
}

void device_close(device *d) {
  if (d) base_of(d)->functions->close(d);
}

int device_threads(const device *d) { return const_base_of(d)->functions->threads(d); }

const char *device_name(const device *d) {
  const device_functions *f = const_base_of(d)->functions;
  return f->name ? f->name(d) : "CPU";
}

void device_started(device *d, const char *what, double seconds) {
  device_base *b = base_of(d);
  int i = 0;
  while (i < b->start_count && strcmp(b->starts[i].what, what)) ++i;
  if (i == DEVICE_STARTS) return;
  if (i == b->start_count) b->starts[b->start_count++] = (start_part){.what = what};
  b->starts[i].seconds += seconds;
}

const start_part *device_starts(const device *d, int *count) {
  *count = const_base_of(d)->start_count;
  return const_base_of(d)->starts;
}

// ---- memory -------------------------------------------------------------------------------------

bool device_reserve(device *d, plan_space space, int64_t bytes, lmn_error *error) {
  device_base *b = base_of(d);
  if (bytes < 0) return fail(error, "%s: a size of %lld bytes", plan_space_names[space], (long long)bytes);
  double began = clock_seconds();
  bool ok = b->functions->reserve(d, space, bytes, error);
  device_started(d, "memory", clock_seconds() - began);
  b->reserved[space] = ok ? bytes : 0;
  if (device_bytes(d) > b->most) b->most = device_bytes(d);
  return ok || fail_in(error, "%s memory", plan_space_names[space]);
}

int64_t device_bytes(const device *d) {
  int64_t bytes = -const_base_of(d)->parked;
  for (int i = 0; i < SPACE_COUNT; ++i) bytes += const_base_of(d)->reserved[i];
  return bytes;
}

int64_t device_most_bytes(const device *d) { return const_base_of(d)->most; }

int64_t device_available(const device *d) {
  const device_functions *f = const_base_of(d)->functions;
  return f->available ? f->available(d) : INT64_MAX;
}

void *device_map(const device *d, plan_space space) { return const_base_of(d)->functions->map(d, space); }

static bool in_space(const device_base *b, plan_space space, int64_t offset, int64_t bytes, lmn_error *error) {
  if (offset >= 0 && bytes >= 0 && offset <= b->reserved[space] && bytes <= b->reserved[space] - offset) return true;
  return fail(error, "%lld bytes at %lld do not lie in the %lld of %s memory", (long long)bytes, (long long)offset,
              (long long)b->reserved[space], plan_space_names[space]);
}

bool device_write(device *d, plan_space space, int64_t offset, const void *data, int64_t bytes, lmn_error *error) {
  if (!in_space(base_of(d), space, offset, bytes, error)) return false;
  char *mapped = device_map(d, space);
  if (!bytes) return true;
  if (!mapped) return base_of(d)->functions->write(d, space, offset, data, bytes, error);
  memcpy(mapped + offset, data, (size_t)bytes);
  return true;
}

bool device_read(device *d, plan_space space, int64_t offset, void *data, int64_t bytes, lmn_error *error) {
  if (!in_space(base_of(d), space, offset, bytes, error)) return false;
  const char *mapped = device_map(d, space);
  if (!bytes) return true;
  if (!mapped) return base_of(d)->functions->read(d, space, offset, data, bytes, error);
  memcpy(data, mapped + offset, (size_t)bytes);
  return true;
}

bool device_clear(device *d, plan_space space, lmn_error *error) {
  void *mapped = device_map(d, space);
  int64_t bytes = base_of(d)->reserved[space];
  if (!bytes) return true;
  if (!mapped) return base_of(d)->functions->clear(d, space, error);
  memset(mapped, 0, (size_t)bytes);
  return true;
}

bool device_copy(device *d, plan_space to, plan_space from, int64_t bytes, lmn_error *error) {
  if (!in_space(base_of(d), to, 0, bytes, error) || !in_space(base_of(d), from, 0, bytes, error)) return false;
  void *mapped = device_map(d, to);
  if (!bytes) return true;
  if (!mapped) return base_of(d)->functions->copy(d, to, from, bytes, error);
  memcpy(mapped, device_map(d, from), (size_t)bytes);
  return true;
}

bool device_add(device *d, plan_space to, plan_space from, int64_t bytes, lmn_error *error) {
  if (!in_space(base_of(d), to, 0, bytes, error) || !in_space(base_of(d), from, 0, bytes, error)) return false;
  float *sum = device_map(d, to);
  if (!bytes) return true;
  if (!sum) return base_of(d)->functions->add(d, to, from, bytes, error);
  const float *values = device_map(d, from);
  for (int64_t i = 0; i < bytes / (int64_t)sizeof *sum; ++i) sum[i] += values[i];
  return true;
}

// ---- running ------------------------------------------------------------------------------------

static bool is_reserved(const device_base *b, const plan_entry *entry, plan_space space, int64_t bytes,
                        lmn_error *error) {
  if (bytes <= b->reserved[space]) return true;
  return fail(error, "%s: needs %lld bytes of %s memory, %lld are reserved", entry->name, (long long)bytes,
              plan_space_names[space], (long long)b->reserved[space]);
}

static bool check_spaces(const device_base *b, const plan_entry *entry, lmn_error *error) {
  const plan *p = b->plan;
  bool has_phase = entry->phase >= 0 && entry->phase < p->phase_count;
  int64_t gradient = has_phase ? p->phases[entry->phase].gradient_bytes : 0;
  bool trains = entry->kind == ENTRY_TRAIN || entry->kind == ENTRY_UPDATE, updates = entry->kind == ENTRY_UPDATE;
  return is_reserved(b, entry, SPACE_PARAMETER, p->parameter_bytes, error) &&
         is_reserved(b, entry, SPACE_WEIGHT, plan_weight_bytes(p), error) &&
         is_reserved(b, entry, SPACE_CONSTANT, p->constant_bytes, error) &&
         is_reserved(b, entry, SPACE_ARENA, entry->arena_bytes, error) &&
         is_reserved(b, entry, SPACE_INPUT, entry->input_bytes, error) &&
         is_reserved(b, entry, SPACE_OUTPUT, entry->output_bytes, error) &&
         is_reserved(b, entry, SPACE_CACHE, entry->cache_bytes, error) &&
         is_reserved(b, entry, SPACE_GRADIENT, trains ? gradient : 0, error) &&
         is_reserved(b, entry, SPACE_MOMENT1, updates ? gradient : 0, error) &&
         is_reserved(b, entry, SPACE_MOMENT2, updates ? gradient : 0, error);
}

bool device_run(device *d, const plan_entry *entry, lmn_error *error) {
  device_base *b = base_of(d);
  ptrdiff_t index = entry - b->plan->entries;
  if (index < 0 || index >= b->plan->entry_count) return fail(error, "%s: is no entry of the opened plan", entry->name);
  return check_spaces(b, entry, error) && b->functions->run(d, (int)index, error);
}

void device_meanwhile(device *d, void (*work)(void *context), void *context) {
  if (!base_of(d)->functions->ahead) return; // nothing runs beside the host
  base_of(d)->meanwhile = work;
  base_of(d)->meanwhile_context = context;
}

void device_do_meanwhile(device *d) {
  void (*work)(void *) = base_of(d)->meanwhile;
  base_of(d)->meanwhile = NULL;
  if (work) work(base_of(d)->meanwhile_context);
}

bool device_ahead(device *d, void **host, lmn_error *error) {
  const device_functions *f = base_of(d)->functions;
  *host = NULL;
  return !f->ahead || f->ahead(d, host, error);
}

bool device_send_ahead(device *d, int64_t bytes, lmn_error *error) {
  return base_of(d)->functions->send_ahead(d, bytes, error);
}

bool device_take_ahead(device *d) {
  const device_functions *f = base_of(d)->functions;
  return f->take_ahead && f->take_ahead(d);
}

int64_t device_vertex_runs(const device *d) { return const_base_of(d)->vertex_runs; }

void device_profile(device *d, double *seconds) { base_of(d)->profile = seconds; }
