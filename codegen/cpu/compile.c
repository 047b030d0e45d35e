// Kernels to a shared object: each becomes a module of its own with the bodies that it calls, the modules objects, side
// by side, and these one library. Objects are cached, so that networks share the kernels that they have in common; so
// is the library, under a key that needs no LLVM run: a second compilation of the same kernels costs milliseconds.
#include "codegen/cpu/module.h"
#include "codegen/process.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// ---- modules

typedef struct unit {
  const char *cache; // NULL: none
  text mlir, object;
  bool print; // LLVM IR as text is the object
  lmn_error error;
  bool ok;
} unit;

static int by_length(const void *a, const void *b) {
  const cpu_function *x = a, *y = b;
  size_t n = strlen(x->mlir), m = strlen(y->mlir);
  return n != m ? (n < m) - (n > m) : strcmp(x->name, y->name);
}

// Marks the bodies that a function calls, and those that they call.
static void mark_called(const cpu_codegen *cg, const char *mlir, bool *called) {
  static const char of_names[] = "_$.-abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
  for (const char *at = mlir; (at = strchr(at, '@'));) {
    const char *name = ++at; // whatever it is called: the text may be a user's
    size_t length = strspn(name, of_names);
    for (int i = 0; i < cg->body_count; ++i) {
      if (called[i] || strncmp(cg->bodies[i].name, name, length) || cg->bodies[i].name[length]) continue;
      called[i] = true;
      mark_called(cg, cg->bodies[i].mlir, called);
    }
  }
}

static void write_module(const cpu_codegen *cg, const cpu_function *kernel, bool *called, text *mlir) {
  memset(called, 0, (size_t)cg->body_count * sizeof *called);
  mark_called(cg, kernel->mlir, called);
  text_add(mlir, "module {\n");
  for (int i = 0; i < cg->body_count; ++i)
    if (called[i]) text_printf(mlir, "%s\n", cg->bodies[i].mlir);
  text_printf(mlir, "%s\n}\n", kernel->mlir);
}

// A unit a kernel, the longest first, as what is begun last should not take long; without kernels an empty one.
static unit *units_of(const cpu_codegen *cg, int *count) {
  static const cpu_function none = {.mlir = ""};
  *count = cg->kernel_count ? cg->kernel_count : 1;
  unit *units = memory_zero((size_t)*count * sizeof *units);
  cpu_function *sorted = memory_copy(cg->kernel_count ? cg->kernels : &none, (size_t)*count * sizeof *sorted);
  bool *called = memory_alloc((size_t)(cg->body_count + 1) * sizeof *called);
  qsort(sorted, (size_t)*count, sizeof *sorted, by_length);
  for (int u = 0; u < *count; ++u) {
    units[u].cache = cg->cache;
    write_module(cg, &sorted[u], called, &units[u].mlir);
  }
  free(called);
  free(sorted);
  return units;
}

static void free_units(unit *units, int count) {
  for (int u = 0; u < count; ++u) {
    text_free(&units[u].mlir);
    text_free(&units[u].object);
  }
  free(units);
}

// ---- side by side

static void compile_unit(unit *u, cpu_compiler *compiler) {
  text entry = {0};
  if (u->cache) {
    cache_key key = CACHE_KEY_START;
    cpu_key_add(&key);
    cache_key_add(&key, u->mlir.data);
    cache_path(&entry, u->cache, key, "o");
  }
  char *data;
  size_t length;
  if (entry.data && cache_read(entry.data, &data, &length)) {
    text_add_bytes(&u->object, data, length);
    free(data);
    u->ok = true;
  } else {
    u->ok = cpu_module_compile(compiler, &u->mlir, u->print, &u->object, &u->error);
    if (u->ok && entry.data) cache_write(u->cache, entry.data, u->object.data, u->object.length);
  }
  text_free(&entry);
}

typedef struct queue {
  unit *units;
  int count, next;
  timings *timings;
  pthread_mutex_t lock; // of the timings
} queue;

static void *compile_queue(void *user) {
  queue *q = user;
  cpu_compiler compiler = {0};
  for (int u; (u = __atomic_fetch_add(&q->next, 1, __ATOMIC_RELAXED)) < q->count;)
    compile_unit(&q->units[u], &compiler);
  pthread_mutex_lock(&q->lock);
  timings_put(q->timings, "LLVM's threads", "MLIR to LLVM IR", compiler.lowering);
  timings_put(q->timings, "LLVM's threads", "optimisation", compiler.optimising);
  timings_put(q->timings, "LLVM's threads", "machine code", compiler.emitting);
  pthread_mutex_unlock(&q->lock);
  cpu_compiler_close(&compiler);
  return NULL;
}

// The units do not depend on the number of threads, nor does the result.
static bool compile_units(unit *units, int count, timings *t, lmn_error *error) {
  queue q = {.units = units, .count = count, .timings = t, .lock = PTHREAD_MUTEX_INITIALIZER};
  process_side_by_side(count, compile_queue, &q);
  for (int u = 0; u < count; ++u)
    if (!units[u].ok) return fail(error, "%s", units[u].error.text);
  return true;
}

// ---- linking

// What is changed here changes OPTIONS of module.c too.
static bool link_objects(char *const *objects, int count, const char *shared, lmn_error *error) {
  static const char *const linkers[] = {"cc", "ld.lld", "ld.lld-22", "ld", "clang"};
  char **command = memory_alloc((size_t)(count + 6) * sizeof *command);
  int status = 127;
  for (size_t i = 0; status == 127 && i < LENGTH(linkers); ++i) {
    int n = 0;
    command[n++] = (char *)linkers[i];
    command[n++] = "-shared";
    if (linkers[i][0] == 'c') command[n++] = "-nostdlib";
    command[n++] = "-o";
    command[n++] = (char *)shared;
    for (int o = 0; o < count; ++o) command[n++] = objects[o];
    command[n] = NULL;
    text output = {0};
    status = process_run(command, 2, &output);
    if (status == -1) status = 127; // not started
    if (status && status != 127)
      fail(error, "%s: %s could not link the kernels: %s", shared, linkers[i], output.data ? output.data : "");
    text_free(&output);
  }
  free(command);
  if (status == 127) fail(error, "%s: no linker was found to make it; install gcc, lld or binutils", shared);
  return !status;
}

static bool write_object(const char *path, const text *object, lmn_error *error) {
  FILE *file = fopen(path, "wb");
  bool ok = file && fwrite(object->data, 1, object->length, file) == object->length;
  if (file && fclose(file)) ok = false;
  return ok || fail_write(error, path, errno);
}

// The objects of the units, linked beside `path` under temporary names; the result's bytes.
static bool link_units(const unit *units, int count, const char *path, char **data, size_t *length, lmn_error *error) {
  static int serial;
  int own = __atomic_fetch_add(&serial, 1, __ATOMIC_RELAXED);
  char **objects = memory_alloc((size_t)count * sizeof *objects);
  text shared = {0};
  text_printf(&shared, "%s.tmp.%d.%d", path, (int)getpid(), own);
  bool ok = true;
  for (int u = 0; u < count; ++u) {
    text name = {0};
    text_printf(&name, "%s.%d.o", shared.data, u);
    objects[u] = name.data;
    ok = ok && write_object(objects[u], &units[u].object, error);
  }
  ok = ok && link_objects(objects, count, shared.data, error) &&
       file_read(shared.data, (size_t)1 << 31, data, length, error);
  for (int u = 0; u < count; ++u) {
    unlink(objects[u]);
    free(objects[u]);
  }
  free(objects);
  unlink(shared.data);
  text_free(&shared);
  return ok;
}

// ---- all of it

static void library_path(const cpu_codegen *cg, text *path) {
  cache_key key = CACHE_KEY_START;
  cpu_key_add(&key);
  for (int i = 0; i < cg->body_count; ++i) cache_key_add(&key, cg->bodies[i].mlir);
  for (int i = 0; i < cg->kernel_count; ++i) cache_key_add(&key, cg->kernels[i].mlir);
  cache_path(path, cg->cache, key, "so");
}

static bool compile_kernels(const cpu_codegen *cg, const char *path, char **data, size_t *length, lmn_error *error) {
  int count;
  unit *units = units_of(cg, &count);
  double began = clock_seconds();
  bool ok = compile_units(units, count, cg->timings, error);
  began = timings_add(cg->timings, "back end", "LLVM", began);
  ok = ok && link_units(units, count, path, data, length, error);
  timings_add(cg->timings, "back end", "link", began);
  free_units(units, count);
  return ok;
}

bool cpu_codegen_finish(cpu_codegen *cg, const char *path, lmn_error *error) {
  text entry = {0};
  double began = clock_seconds();
  if (cg->cache) library_path(cg, &entry);
  char *data = NULL;
  size_t length = 0;
  bool hit = entry.data && cache_read(entry.data, &data, &length);
  if (entry.data) timings_add(cg->timings, "back end", hit ? "found in the cache" : "not in the cache", began);
  bool ok = hit || compile_kernels(cg, path, &data, &length, error);
  began = clock_seconds();
  ok = ok && file_write(path, data, length, error);
  if (ok && !hit && entry.data) cache_write(cg->cache, entry.data, data, length);
  timings_add(cg->timings, "writing", "kernels.so", began);
  free(data);
  text_free(&entry);
  return ok;
}

bool cpu_print_llvm(cpu_codegen *cg, text *out, lmn_error *error) {
  unit *all = memory_zero(sizeof *all);
  all->print = true;
  cpu_print_mlir(cg, &all->mlir);
  bool ok = compile_units(all, 1, NULL, error);
  if (ok) text_add(out, all->object.data);
  free_units(all, 1);
  return ok;
}
