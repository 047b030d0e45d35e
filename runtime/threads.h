// A pool of threads that runs one loop at a time: workers wait spinning for a moment, then asleep, so that the loops of
// a step, which follow each other within microseconds, start at once.
#ifndef LMN_THREADS_H
#define LMN_THREADS_H

#include "runtime/base.h"

typedef struct thread_pool thread_pool;

// Does tasks [begin, end); thread: 0 (the caller of pool_run) … threads - 1.
typedef void pool_function(void *context, int64_t begin, int64_t end, int thread);

// start (may be NULL): called once by every worker before its first loop.
thread_pool *pool_create(int threads, void (*start)(void), lmn_error *error);
void pool_destroy(thread_pool *pool);
int pool_threads(const thread_pool *pool);
// Runs function over [0, tasks) in pieces of at least `grain` and returns when all are done. Which thread does which
// piece is left to chance; with one piece's worth of tasks the caller does them all. Not to be called from within a
// loop, nor from two threads at once.
void pool_run(thread_pool *pool, int64_t tasks, int64_t grain, pool_function *function, void *context);

// The cores that this process may use.
int cores_available(void);

#endif
