#include "runtime/parameters.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/parameters_source.h"

enum { CHUNK = 1 << 18, THREADS = 16 }; // elements a thread takes at a time; threads at most

// What the threads share. Each takes the next chunk of the next parameter until all are done or one has failed.
struct loading {
  const plan *plan;
  const parameters_place *to;
  uint64_t seed;
  const struct source *sources; // of each parameter: the tensor that its values come from
  int64_t *first_chunk;         // of each parameter, and their total
  atomic_llong next;
  atomic_bool failed;
  pthread_mutex_t mutex; // of *error
  lmn_error *error;
};

static bool fill(const struct loading *l, int index, int64_t begin, int64_t count, float *out, lmn_error *error) {
  const plan_parameter *parameter = &l->plan->parameters[index];
  const struct source *source = &l->sources[index];
  random_stream stream;
  if (source->file) return safetensors_floats(source->file, source->tensor, begin, count, out, error);
  switch (parameter->source) {
  case SOURCE_TENSOR: break;
  case SOURCE_NORMAL:
    stream = random_named(l->seed, parameter->name);
    random_skip(&stream, 2 * (uint64_t)begin); // a normal number takes two
    random_normals(&stream, parameter->mean, parameter->std, out, count);
    return true;
  case SOURCE_ONES:
    for (int64_t i = 0; i < count; ++i) out[i] = 1;
    return true;
  case SOURCE_ZEROS: memset(out, 0, (size_t)count * sizeof *out); return true;
  }
  return fail(error, "parameter \"%s\" has no known source; compile the network again", parameter->name);
}

// The parameter that has the chunk: the last whose first chunk is not behind it.
static int parameter_of(const struct loading *l, int64_t chunk) {
  int low = 0, high = l->plan->parameter_count;
  while (high - low > 1) {
    int middle = low + (high - low) / 2;
    if (l->first_chunk[middle] <= chunk) low = middle;
    else high = middle;
  }
  return low;
}

// `piece`: memory of the thread's own, where values do not go to their place at once.
static bool load_chunk(const struct loading *l, int64_t chunk, float *piece, lmn_error *error) {
  int index = parameter_of(l, chunk);
  int64_t begin = (chunk - l->first_chunk[index]) * CHUNK, left = l->plan->parameters[index].elements - begin;
  int64_t count = left < CHUNK ? left : CHUNK;
  int64_t offset = l->plan->parameters[index].offset + begin * (int64_t)sizeof(float);
  float *out = l->to->base ? l->to->base + offset / (int64_t)sizeof(float) : piece;
  return fill(l, index, begin, count, out, error) &&
         (l->to->base || l->to->write(l->to->context, offset, out, count, error));
}

static void *load_chunks(void *context) {
  struct loading *l = context;
  int64_t total = l->first_chunk[l->plan->parameter_count];
  float *piece = l->to->base ? NULL : memory_alloc(CHUNK * sizeof *piece);
  for (int64_t chunk; !atomic_load(&l->failed) && (chunk = atomic_fetch_add(&l->next, 1)) < total;) {
    lmn_error own = {0};
    if (load_chunk(l, chunk, piece, &own)) continue;
    pthread_mutex_lock(&l->mutex);
    fail(l->error, "%s", own.text);
    pthread_mutex_unlock(&l->mutex);
    atomic_store(&l->failed, true);
  }
  free(piece);
  return NULL;
}

static bool run_threads(struct loading *l) {
  pthread_t threads[THREADS];
  long cores = sysconf(_SC_NPROCESSORS_ONLN);
  int64_t wanted = l->first_chunk[l->plan->parameter_count] - 1;
  if (wanted > cores - 1) wanted = cores - 1;
  if (wanted > THREADS) wanted = THREADS;
  int started = 0;
  while (started < wanted && pthread_create(&threads[started], NULL, load_chunks, l) == 0) ++started;
  load_chunks(l); // what no other thread could be started for is done here
  for (int i = 0; i < started; ++i) pthread_join(threads[i], NULL);
  return !atomic_load(&l->failed);
}

// The parameters that have a source, or all.
static bool load_from(const plan *p, const parameters_place *to, uint64_t seed, const struct source *sources, bool all,
                      lmn_error *error) {
  struct loading l = {
      .plan = p, .to = to, .seed = seed, .sources = sources, .mutex = PTHREAD_MUTEX_INITIALIZER, .error = error};
  l.first_chunk = memory_alloc((size_t)(p->parameter_count + 1) * sizeof *l.first_chunk);
  l.first_chunk[0] = 0;
  for (int i = 0; i < p->parameter_count; ++i) {
    int64_t chunks = all || sources[i].file ? (p->parameters[i].elements + CHUNK - 1) / CHUNK : 0;
    l.first_chunk[i + 1] = l.first_chunk[i] + chunks;
  }
  bool ok = run_threads(&l);
  free(l.first_chunk);
  return ok;
}

bool parameters_load(const plan *p, const parameters_place *to, uint64_t seed, lmn_error *error) {
  struct sources *sources = sources_open(p, error);
  bool ok = sources && load_from(p, to, seed, sources_of(sources), true, error);
  if (sources) sources_close(sources);
  return ok;
}

const plan_parameter *parameters_find(const plan *p, const char *name) {
  for (int i = 0; i < p->parameter_count; ++i)
    if (!strcmp(p->parameters[i].name, name)) return &p->parameters[i];
  return NULL;
}

bool parameters_same_shape(const plan_parameter *parameter, const safetensors_tensor *tensor, lmn_error *error) {
  bool same = tensor->rank == parameter->rank;
  for (int i = 0; same && i < parameter->rank; ++i) same = tensor->shape[i] == parameter->shape[i];
  char expected[SAFETENSORS_SHAPE_TEXT], found[SAFETENSORS_SHAPE_TEXT];
  return same || fail(error, "%s: tensor \"%s\" has shape %s; parameter \"%s\" of the network needs %s", tensor->file,
                      tensor->name, safetensors_shape_text(tensor->rank, tensor->shape, found), parameter->name,
                      safetensors_shape_text(parameter->rank, parameter->shape, expected));
}

// The file's tensor that no parameter is named after; there is one.
static const char *first_unknown(const plan *p, const safetensors *file) {
  for (int i = 0; i < safetensors_count(file); ++i)
    if (!parameters_find(p, safetensors_at(file, i)->name)) return safetensors_at(file, i)->name;
  return "?";
}

static bool find_all(const plan *p, const safetensors *file, const char *path, struct source *sources,
                     lmn_error *error) {
  int found = 0;
  for (int i = 0; i < p->parameter_count; ++i) {
    const safetensors_tensor *tensor = safetensors_find(file, p->parameters[i].name);
    if (!tensor) continue;
    ++found;
    float probe;
    if (!parameters_same_shape(&p->parameters[i], tensor, error)) return false;
    if (tensor->elements && !safetensors_floats(file, tensor, 0, 1, &probe, error)) return false;
    sources[i] = (struct source){file, tensor};
  }
  return found == safetensors_count(file) ||
         fail(error,
              "%s: tensor \"%s\" is no parameter of this network (%d of the file's %d are not); `lmnc summary` lists "
              "them",
              path, first_unknown(p, file), safetensors_count(file) - found, safetensors_count(file));
}

bool parameters_replace(const plan *p, const parameters_place *to, const char *path, lmn_error *error) {
  safetensors *file = safetensors_open(path, error);
  if (!file) return false;
  struct source *sources = memory_zero((size_t)p->parameter_count * sizeof *sources + 1);
  bool ok = find_all(p, file, path, sources, error) && load_from(p, to, 0, sources, false, error);
  free(sources);
  safetensors_close(file);
  return ok;
}

safetensors_item parameters_item(const plan_parameter *parameter, const float *base, const char *name) {
  return (safetensors_item){name,
                            STORED_F32,
                            parameter->rank,
                            {parameter->shape[0], parameter->shape[1]},
                            base + parameter->offset / (int64_t)sizeof(float)};
}

bool parameters_save(const plan *p, const float *base, const char *file, const safetensors_pair *metadata,
                     int metadata_count, lmn_error *error) {
  safetensors_item *items = memory_alloc((size_t)p->parameter_count * sizeof *items);
  for (int i = 0; i < p->parameter_count; ++i)
    items[i] = parameters_item(&p->parameters[i], base, p->parameters[i].name);
  bool ok = safetensors_write(file, items, p->parameter_count, metadata, metadata_count, error);
  free(items);
  return ok;
}
