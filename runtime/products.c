#include "runtime/products.h"

#include "codegen/cpu/abi.h"
#include "runtime/blas.h"
#include "runtime/sgemm_avx512.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static bool avx512;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void choose(void) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const char *wanted = getenv("LMN_PRODUCTS");
  avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") && sgemm_avx512_room() > 0 &&
           !(wanted && !strcmp(wanted, "openblas"));
#endif
}

bool products_open(lmn_error *error) {
  pthread_once(&once, choose);
  return avx512 || blas_open(error);
}

const char *products_by(void) { return avx512 ? "sgemm_avx512" : "OpenBLAS"; }

int64_t products_room(void) { return avx512 ? sgemm_avx512_room() : 0; }

// ---- cutting

typedef struct cut {
  int64_t rows, columns; // of a piece of C
  int64_t row_pieces, column_pieces;
} cut;

static int64_t pieces_of(int64_t length, int64_t piece) { return (length + piece - 1) / piece; }
static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t rounded(int64_t length, int64_t multiple) { return pieces_of(length, multiple) * multiple; }

enum { LEAST_WORK = 1 << 20, PIECES_PER_THREAD = 4 };

static double work(const plan_gemm *g) { return (double)g->m * (double)g->n * (double)g->k / LEAST_WORK; }

// Into how many pieces `length` is cut, so that with `others` pieces each the threads have equal shares, or at least a
// few pieces each.
static int64_t shares(int64_t others, int64_t most, int threads) {
  int64_t pieces = 1;
  while (pieces < most && others * pieces % threads && others * pieces < (int64_t)threads * PIECES_PER_THREAD) ++pieces;
  return pieces;
}

// By columns as its shape alone asks: where it has few rows, or is much wider than high (then B would be packed for
// every few rows). By rows so that the threads have equal shares: OpenBLAS keeps a piece's packed rows of A in the
// second-level cache while it walks over B, so high pieces are fast. Its kernels differ in the order of a sum between
// the bulk of a matrix and its last rows and columns: a cut at a multiple of all their heights changes no bit, one by
// columns does.
static cut cut_for_openblas(const plan_gemm *g, int threads) {
  enum { LEAST_COLUMNS = 128, MOST_COLUMNS = 4096, COLUMN_PIECES = 8, COLUMNS = 48, LEAST_ROWS = 96, ROWS = 24 };
  cut c = {.columns = g->n};
  if (g->m < GEMM_FEW_ROWS || g->n > GEMM_WIDE * g->m) {
    int64_t pieces = least(g->n / LEAST_COLUMNS, work(g) < COLUMN_PIECES ? (int64_t)work(g) : COLUMN_PIECES);
    if (pieces < pieces_of(g->n, MOST_COLUMNS)) pieces = pieces_of(g->n, MOST_COLUMNS);
    if (pieces > 1) c.columns = rounded(pieces_of(g->n, pieces), COLUMNS);
  }
  int64_t others = g->groups * pieces_of(g->n, c.columns);
  double rest = work(g) * (double)gemm_pieces(g) / (double)others;
  int64_t pieces = shares(others, least(g->m / LEAST_ROWS, rest < 1e6 ? (int64_t)rest : 1000000), threads);
  c.rows = pieces == 1 ? g->m : rounded(pieces_of(g->m, pieces), ROWS);
  return c;
}

// Along the longer side: what lies along the other one is read by every thread.
static cut cut_for_avx512(const plan_gemm *g, int threads) {
  enum { LEAST_LENGTH = 48, MULTIPLE = 48 };
  bool by_columns = g->n > g->m;
  int64_t length = by_columns ? g->n : g->m;
  double each = work(g) * (double)gemm_pieces(g) / (double)g->groups;
  int64_t pieces = shares(g->groups, least(length / LEAST_LENGTH, each < 1e6 ? (int64_t)each : 1000000), threads);
  length = pieces == 1 ? length : rounded(pieces_of(length, pieces), MULTIPLE);
  return by_columns ? (cut){.rows = g->m, .columns = length} : (cut){.rows = length, .columns = g->n};
}

// ---- running

typedef struct running {
  const product_run *run;
  const plan_gemm *gemm;
  epilogue_function *epilogue;
  cut cut;
} running;

// All riders on rows [begin, end) of the groups' C, one after the other.
static void run_riders(const product_run *r, int64_t begin, int64_t end, int thread) {
  void *const *args = r->args + r->launch->arg_count;
  for (int i = 1; i <= r->riders; ++i) {
    kernel_function *function = NULL;
    *(void **)&function = r->functions[i];
    function(args, r->launch[i].dims, begin, end, r->scratch + thread * r->scratch_stride);
    args += r->launch[i].arg_count;
  }
}

static void run_rows(void *context, int64_t begin, int64_t end, int thread) { run_riders(context, begin, end, thread); }

static void run_piece(const running *r, int64_t piece, int thread) {
  const product_run *run = r->run;
  const plan_gemm *g = r->gemm;
  int64_t columns_of_pieces = r->cut.column_pieces, group = piece / (r->cut.row_pieces * columns_of_pieces);
  int64_t row = piece / columns_of_pieces % r->cut.row_pieces * r->cut.rows, row_end = least(row + r->cut.rows, g->m);
  int64_t column = piece % columns_of_pieces * r->cut.columns, column_end = least(column + r->cut.columns, g->n);
  const int64_t *firsts = g->pieces ? run->launch->dims + GEMM_FIRST : NULL, all = gemm_pieces(g);
  float *c = run->args[2 * all + group];
  c += row * g->ldc + column;
  int64_t first = firsts ? firsts[group] : group, last = firsts ? firsts[group + 1] : group + 1;
  for (int64_t p = first; p < last; ++p) { // in order, while this part of C is in the cache
    const float *a = run->args[p], *b = run->args[all + p];
    a += g->trans_a ? row : row * g->lda;
    b += g->trans_b ? column * g->ldb : column;
    bool adds = g->accumulate || p > first;
    int64_t m = row_end - row, n = column_end - column;
    if (avx512)
      sgemm_avx512(g->trans_a, g->trans_b, m, n, g->k, a, g->lda, b, g->ldb, adds, c, g->ldc,
                   run->scratch + thread * run->scratch_stride);
    else blas_sgemm(g->trans_a, g->trans_b, m, n, g->k, a, g->lda, b, g->ldb, adds, c, g->ldc);
  }
  if (r->epilogue) r->epilogue(run->args, run->launch->dims, row, row_end, column, column_end, group);
  if (columns_of_pieces == 1) run_riders(run, group * g->m + row, group * g->m + row_end, thread);
}

static void run_pieces(void *context, int64_t begin, int64_t end, int thread) {
  for (int64_t piece = begin; piece < end; ++piece) run_piece(context, piece, thread);
}

void products_run(const product_run *run) {
  enum { SMALL_PRODUCT = 1 << 18 }; // multiplications; below, waking the threads costs more than they save
  enum { LEAST_RIDDEN = 1 << 14 };  // elements of C that riders are woken for
  const plan_gemm *g = &run->launch->gemm;
  running r = {.run = run, .gemm = g};
  *(void **)&r.epilogue = run->functions[0];
  bool small = work(g) * (double)gemm_pieces(g) * LEAST_WORK < SMALL_PRODUCT;
  int threads = small ? 1 : pool_threads(run->pool);
  r.cut = avx512 ? cut_for_avx512(g, threads) : cut_for_openblas(g, threads);
  r.cut.row_pieces = pieces_of(g->m, r.cut.rows), r.cut.column_pieces = pieces_of(g->n, r.cut.columns);
  int64_t pieces = r.cut.row_pieces * r.cut.column_pieces * g->groups;
  pool_run(run->pool, pieces, small ? pieces : 1, run_pieces, &r);
  // Cut by columns, no row is whole before all are.
  if (r.cut.column_pieces > 1 && run->riders)
    pool_run(run->pool, g->groups * g->m, LEAST_RIDDEN / g->n + 1, run_rows, (void *)run);
}
