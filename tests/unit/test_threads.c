// The thread pool and the CPU device's own errors.
#include "runtime/device_parts.h"
#include "runtime/threads.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

typedef struct count {
  _Atomic int *done; // times each task ran
  _Atomic int pieces;
  int64_t grain;
  int threads;
  _Atomic bool wrong;
} count;

static void count_tasks(void *context, int64_t begin, int64_t end, int thread) {
  count *c = context;
  if (begin >= end || thread < 0 || thread >= c->threads) atomic_store(&c->wrong, true);
  for (int64_t i = begin; i < end; ++i) atomic_fetch_add(&c->done[i], 1);
  atomic_fetch_add(&c->pieces, 1);
}

static void test_every_task_once(void **state) {
  (void)state;
  enum { TASKS = 10000 };
  lmn_error error = {{0}};
  for (int threads = 1; threads <= 5; ++threads) {
    thread_pool *pool = pool_create(threads, NULL, &error);
    assert_non_null(pool);
    assert_int_equal(pool_threads(pool), threads);
    count c = {.done = calloc(TASKS, sizeof(_Atomic int)), .threads = threads};
    int rounds = 0;
    for (int64_t tasks = 0; tasks <= TASKS; tasks = tasks * 3 + 1)
      for (int64_t grain = 1; grain < 5000; grain *= 7, ++rounds) {
        memset(c.done, 0, TASKS * sizeof(_Atomic int));
        pool_run(pool, tasks, grain, count_tasks, &c);
        for (int i = 0; i < TASKS; ++i) assert_int_equal(c.done[i], i < tasks);
      }
    assert_false(c.wrong);
    free(c.done);
    pool_destroy(pool);
  }
}

// Loops that follow each other at once, and after the workers have gone to sleep.
static void test_many_loops(void **state) {
  (void)state;
  lmn_error error = {{0}};
  thread_pool *pool = pool_create(4, NULL, &error);
  count c = {.done = calloc(64, sizeof(_Atomic int)), .threads = 4};
  for (int i = 0; i < 20000; ++i) {
    pool_run(pool, 64, 1, count_tasks, &c);
    if (i % 2000 == 0) usleep(2000);
  }
  for (int i = 0; i < 64; ++i) assert_int_equal(c.done[i], 20000);
  free(c.done);
  pool_destroy(pool);
}

static void test_few_tasks_stay_here(void **state) {
  (void)state;
  lmn_error error = {{0}};
  thread_pool *pool = pool_create(3, NULL, &error);
  count c = {.done = calloc(64, sizeof(_Atomic int)), .threads = 1};
  pool_run(pool, 10, 16, count_tasks, &c);
  assert_int_equal(c.pieces, 1);
  assert_false(c.wrong);
  free(c.done);
  pool_destroy(pool);
}

static void test_device_errors(void **state) {
  (void)state;
  lmn_error error = {{0}};
  plan p = {.network = "test", .cpu = "any", .cpu_features = ""};
  assert_null(device_cpu_open(&p, "/tmp/lmn_no_such_artifact", 1, &error));
  assert_non_null(strstr(error.text, "/tmp/lmn_no_such_artifact/kernels.so"));
#if defined(__x86_64__)
  if (!__builtin_cpu_supports("avx512f")) {
    memset(&error, 0, sizeof error);
    p.cpu = "sapphirerapids", p.cpu_features = "+sse2,-avx512vl,+avx512f,+avx2";
    assert_null(device_cpu_open(&p, "/tmp/lmn_no_such_artifact", 1, &error));
    assert_non_null(strstr(error.text, "avx512f"));
    assert_non_null(strstr(error.text, "sapphirerapids"));
  }
#endif
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_task_once), cmocka_unit_test(test_many_loops),
                                     cmocka_unit_test(test_few_tasks_stay_here), cmocka_unit_test(test_device_errors)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
