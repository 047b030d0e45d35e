#include "runtime/blas.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>

enum { ROW_MAJOR = 101, AS_IS = 111, TRANSPOSED = 112 }; // of cblas.h

typedef void cblas_sgemm_function(int order, int trans_a, int trans_b, int m, int n, int k, float alpha, const float *a,
                                  int lda, const float *b, int ldb, float beta, float *c, int ldc);

static cblas_sgemm_function *cblas_sgemm;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static lmn_error problem;

// OpenBLAS starts a thread for every core as it is loaded, unless told otherwise; ours are enough.
static void *load_without_threads(void) {
  static const char name[] = "OPENBLAS_NUM_THREADS";
  const char *value = getenv(name);
  char *before = value ? memory_string(value) : NULL;
  setenv(name, "1", 1);
  void *library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
  if (before) setenv(name, before, 1);
  else unsetenv(name);
  free(before);
  return library;
}

static void open_library(void) {
  void *library = load_without_threads();
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

static void sgemm(int64_t trans_a, int64_t trans_b, int64_t m, int64_t n, int64_t k, float alpha, const float *a,
                  int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc) {
  cblas_sgemm(ROW_MAJOR, trans_a ? TRANSPOSED : AS_IS, trans_b ? TRANSPOSED : AS_IS, (int)m, (int)n, (int)k, alpha, a,
              (int)lda, b, (int)ldb, beta, c, (int)ldc);
}

bool blas_open(struct kernel_host *host, lmn_error *error) {
  pthread_once(&once, open_library);
  if (problem.text[0]) return fail(error, "%s", problem.text);
  host->sgemm = sgemm;
  return true;
}
