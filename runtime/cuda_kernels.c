#include "runtime/cuda_kernels.h"

#include "runtime/library.h"

#include <stdlib.h>
#include <string.h>

enum { CUBIN_LIMIT = 1 << 28, USUAL_SHARED = 48 << 10 }; // dynamic shared memory that needs not be asked for

static int compare_names(const void *a, const void *b) {
  return strcmp(((const loaded_kernel *)a)->name, ((const loaded_kernel *)b)->name);
}

// Every kernel once, with the most shared memory of its launches.
static void list_kernels(const plan *p, cuda_kernels *k) {
  int capacity = 0, kept = 0;
  for (int e = 0; e < p->entry_count; ++e)
    for (int i = 0; i < p->entries[e].launch_count; ++i) {
      const plan_launch *launch = &p->entries[e].launches[i];
      GROW(k->items, k->count, capacity);
      k->items[k->count++] =
          (loaded_kernel){.name = launch->kernel, .shared = launch->shared, .processors = launch->processors};
    }
  if (k->count) qsort(k->items, (size_t)k->count, sizeof *k->items, compare_names);
  for (int i = 0; i < k->count; ++i) {
    const loaded_kernel *one = &k->items[i];
    loaded_kernel *last = kept ? &k->items[kept - 1] : NULL;
    if (!last || strcmp(last->name, one->name)) {
      k->items[kept++] = *one;
      continue;
    }
    if (one->shared > last->shared) last->shared = one->shared;
    last->processors |= one->processors;
  }
  k->count = kept;
}

// The version of CUDA that made a cubin, as its note says: "…, release 13.0, …". False: it does not say.
static bool made_by(const char *cubin, size_t length, int *major, int *minor) {
  static const char mark[] = "Cuda compilation tools, release ";
  const char *at = memmem(cubin, length, mark, sizeof mark - 1);
  char number[16] = "";
  if (!at) return false;
  at += sizeof mark - 1;
  size_t left = length - (size_t)(at - cubin);
  memcpy(number, at, left < sizeof number - 1 ? left : sizeof number - 1);
  return sscanf(number, "%d.%d", major, minor) == 2;
}

// Within a major version of CUDA an older driver runs what a newer toolkit made.
static bool check_version(const cuda_driver *c, const char *artifact, const char *cubin, size_t length,
                          lmn_error *error) {
  int major, minor;
  if (!made_by(cubin, length, &major, &minor) || major <= c->version / 1000) return true;
  return fail(error,
              "%s: its kernels were made by CUDA %d.%d, and NVIDIA's driver here is too old for them: it is of CUDA "
              "%d.%d; install one of CUDA %d.0 or newer, or compile the network with NVRTC of CUDA %d",
              artifact, major, minor, c->version / 1000, c->version % 1000 / 10, major, c->version / 1000);
}

// Tells a kernel whose blocks wait for each other how many may run at one time (gemm_sm90.cuh): the multiprocessors
// that this process may use, which need not be all of the GPU's.
static CUresult tell_processors(const cuda_driver *c, const loaded_kernel *k, int processors) {
  if (!k->processors) return 0;
  CUdeviceptr at;
  size_t bytes;
  CUresult result = c->cuModuleGetGlobal(&at, &bytes, k->module, "processors");
  if (!result && bytes != sizeof processors) return CUDA_ERROR_NOT_FOUND;
  return result ? result : c->cuMemcpyHtoD(at, &processors, sizeof processors);
}

static bool load_module(const cuda_driver *c, const char *path, const char *cubin, int processors, loaded_kernel *k,
                        lmn_error *error) {
  char text[CUDA_ERROR_TEXT];
  CUresult result = c->cuModuleLoadData(&k->module, cubin);
  if (result) {
    k->module = NULL;
    if (*cuda_remedy(result))
      return fail(error, "%s: cannot be loaded: %s%s", path, cuda_error_text(c, result, text), cuda_remedy(result));
    return fail(error, "%s: cannot be loaded by the driver, of CUDA %d.%d: %s; compile the network again", path,
                c->version / 1000, c->version % 1000 / 10, cuda_error_text(c, result, text));
  }
  result = c->cuModuleGetFunction(&k->function, k->module, k->name);
  if (!result && k->shared > USUAL_SHARED)
    result = c->cuFuncSetAttribute(k->function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, (int)k->shared);
  if (!result) result = tell_processors(c, k, processors);
  if (result == CUDA_ERROR_NOT_FOUND)
    return fail(error, "%s: has no kernel %s%s; compile the network again", path, k->name,
                k->processors ? " with a global \"processors\"" : "");
  return !result || fail(error, "%s: %s cannot be used with %lld bytes of shared memory: %s", path, k->name,
                         (long long)k->shared, cuda_error_text(c, result, text));
}

static bool load(const cuda_driver *c, const char *artifact, int processors, loaded_kernel *k, lmn_error *error) {
  text path = {0};
  char *cubin = NULL;
  size_t length;
  text_printf(&path, "%s/kernels/%s.cubin", artifact, k->name);
  bool ok = file_read(path.data, CUBIN_LIMIT, &cubin, &length, error) &&
            (cubin_whole(cubin, length) ||
             fail(error, "%s: is no whole cubin (%zu bytes); compile the network again", path.data, length)) &&
            check_version(c, artifact, cubin, length, error) && load_module(c, path.data, cubin, processors, k, error);
  free(cubin);
  text_free(&path);
  return ok;
}

bool cuda_kernels_load(const cuda_driver *c, const plan *p, const char *artifact, int processors, cuda_kernels *k,
                       lmn_error *error) {
  *k = (cuda_kernels){0};
  list_kernels(p, k);
  for (int i = 0; i < k->count; ++i)
    if (!load(c, artifact, processors, &k->items[i], error)) return false;
  return true;
}

void cuda_kernels_unload(const cuda_driver *c, cuda_kernels *k) {
  for (int i = 0; i < k->count; ++i)
    if (k->items[i].module) c->cuModuleUnload(k->items[i].module);
  free(k->items);
  *k = (cuda_kernels){0};
}

CUfunction cuda_kernels_find(const cuda_kernels *k, const char *name) {
  const loaded_kernel key = {.name = name};
  return ((const loaded_kernel *)bsearch(&key, k->items, (size_t)k->count, sizeof key, compare_names))->function;
}
