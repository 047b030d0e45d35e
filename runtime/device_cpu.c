// The CPU as a device: kernels.so and the products of products.h over a pool of threads. Results do not depend on
// their number.
#include "runtime/device_parts.h"

#include "codegen/cpu/abi.h"
#include "runtime/library.h"
#include "runtime/products.h"
#include "runtime/threads.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

typedef struct memory {
  char *bytes;
  int64_t size;
} memory;

struct device {
  device_base base;
  void *library;
  void ***functions; // [entry][launch]: kernel_function or epilogue_function; NULL: a product without epilogue
  thread_pool *pool;
  memory spaces[SPACE_COUNT];
  memory scratch; // scratch_stride bytes a thread
  int64_t scratch_stride;
  void **args; // of the launch that runs, then of its riders
};

// ---- memory

enum { HUGE_PAGE = 2 << 20 };

static bool memory_map(memory *m, int64_t bytes, lmn_error *error) {
  *m = (memory){NULL, bytes};
  int64_t mapped = bytes > 0 ? bytes : 1;
  void *at = mmap(NULL, (size_t)mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED)
    return fail(error, "%.1f MB of memory cannot be had (%s); use a smaller batch or length", (double)bytes / 1e6,
                strerror(errno));
  if (mapped >= 2 * HUGE_PAGE) madvise(at, (size_t)mapped, MADV_HUGEPAGE);
  m->bytes = at;
  return true;
}

static void memory_unmap(memory *m) {
  if (m->bytes) munmap(m->bytes, (size_t)(m->size > 0 ? m->size : 1));
  *m = (memory){NULL, 0};
}

static bool reserve(device *d, plan_space space, int64_t bytes, lmn_error *error) {
  memory *m = &d->spaces[space];
  if (m->bytes && m->size == bytes) return true;
  memory_unmap(m);
  return memory_map(m, bytes, error);
}

static void *map(const device *d, plan_space space) { return d->spaces[space].bytes; }

// ---- opening

static bool has_feature(const char *features, const char *name) {
  size_t length = strlen(name);
  for (const char *p = features; p && *p; p = strchr(p, ','), p = p ? p + 1 : NULL)
    if (*p == '+' && !strncmp(p + 1, name, length) && (p[1 + length] == ',' || !p[1 + length])) return true;
  return false;
}

// The features that LLVM uses in kernels like ours; names as in plan.cpu_features.
static bool check_cpu(const plan *p, const char *artifact, lmn_error *error) {
#if defined(__x86_64__)
  __builtin_cpu_init();
#define NEEDS(feature)                                                                                                 \
  if (has_feature(p->cpu_features, feature) && !__builtin_cpu_supports(feature))                                       \
  return fail(error,                                                                                                   \
              "%s: its kernels are made for %s and need %s, which this CPU lacks; compile the network again "          \
              "on this machine",                                                                                       \
              artifact, p->cpu, feature)
  NEEDS("sse4.2");
  NEEDS("avx");
  NEEDS("avx2");
  NEEDS("fma");
  NEEDS("bmi");
  NEEDS("bmi2");
  NEEDS("avx512f");
  NEEDS("avx512vl");
  NEEDS("avx512bw");
  NEEDS("avx512dq");
  NEEDS("avx512cd");
  NEEDS("avx512vnni");
  NEEDS("avx512bf16");
#undef NEEDS
#else
  (void)p, (void)artifact, (void)error, (void)has_feature;
#endif
  return true;
}

// Results below the normal floats are zero: they mean nothing here and slow some CPUs down a hundredfold.
static void flush_denormals(void) {
#if defined(__x86_64__)
  _mm_setcsr(_mm_getcsr() | 0x8040);
#endif
}

static bool check_launch(const plan_entry *entry, const plan_launch *launch, lmn_error *error) {
  const plan_gemm *g = &launch->gemm;
  if (launch->kind == LAUNCH_KERNEL)
    return launch->kernel || fail(error, "%s: %s has no kernel", entry->name, launch->what);
  int64_t limit = INT32_MAX;
  if (g->m < 1 || g->n < 1 || g->k < 1 || g->groups < 1 || g->m > limit || g->n > limit || g->k > limit ||
      g->lda > limit || g->ldb > limit || g->ldc > limit || g->groups > launch->arg_count - 2 * gemm_pieces(g))
    return fail(error, "%s: %s is a product of a size that cannot be: %lld groups of %lld x %lld x %lld", entry->name,
                launch->what, (long long)g->groups, (long long)g->m, (long long)g->n, (long long)g->k);
  return true;
}

static bool resolve_kernels(device *d, const char *artifact, lmn_error *error) {
  const plan *p = d->base.plan;
  d->functions = memory_zero((size_t)p->entry_count * sizeof *d->functions);
  int most = 1, together = 0; // together: a product and its riders
  for (int e = 0; e < p->entry_count; ++e) {
    const plan_entry *entry = &p->entries[e];
    d->functions[e] = memory_zero((size_t)entry->launch_count * sizeof(void *));
    for (int i = 0; i < entry->launch_count; ++i) {
      const plan_launch *launch = &entry->launches[i];
      if (!check_launch(entry, launch, error)) return false;
      together = launch->rides ? together + launch->arg_count : launch->arg_count;
      if (together > most) most = together;
      int64_t scratch = launch->kind == LAUNCH_GEMM ? products_room() : launch->scratch;
      if (scratch > d->scratch_stride) d->scratch_stride = scratch;
      if (!launch->kernel) continue;
      d->functions[e][i] = dlsym(d->library, launch->kernel);
      if (!d->functions[e][i])
        return fail(error, "%s/kernels.so: has no kernel %s, which %s of %s needs; compile the network again", artifact,
                    launch->kernel, launch->what, entry->name);
    }
  }
  d->args = memory_zero((size_t)most * sizeof *d->args);
  return true;
}

static bool open_library(device *d, const char *artifact, lmn_error *error) {
  text path = {0};
  text_printf(&path, "%s%s/kernels.so", strchr(artifact, '/') ? "" : "./", artifact);
  bool whole = library_check(path.data, error);
  d->library = whole ? dlopen(path.data, RTLD_NOW | RTLD_LOCAL) : NULL;
  const char *cause = d->library || !whole ? NULL : dlerror();
  if (cause) fail(error, "%s: cannot be opened: %s; compile the network again", path.data, cause);
  text_free(&path);
  return d->library != NULL;
}

static bool open_device(device *d, const char *artifact, int threads, lmn_error *error) {
  if (!check_cpu(d->base.plan, artifact, error) || !open_library(d, artifact, error) || !products_open(error) ||
      !resolve_kernels(d, artifact, error))
    return false;
  d->pool = pool_create(threads > 0 ? threads : cores_available(), flush_denormals, error);
  if (!d->pool) return false;
  d->scratch_stride = (d->scratch_stride + 4095) & ~(int64_t)4095;
  return memory_map(&d->scratch, d->scratch_stride * pool_threads(d->pool), error) || fail_in(error, "scratch memory");
}

// ---- running

typedef struct kernel_run {
  device *device;
  const plan_launch *launch;
  kernel_function *function;
} kernel_run;

static void run_kernel(void *context, int64_t begin, int64_t end, int thread) {
  const kernel_run *r = context;
  device *d = r->device;
  r->function(d->args, r->launch->dims, begin, end, d->scratch.bytes + thread * d->scratch_stride);
}

// `functions`: of the launch and the riders behind it.
static void run_launch(device *d, const plan_launch *launch, void *const *functions, int riders) {
  int count = 0;
  for (int l = 0; l <= riders; ++l)
    for (int i = 0; i < launch[l].arg_count; ++i)
      d->args[count++] = d->spaces[launch[l].args[i].space].bytes + launch[l].args[i].offset;
  if (launch->kind == LAUNCH_GEMM) {
    product_run r = {launch, d->args, functions, riders, d->pool, d->scratch.bytes, d->scratch_stride};
    products_run(&r);
  } else {
    kernel_run r = {.device = d, .launch = launch};
    *(void **)&r.function = functions[0];
    pool_run(d->pool, launch->tasks, launch->grain, run_kernel, &r);
  }
}

static void run_launches(device *d, const plan_entry *entry, void *const *functions) {
  double before = d->base.profile ? clock_seconds() : 0;
  for (int i = 0, riders = 0; i < entry->launch_count; i += 1 + riders) {
    riders = 0;
    while (i + riders + 1 < entry->launch_count && entry->launches[i + riders + 1].rides) ++riders;
    run_launch(d, &entry->launches[i], &functions[i], riders);
    for (int k = i; k <= i + riders; ++k) d->base.vertex_runs += entry->launches[k].vertices > 0;
    if (!d->base.profile) continue;
    double now = clock_seconds();
    d->base.profile[i] += now - before;
    before = now;
  }
}

static bool run(device *d, int index, lmn_error *error) {
  (void)error;
  const plan_entry *entry = &d->base.plan->entries[index];
#if defined(__x86_64__)
  unsigned control = _mm_getcsr();
  flush_denormals();
  run_launches(d, entry, d->functions[index]);
  _mm_setcsr(control);
#else
  run_launches(d, entry, d->functions[index]);
#endif
  return true;
}

// ---- the device ---------------------------------------------------------------------------------

static void close_device(device *d) {
  pool_destroy(d->pool);
  for (int i = 0; i < SPACE_COUNT; ++i) memory_unmap(&d->spaces[i]);
  memory_unmap(&d->scratch);
  if (d->functions)
    for (int e = 0; e < d->base.plan->entry_count; ++e) free(d->functions[e]);
  free(d->functions);
  free(d->args);
  if (d->library) dlclose(d->library);
  free(d);
}

static int threads_of(const device *d) { return pool_threads(d->pool); }

device *device_cpu_open(const plan *p, const char *artifact, int threads, lmn_error *error) {
  static const device_functions functions = {
      .close = close_device, .threads = threads_of, .reserve = reserve, .map = map, .run = run};
  device *d = memory_zero(sizeof *d);
  d->base = (device_base){.functions = &functions, .plan = p};
  if (open_device(d, artifact, threads, error)) return d;
  close_device(d);
  return NULL;
}
