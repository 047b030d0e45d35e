#include "runtime/network.h"

#include "runtime/parameters.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

// ---- opening ------------------------------------------------------------------------------------

static bool threads_of_environment(int *threads, lmn_error *error) {
  const char *said = getenv("LMN_THREADS");
  if (*threads > 0 || !said || !*said) return true;
  char *end;
  errno = 0;
  long value = strtol(said, &end, 10);
  if (*end || errno || value < 1 || value > 4096)
    return fail(error, "LMN_THREADS is \"%s\"; it must be a number of threads, 1 to 4096", said);
  *threads = (int)value;
  return true;
}

// The least that anything needs: what does not even have that is said before anything is reserved.
static bool anything_fits(lmn_network *n, lmn_error *error) {
  const plan_entry *least = n->plan->entry_count ? n->plan->entries : NULL;
  for (int i = 0; i < n->plan->entry_count; ++i)
    if (plan_bytes(n->plan, &n->plan->entries[i]) < plan_bytes(n->plan, least)) least = &n->plan->entries[i];
  return !least || network_fits(n, least, error);
}

static bool fill_constants(lmn_network *n, lmn_error *error) {
  space_view view;
  if (!n->plan->rotary_count) return true;
  if (!network_view(n, SPACE_CONSTANT, VIEW_WRITE, &view, error)) return false;
  network_fill_rotary(n->plan, view.bytes);
  return network_view_end(n, &view, true, error);
}

static bool network_open(lmn_network *n, const char *artifact, const lmn_options *options, lmn_error *error) {
  char *path = arena_printf(n->arena, "%s/plan.json", artifact);
  if (!file_exists(path))
    return fail(error, "%s: is no artifact: it has no plan.json; make one with `lmnc compile NET -o %s`", artifact,
                artifact);
  double began = clock_seconds();
  if (!plan_read(n->arena, path, &n->plan, error)) return false;
  double read = clock_seconds() - began;
  plan_find_models(n->plan, n->arena);
  device_options on = {.threads = options ? options->threads : 0, .gpu = options ? options->gpu : 0};
  if (!threads_of_environment(&on.threads, error)) return false;
  n->device = device_open(n->plan, artifact, &on, error);
  if (!n->device) return false;
  device_started(n->device, "plan", read);
  return anything_fits(n, error) && network_reserve(n, SPACE_PARAMETER, n->plan->parameter_bytes, error) &&
         network_reserve(n, SPACE_WEIGHT, plan_weight_bytes(n->plan), error) &&
         network_reserve(n, SPACE_CONSTANT, n->plan->constant_bytes, error) && fill_constants(n, error);
}

lmn_network *lmn_open(const char *artifact, const lmn_options *options, lmn_error *error) {
  lmn_network *n = memory_zero(sizeof *n);
  n->arena = arena_create();
  n->artifact = arena_string(n->arena, artifact);
  n->gradient_phase = n->moment_phase = -1;
  if (network_open(n, artifact, options, error)) return n;
  lmn_close(n);
  return NULL;
}

void lmn_close(lmn_network *n) {
  if (!n) return;
  if (n->device) device_close(n->device);
  free(n->lengths);
  free(n->logits);
  arena_destroy(n->arena);
  free(n);
}

const plan *lmn_plan(const lmn_network *n) { return n->plan; }
int64_t lmn_vertex_runs(const lmn_network *n) { return n->vertex_runs; }

int64_t lmn_bytes(const lmn_network *n) {
  int64_t vocabulary = n->plan->classes ? n->plan->classes : n->plan->vocabulary;
  int64_t generation = n->logits ? n->rows * vocabulary * (int64_t)sizeof(float) : 0;
  return device_bytes(n->device) + generation;
}

// ---- memory -------------------------------------------------------------------------------------

bool network_reserve(lmn_network *n, plan_space space, int64_t bytes, lmn_error *error) {
  if (bytes <= n->space_bytes[space]) return true;
  if (!device_reserve(n->device, space, bytes, error)) {
    n->space_bytes[space] = 0;
    return fail(error, "there is no memory for %lld bytes of the %s space; use a smaller batch or length",
                (long long)bytes, plan_space_names[space]);
  }
  n->space_bytes[space] = bytes;
  return true;
}

// What of it is there, and what would fit instead: the values grow with the batch, parameters and their state do not.
static bool fail_fits(const lmn_network *n, const plan_entry *e, int64_t room, lmn_error *error) {
  const double giga = 1e9;
  int64_t bytes[SPACE_COUNT], state, values;
  plan_space_bytes(n->plan, e, bytes);
  state = bytes[SPACE_GRADIENT] + bytes[SPACE_MOMENT1] + bytes[SPACE_MOMENT2];
  values = bytes[SPACE_ARENA] + bytes[SPACE_INPUT] + bytes[SPACE_OUTPUT] + bytes[SPACE_CACHE];
  int64_t all = plan_bytes(n->plan, e), left = room - (all - values);
  int64_t batch = e->batch > 0 && values > 0 && left > 0 ? left / (values / e->batch + 1) : 0;
  text remedy = {0};
  if (batch > 0) text_printf(&remedy, "a batch of %lld would fit", (long long)batch);
  else text_add(&remedy, "no batch of that length would fit");
  if (e->kind == ENTRY_TRAIN && left > 0)
    text_printf(&remedy, ", or compile with --memory-limit %lldM, which computes values again instead of keeping them",
                (long long)(room >> 20));
  fail(error,
       "%s: %s needs %.2f GB (parameters %.2f, gradients and optimizer state %.2f, values %.2f), and there are %.2f GB "
       "for it on the device; %s",
       n->artifact, e->name, (double)all / giga,
       (double)(bytes[SPACE_PARAMETER] + bytes[SPACE_WEIGHT] + bytes[SPACE_CONSTANT]) / giga, (double)state / giga,
       (double)values / giga, (double)room / giga, remedy.data);
  text_free(&remedy);
  return false;
}

bool network_fits(lmn_network *n, const plan_entry *entry, lmn_error *error) {
  enum { ROUNDED = 2 << 20 }; // what a device may round a space up to
  int64_t bytes[SPACE_COUNT], needed = 0, there = 0, available = device_available(n->device);
  plan_space_bytes(n->plan, entry, bytes);
  for (int i = 0; i < SPACE_COUNT; ++i) {
    if (bytes[i] > n->space_bytes[i]) needed += bytes[i] - n->space_bytes[i] + ROUNDED;
    there += bytes[i] < n->space_bytes[i] ? bytes[i] : n->space_bytes[i];
  }
  return needed <= available || fail_fits(n, entry, available + there, error);
}

bool network_prepare(lmn_network *n, const plan_entry *entry, lmn_error *error) {
  bool grows = entry->arena_bytes > n->space_bytes[SPACE_ARENA] || entry->input_bytes > n->space_bytes[SPACE_INPUT] ||
               entry->output_bytes > n->space_bytes[SPACE_OUTPUT];
  if (grows && !network_fits(n, entry, error)) return false;
  return network_reserve(n, SPACE_ARENA, entry->arena_bytes, error) &&
         network_reserve(n, SPACE_INPUT, entry->input_bytes, error) &&
         network_reserve(n, SPACE_OUTPUT, entry->output_bytes, error);
}

bool network_run(lmn_network *n, const plan_entry *entry, lmn_error *error) {
  int64_t before = device_vertex_runs(n->device);
  bool ok = n->profile ? profile_run(n->profile, n->device, entry, error) : device_run(n->device, entry, error);
  if (!ok) return fail_in(error, "%s", entry->name);
  n->vertex_runs += device_vertex_runs(n->device) - before;
  return true;
}

bool network_view(lmn_network *n, plan_space space, int use, space_view *view, lmn_error *error) {
  *view = (space_view){.space = space, .use = use, .bytes = device_map(n->device, space)};
  if (view->bytes) return true;
  int64_t bytes = n->space_bytes[space];
  view->bytes = view->copy = memory_zero((size_t)(bytes ? bytes : 1));
  if (!(use & VIEW_READ) || device_read(n->device, space, 0, view->copy, bytes, error)) return true;
  free(view->copy);
  return false;
}

bool network_view_end(lmn_network *n, space_view *view, bool ok, lmn_error *error) {
  if (ok && view->copy && view->use & VIEW_WRITE)
    ok = device_write(n->device, view->space, 0, view->copy, n->space_bytes[view->space], error);
  free(view->copy);
  return ok;
}

static const plan_value *find_value(const plan_value *values, int count, const char *name) {
  for (int i = 0; i < count; ++i)
    if (!strcmp(values[i].name, name)) return &values[i];
  return NULL;
}

const plan_value *entry_output(const plan_entry *entry, const char *name) {
  return find_value(entry->outputs, entry->output_count, name);
}

const plan_value *entry_input(const plan_entry *entry, const char *name) {
  return find_value(entry->inputs, entry->input_count, name);
}

int64_t value_elements_of(const plan_value *value) {
  int64_t elements = 1;
  for (int i = 0; i < value->rank; ++i) elements *= value->shape[i];
  return elements;
}

static void *value_memory(lmn_network *n, const plan_value *value) {
  return value ? (char *)device_map(n->device, value->at.space) + value->at.offset : NULL;
}

void *network_input(lmn_network *n, const plan_entry *entry, const char *name) {
  return value_memory(n, entry_input(entry, name));
}

void *network_output(lmn_network *n, const plan_entry *entry, const char *name) {
  return value_memory(n, entry_output(entry, name));
}

// ---- parameters ---------------------------------------------------------------------------------

static const plan_parameter *find_parameter(const lmn_network *n, const char *name, lmn_error *error) {
  const plan_parameter *parameter = parameters_find(n->plan, name);
  if (!parameter) fail(error, "%s: has no parameter \"%s\"", n->artifact, name);
  return parameter;
}

int64_t lmn_elements(const lmn_network *n, const char *name) {
  const plan_parameter *parameter = parameters_find(n->plan, name);
  return parameter ? parameter->elements : -1;
}

bool lmn_read_parameter(lmn_network *n, const char *name, float *values, lmn_error *error) {
  const plan_parameter *p = find_parameter(n, name, error);
  return p && device_read(n->device, SPACE_PARAMETER, p->offset, values, p->elements * (int64_t)sizeof *values, error);
}

bool lmn_write_parameter(lmn_network *n, const char *name, const float *values, lmn_error *error) {
  const plan_parameter *p = find_parameter(n, name, error);
  return p && device_write(n->device, SPACE_PARAMETER, p->offset, values, p->elements * (int64_t)sizeof *values, error);
}

bool lmn_read_gradient(lmn_network *n, int phase, const char *name, float *values, lmn_error *error) {
  const plan_parameter *parameter = find_parameter(n, name, error);
  if (!parameter) return false;
  if (phase < 0 || phase >= n->plan->phase_count || phase != n->gradient_phase)
    return fail(error, "there are no gradients of phase %d", phase);
  const plan_phase *p = &n->plan->phases[phase];
  for (int i = 0; i < p->trained_count; ++i)
    if (&n->plan->parameters[p->trained[i].parameter] == parameter)
      return device_read(n->device, SPACE_GRADIENT, p->trained[i].offset, values,
                         parameter->elements * (int64_t)sizeof *values, error);
  return fail(error, "%s is not trained in phase %s: it has no gradient", name, p->name);
}

// ---- optimizer ----------------------------------------------------------------------------------

// The spaces of a phase have exactly its size, so that the memory of a larger phase before it is given back.
static bool reserve_exactly(lmn_network *n, plan_space space, int64_t bytes, lmn_error *error) {
  if (bytes == n->space_bytes[space] || bytes == 0) return true;
  n->space_bytes[space] = 0;
  return network_reserve(n, space, bytes, error);
}

static bool phase_there(const lmn_network *n, int phase, lmn_error *error) {
  if (phase >= 0 && phase < n->plan->phase_count) return true;
  return fail(error, "there is no phase %d; the network has %d", phase, n->plan->phase_count);
}

bool network_use_gradients(lmn_network *n, int phase, lmn_error *error) {
  if (!phase_there(n, phase, error)) return false;
  if (phase == n->gradient_phase) return true;
  n->gradient_phase = -1;
  int64_t bytes = n->plan->phases[phase].gradient_bytes;
  if (!reserve_exactly(n, SPACE_GRADIENT, bytes, error)) return false;
  if (bytes && !device_clear(n->device, SPACE_GRADIENT, error)) return false;
  n->gradient_phase = phase;
  return true;
}

bool lmn_begin_phase(lmn_network *n, int phase, lmn_error *error) {
  if (!network_use_gradients(n, phase, error)) return false;
  n->moment_phase = -1;
  int64_t bytes = n->plan->phases[phase].gradient_bytes;
  for (plan_space space = SPACE_MOMENT1; space <= SPACE_MOMENT2; ++space) {
    if (!reserve_exactly(n, space, bytes, error) || (bytes && !device_clear(n->device, space, error))) return false;
  }
  n->moment_phase = phase;
  n->step = 0;
  return true;
}

bool network_gradient_norm(lmn_network *n, int phase, double *norm, lmn_error *error) {
  const plan_phase *p = &n->plan->phases[phase];
  space_view view;
  double sum = 0;
  if (!network_view(n, SPACE_GRADIENT, VIEW_READ, &view, error)) return false;
  for (int i = 0; i < p->trained_count; ++i) {
    int64_t elements = n->plan->parameters[p->trained[i].parameter].elements;
    const float *gradient = (float *)(view.bytes + p->trained[i].offset);
    double part = 0;
    for (int64_t k = 0; k < elements; ++k) part += (double)gradient[k] * gradient[k];
    sum += part;
  }
  *norm = sqrt(sum);
  return network_view_end(n, &view, true, error);
}

static const plan_entry *update_entry(lmn_network *n, int phase, lmn_error *error) {
  for (int i = 0; i < n->plan->entry_count; ++i)
    if (n->plan->entries[i].kind == ENTRY_UPDATE && n->plan->entries[i].phase == phase) return &n->plan->entries[i];
  fail(error, "%s: has no update entry of phase %s: it was not compiled for training it", n->artifact,
       n->plan->phases[phase].name);
  return NULL;
}

bool network_update(lmn_network *n, int phase, double learning_rate, double *gradient_norm, lmn_error *error) {
  const plan_entry *entry = update_entry(n, phase, error);
  if (!entry || (phase != n->moment_phase && !lmn_begin_phase(n, phase, error)) || !network_prepare(n, entry, error))
    return false;
  float *scalars = network_input(n, entry, "scalars"), *norm = network_output(n, entry, "gradient_norm");
  if (!scalars || !norm) return fail(error, "%s: %s has no scalars or no gradient_norm", n->artifact, entry->name);
  const plan_phase *p = &n->plan->phases[phase];
  double t = (double)(n->step + 1);
  const double values[8] = {learning_rate,        p->beta1, p->beta2, p->eps, p->weight_decay, 1 - pow(p->beta1, t),
                            1 - pow(p->beta2, t), p->clip};
  for (int i = 0; i < 8; ++i) scalars[i] = (float)values[i];
  if (!network_run(n, entry, error)) return false;
  n->step++;
  if (gradient_norm) *gradient_norm = *norm;
  if (isfinite(*norm)) return true;
  return fail(error,
              "the gradient of phase %s is not finite; use a lower learning rate (lr = %g now), warmup or clip = 1",
              p->name, learning_rate);
}

static bool write_values(void *context, int64_t offset, const float *values, int64_t count, lmn_error *error) {
  return device_write(context, SPACE_PARAMETER, offset, values, count * (int64_t)sizeof *values, error);
}

static parameters_place place_of(const lmn_network *n) {
  return (parameters_place){device_map(n->device, SPACE_PARAMETER), write_values, n->device};
}

bool lmn_load(lmn_network *n, uint64_t seed, lmn_error *error) {
  double began = clock_seconds();
  parameters_place to = place_of(n);
  bool ok = parameters_load(n->plan, &to, seed, error);
  device_started(n->device, "parameters", clock_seconds() - began);
  return ok;
}

bool lmn_replace(lmn_network *n, const char *safetensors, lmn_error *error) {
  double began = clock_seconds();
  parameters_place to = place_of(n);
  bool ok = parameters_replace(n->plan, &to, safetensors, error);
  device_started(n->device, "parameters", clock_seconds() - began);
  return ok;
}

bool lmn_save(lmn_network *n, const char *safetensors, lmn_error *error) {
  const safetensors_pair network = {"network", n->plan->network};
  space_view view;
  if (!network_view(n, SPACE_PARAMETER, VIEW_READ, &view, error)) return false;
  bool ok = parameters_save(n->plan, (float *)view.bytes, safetensors, &network, 1, error);
  return network_view_end(n, &view, ok, error);
}
