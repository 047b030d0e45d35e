#include "runtime/threads.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

// `state` holds the loop's number (high half), whether workers may still enter it, and how many are inside. The caller
// opens a loop, works on it too, closes it when no task is left and waits for those inside: a worker that wakes late
// finds it closed and costs nothing.
#define OPEN ((uint64_t)1 << 31)
#define INSIDE(state) ((state) & (OPEN - 1))
#define NUMBER(state) ((uint32_t)((state) >> 32))

enum { SPINS = 4000, PIECES_PER_THREAD = 4 };

typedef struct worker {
  thread_pool *pool;
  int index;
  pthread_t thread;
} worker;

struct thread_pool {
  _Alignas(64) _Atomic uint64_t state;
  _Alignas(64) _Atomic int64_t next;  // first task not yet taken
  _Alignas(64) _Atomic uint32_t bell; // the number of the last loop; sleepers wait on it
  _Atomic int sleepers;
  _Atomic bool stop;
  // the loop
  _Alignas(64) int64_t tasks, piece;
  pool_function *function;
  void *context;
  void (*start)(void);
  int threads, spins;
  worker *workers;
};

static void relax(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

int cores_available(void) {
  cpu_set_t set;
  int count = sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set);
  return count > 0 ? count : 1;
}

static void futex(_Atomic uint32_t *word, int operation, uint32_t value) {
  syscall(SYS_futex, (uint32_t *)word, operation, value, NULL, NULL, 0);
}

static void work(thread_pool *pool, int thread) {
  for (;;) {
    int64_t begin = atomic_fetch_add_explicit(&pool->next, pool->piece, memory_order_relaxed);
    if (begin >= pool->tasks) return;
    int64_t end = begin + pool->piece;
    pool->function(pool->context, begin, end < pool->tasks ? end : pool->tasks, thread);
  }
}

// Waits until the loop's number is another than `seen`.
static uint32_t wait_for_loop(thread_pool *pool, uint32_t seen) {
  for (int i = 0; i < pool->spins; ++i) {
    if (atomic_load_explicit(&pool->bell, memory_order_acquire) != seen) break;
    relax();
  }
  while (atomic_load(&pool->bell) == seen) {
    atomic_fetch_add(&pool->sleepers, 1);
    if (atomic_load(&pool->bell) == seen) futex(&pool->bell, FUTEX_WAIT_PRIVATE, seen);
    atomic_fetch_sub(&pool->sleepers, 1);
  }
  return atomic_load(&pool->bell);
}

static void *worker_main(void *user) {
  worker *w = user;
  thread_pool *pool = w->pool;
  if (pool->start) pool->start();
  for (uint32_t seen = 0;;) {
    seen = wait_for_loop(pool, seen);
    if (atomic_load(&pool->stop)) return NULL;
    uint64_t state = atomic_load_explicit(&pool->state, memory_order_acquire);
    while ((state & OPEN) && NUMBER(state) == seen)
      if (atomic_compare_exchange_weak_explicit(&pool->state, &state, state + 1, memory_order_acq_rel,
                                                memory_order_acquire)) {
        work(pool, w->index);
        atomic_fetch_sub_explicit(&pool->state, 1, memory_order_release);
        break;
      }
  }
}

static void ring(thread_pool *pool, uint32_t number) {
  atomic_store(&pool->bell, number);
  if (atomic_load(&pool->sleepers)) futex(&pool->bell, FUTEX_WAKE_PRIVATE, INT32_MAX);
}

thread_pool *pool_create(int threads, void (*start)(void), lmn_error *error) {
  if (threads < 1) threads = 1;
  thread_pool *pool = aligned_alloc(64, (sizeof *pool + 63) / 64 * 64);
  if (!pool) return fail(error, "no memory for %d threads", threads), NULL;
  memset(pool, 0, sizeof *pool);
  pool->start = start;
  // With more threads than cores a spinning thread keeps a working one off its core.
  pool->spins = threads <= cores_available() ? SPINS : 100;
  pool->workers = memory_zero((size_t)threads * sizeof *pool->workers);
  pool->threads = 1;
  for (int i = 1; i < threads; ++i) {
    pool->workers[i] = (worker){.pool = pool, .index = i};
    int problem = pthread_create(&pool->workers[i].thread, NULL, worker_main, &pool->workers[i]);
    if (problem) {
      fail(error, "thread %d of %d cannot be started: %s; use fewer with --threads", i + 1, threads, strerror(problem));
      pool_destroy(pool);
      return NULL;
    }
    ++pool->threads;
  }
  return pool;
}

void pool_destroy(thread_pool *pool) {
  if (!pool) return;
  atomic_store(&pool->stop, true);
  ring(pool, atomic_load(&pool->bell) + 1);
  for (int i = 1; i < pool->threads; ++i) pthread_join(pool->workers[i].thread, NULL);
  free(pool->workers);
  free(pool);
}

int pool_threads(const thread_pool *pool) { return pool->threads; }

void pool_run(thread_pool *pool, int64_t tasks, int64_t grain, pool_function *function, void *context) {
  if (tasks <= 0) return;
  int64_t piece = tasks / ((int64_t)pool->threads * PIECES_PER_THREAD);
  if (grain < 1) grain = 1;
  if (piece < grain) piece = grain;
  if (pool->threads == 1 || tasks <= piece) {
    function(context, 0, tasks, 0);
    return;
  }
  pool->tasks = tasks;
  pool->piece = piece;
  pool->function = function;
  pool->context = context;
  atomic_store_explicit(&pool->next, 0, memory_order_relaxed);
  uint32_t number = NUMBER(atomic_load_explicit(&pool->state, memory_order_relaxed)) + 1;
  atomic_store_explicit(&pool->state, (uint64_t)number << 32 | OPEN, memory_order_release);
  ring(pool, number);
  work(pool, 0);
  atomic_fetch_and_explicit(&pool->state, ~OPEN, memory_order_acq_rel);
  for (int i = 0; INSIDE(atomic_load_explicit(&pool->state, memory_order_acquire)); ++i) {
    if (i < pool->spins) relax();
    else sched_yield();
  }
}
