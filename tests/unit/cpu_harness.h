// For the tests of the CPU kernels: an entry written as kernel ops, whose values lie one after the other in the arena
// with a strip of canaries after each; compiled once, run with 1, 2 and 3 threads, which must leave the same bytes.
#ifndef CPU_HARNESS_H
#define CPU_HARNESS_H

#include "codegen/cpu/cpu.h"
#include "runtime/device_parts.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h> // after ours: it makes a macro of `fail`

enum { HARNESS_FLOATS = 48 << 20, GUARD = 16, CANARY = 0x7fc0beef };

typedef struct harness {
  text body, functions;  // the entry's ops; bodies that they name
  float *memory, *after; // before the run; after it. Everything is NaN until it is written.
  int64_t used;          // floats
  int64_t *guards;
  int guard_count, guard_capacity;
  int names;
  int64_t space_bytes[SPACE_COUNT]; // other spaces that the entry uses, filled from space_before
  float *space_before[SPACE_COUNT], *space_after[SPACE_COUNT];
  plan plan;
  uint32_t random;
} harness;

static inline void harness_open(harness *h) {
  *h = (harness){.random = 12345};
  h->memory = malloc(sizeof(float) * HARNESS_FLOATS);
  assert_non_null(h->memory);
}

static inline void harness_close(harness *h) {
  text_free(&h->body);
  text_free(&h->functions);
  free(h->memory);
  free(h->after);
  free(h->guards);
  for (int s = 0; s < SPACE_COUNT; ++s) free(h->space_after[s]);
}

// Room for a value: its first element's index.
static inline int64_t harness_room(harness *h, int64_t elements) {
  int64_t at = h->used, end = at + (elements + 15) / 16 * 16;
  assert_true(end + GUARD <= HARNESS_FLOATS);
  uint32_t canary = CANARY;
  for (int64_t i = at; i < end + GUARD; ++i) memcpy(&h->memory[i], &canary, sizeof canary);
  GROW(h->guards, h->guard_count, h->guard_capacity);
  h->guards[h->guard_count++] = at + elements;
  h->used = end + GUARD;
  return at;
}

static inline double harness_random(harness *h) { // in [-1, 1)
  h->random = h->random * 1664525u + 1013904223u;
  return (double)(h->random >> 8) / (1 << 23) - 1;
}

static inline const char *harness_type(char *room, int64_t rows, int64_t columns, const char *element) {
  if (columns) sprintf(room, "tensor<%lldx%lldx%s>", (long long)rows, (long long)columns, element);
  else sprintf(room, "tensor<%lldx%s>", (long long)rows, element);
  return room;
}

// A value that is there before the run: adds kernel.buffer %<name>, returns its place. columns 0: a vector.
static inline int64_t harness_input(harness *h, const char *name, int64_t rows, int64_t columns, const char *element) {
  char type[64];
  int64_t at = harness_room(h, rows * (columns ? columns : 1));
  text_printf(
      &h->body,
      "    %%%s = \"kernel.buffer\"() {space = \"arena\", name = \"%s\", places = array<i64: %d, %lld>} : () -> %s\n",
      name, name, SPACE_ARENA, (long long)at * 4, harness_type(type, rows, columns, element));
  return at;
}

static inline int64_t harness_noise(harness *h, const char *name, int64_t rows, int64_t columns, double size) {
  int64_t at = harness_input(h, name, rows, columns, "f32");
  for (int64_t i = 0; i < rows * (columns ? columns : 1); ++i) h->memory[at + i] = (float)(size * harness_random(h));
  return at;
}

static inline int64_t harness_indices(harness *h, const char *name, int64_t rows, int64_t columns,
                                      const int32_t *values) {
  int64_t at = harness_input(h, name, rows, columns, "i32");
  memcpy(h->memory + at, values, sizeof(int32_t) * (size_t)(rows * (columns ? columns : 1)));
  return at;
}

static inline void harness_check_guards(const harness *h, const float *memory) {
  for (int g = 0; g < h->guard_count; ++g) {
    int64_t end = g + 1 < h->guard_count ? h->guards[g] + GUARD : h->used;
    for (int64_t i = h->guards[g]; i < h->guards[g] + GUARD && i < end; ++i) {
      uint32_t bits;
      memcpy(&bits, &memory[i], sizeof bits);
      if (bits != CANARY)
        fail_msg("value %d was written past its end (element %lld)", g, (long long)(i - h->guards[g]));
    }
  }
}

// For measuring: the best time of every launch.
static inline void harness_measure(device *d, const plan_entry *entry, int threads, int repeats) {
  double *seconds = malloc(sizeof(double) * (size_t)entry->launch_count),
         *best = calloc((size_t)entry->launch_count, sizeof *best);
  lmn_error error = {{0}};
  for (int r = 0; r < repeats; ++r) {
    memset(seconds, 0, sizeof(double) * (size_t)entry->launch_count);
    device_profile(d, seconds);
    device_run(d, entry, &error);
    for (int i = 0; i < entry->launch_count; ++i) best[i] = r && best[i] < seconds[i] ? best[i] : seconds[i];
  }
  for (int i = 0; i < entry->launch_count; ++i)
    printf("%d threads %-60s %10.1f us\n", threads, entry->launches[i].kernel ? entry->launches[i].kernel : "gemm",
           best[i] * 1e6);
  device_profile(d, NULL);
  free(seconds);
  free(best);
}

static inline void harness_launch(harness *h, const plan *p, const char *directory, int threads) {
  lmn_error error = {{0}};
  device *d = device_cpu_open(p, directory, threads, &error);
  if (!d) fail_msg("%s", error.text);
  assert_true(device_reserve(d, SPACE_ARENA, h->used * 4, &error));
  char *arena_memory = device_map(d, SPACE_ARENA);
  memcpy(arena_memory, h->memory, (size_t)h->used * 4);
  for (int s = 0; s < SPACE_COUNT; ++s)
    if (h->space_bytes[s]) {
      assert_true(device_reserve(d, (plan_space)s, h->space_bytes[s], &error));
      memcpy(device_map(d, (plan_space)s), h->space_before[s], (size_t)h->space_bytes[s]);
    }
  if (!device_run(d, p->entries, &error)) fail_msg("%s", error.text);
  const char *repeats = getenv("LMN_HARNESS_REPEATS");
  if (repeats) harness_measure(d, p->entries, threads, atoi(repeats));
  bool first = !h->after;
  if (first) {
    h->after = malloc((size_t)h->used * 4);
    memcpy(h->after, arena_memory, (size_t)h->used * 4);
    harness_check_guards(h, h->after);
  } else if (!repeats && memcmp(h->after, arena_memory, (size_t)h->used * 4)) {
    fail_msg("%d threads give another result than one", threads);
  }
  for (int s = 0; s < SPACE_COUNT; ++s) {
    if (!h->space_bytes[s]) continue;
    void *now = device_map(d, (plan_space)s);
    if (first) {
      h->space_after[s] = malloc((size_t)h->space_bytes[s]);
      memcpy(h->space_after[s], now, (size_t)h->space_bytes[s]);
    } else if (!repeats && memcmp(h->space_after[s], now, (size_t)h->space_bytes[s])) {
      fail_msg("%d threads leave another space %s than one", threads, plan_space_names[s]);
    }
  }
  device_close(d);
}

// Compiles the ops written so far and runs them.
static inline void harness_run(harness *h) {
  lmn_error error = {{0}};
  char directory[] = "/tmp/lmn_cpu_XXXXXX", path[64];
  assert_non_null(mkdtemp(directory));
  snprintf(path, sizeof path, "%s/kernels.so", directory);
  arena *a = arena_create();
  MlirContext context = ir_context_create(&error);
  if (!context.ptr) fail_msg("%s", error.text);
  ir *m = ir_create(a, context, NULL, NULL, (entry_shape){0}, &error);
  assert_non_null(m);
  text module = {0};
  text_printf(&module, "module {\n%s  func.func @entry() {\n%s    return\n  }\n}\n",
              h->functions.data ? h->functions.data : "", h->body.data);
  if (!ir_parse(m, module.data, &error) || !ir_verify(m, &error)) fail_msg("%s\n%s", error.text, module.data);
  plan *p = m->plan = &h->plan;
  plan_entry entry = {.name = "test", .phase = -1, .arena_bytes = h->used * 4};
  entry.cache_bytes = h->space_bytes[SPACE_CACHE];
  p->network = "test", p->target = "cpu", p->cpu = cpu_name(), p->cpu_features = cpu_features();
  p->entries = &entry, p->entry_count = 1;
  m->plan = p;
  cpu_codegen *cg = cpu_codegen_create(a, p, NULL);
  if (!cpu_codegen_entry(cg, m, &entry, &error) || !cpu_codegen_finish(cg, path, &error)) fail_msg("%s", error.text);
  for (int threads = 1; threads <= 3; ++threads) harness_launch(h, p, directory, threads);
  cpu_codegen_destroy(cg);
  ir_destroy(m);
  ir_context_destroy(context);
  arena_destroy(a);
  text_free(&module);
  directory_remove(directory);
}

// |got - expected| <= tolerance * (the largest |expected| + 1e-6), everywhere.
static inline void harness_near(const char *what, const float *got, const double *expected, int64_t count,
                                double tolerance) {
  double largest = 1e-6;
  for (int64_t i = 0; i < count; ++i) largest = fmax(largest, fabs(expected[i]));
  for (int64_t i = 0; i < count; ++i)
    if (!(fabs(got[i] - expected[i]) <= tolerance * largest))
      fail_msg("%s: element %lld is %.9g, not %.9g (largest %.3g)", what, (long long)i, (double)got[i], expected[i],
               largest);
}

#endif
