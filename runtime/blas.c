#include "runtime/blas.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <strings.h>

enum { ROW_MAJOR = 101, AS_IS = 111, TRANSPOSED = 112 }; // of cblas.h

typedef void cblas_sgemm_function(int order, int trans_a, int trans_b, int m, int n, int k, float alpha, const float *a,
                                  int lda, const float *b, int ldb, float beta, float *c, int ldc);

static cblas_sgemm_function *cblas_sgemm;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static lmn_error problem;

// Opens the library with an environment variable set, which is put back afterwards.
static void *open_with(const char *name, const char *value, void *(*open)(void)) {
  const char *set = getenv(name);
  char *before = set ? memory_string(set) : NULL;
  setenv(name, value, 1);
  void *library = open();
  if (before) setenv(name, before, 1);
  else unsetenv(name);
  free(before);
  return library;
}

static void *open_now(void) { return dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL); }

// OpenBLAS starts a thread for every core as it is loaded, unless told otherwise; ours are enough.
static void *open_without_threads(void) { return open_with("OPENBLAS_NUM_THREADS", "1", open_now); }

// What this CPU can do, as OpenBLAS calls it; NULL: nothing beyond what it takes where it does not know a CPU.
static const char *core_by_features(void) {
#if defined(__x86_64__)
  __builtin_cpu_init();
#define HAS(feature) __builtin_cpu_supports(feature)
  if (HAS("avx512f") && HAS("avx512vl") && HAS("avx512bw") && HAS("avx512dq") && HAS("avx512cd")) return "SkylakeX";
  if (HAS("avx2") && HAS("fma")) return "Haswell";
#undef HAS
#endif
  return NULL;
}

// A CPU newer than the library gets kernels of the year 2004, five times slower than what it could run: then the
// library is opened once more and told which to take.
static void *open_for_this_cpu(void) {
  void *library = open_without_threads();
  const char *core = core_by_features();
  char *(*core_name)(void) = NULL;
  if (library) *(void **)&core_name = dlsym(library, "openblas_get_corename");
  if (!core || !core_name || getenv("OPENBLAS_CORETYPE") || strcasecmp(core_name(), "Prescott")) return library;
  dlclose(library);
  return open_with("OPENBLAS_CORETYPE", core, open_without_threads);
}

static void open_library(void) {
  void *library = open_for_this_cpu();
  if (!library) {
    const char *cause = dlerror();
    fail(&problem, "OpenBLAS cannot be opened (%s); install it: apt install libopenblas0-pthread", cause ? cause : "");
    return;
  }
  void (*set_threads)(int) = NULL;
  *(void **)&cblas_sgemm = dlsym(library, "cblas_sgemm");
  *(void **)&set_threads = dlsym(library, "openblas_set_num_threads");
  if (!cblas_sgemm || !set_threads) {
    fail(&problem, "libopenblas.so.0 lacks cblas_sgemm or openblas_set_num_threads; install libopenblas0-pthread");
    return;
  }
  set_threads(1);
}

void blas_sgemm(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, const float *a, int64_t lda,
                const float *b, int64_t ldb, bool adds, float *c, int64_t ldc) {
  cblas_sgemm(ROW_MAJOR, trans_a ? TRANSPOSED : AS_IS, trans_b ? TRANSPOSED : AS_IS, (int)m, (int)n, (int)k, 1, a,
              (int)lda, b, (int)ldb, adds, c, (int)ldc);
}

bool blas_open(lmn_error *error) {
  pthread_once(&once, open_library);
  return !problem.text[0] || fail(error, "%s", problem.text);
}
