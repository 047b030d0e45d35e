// links: codegen
// Kernels to kernels.so: the cache of libraries and of objects (hit, miss, damaged, unusable), two processes at once,
// many kernels, wrong kernels.
#include "codegen/cpu/cpu.h"

#include <dirent.h>
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static char directory[] = "/tmp/lmn_compile_XXXXXX";

static const char *in(const char *name) {
  static char paths[4][256];
  static int next;
  char *path = paths[next++ % 4];
  snprintf(path, sizeof paths[0], "%s/%s", directory, name);
  return path;
}

// y[i] = x[i] * factor for tasks i
static void add_scale(cpu_codegen *cg, const char *name, double factor) {
  text t = {0};
  text_printf(&t,
              "func.func @%s(%%args: !llvm.ptr, %%dims: !llvm.ptr, %%begin: i64, %%end: i64, %%scratch: !llvm.ptr) {\n"
              "  %%one = arith.constant 1 : i64\n  %%f = arith.constant %.6f : f32\n"
              "  %%x = llvm.load %%args : !llvm.ptr -> !llvm.ptr\n"
              "  %%p = llvm.getelementptr %%args[1] : (!llvm.ptr) -> !llvm.ptr, !llvm.ptr\n  %%y = llvm.load %%p : "
              "!llvm.ptr -> !llvm.ptr\n"
              "  scf.for %%i = %%begin to %%end step %%one : i64 {\n"
              "    %%from = llvm.getelementptr %%x[%%i] : (!llvm.ptr, i64) -> !llvm.ptr, f32\n"
              "    %%to = llvm.getelementptr %%y[%%i] : (!llvm.ptr, i64) -> !llvm.ptr, f32\n    %%v = llvm.load %%from "
              ": !llvm.ptr -> f32\n"
              "    %%w = arith.mulf %%v, %%f : f32\n    llvm.store %%w, %%to : f32, !llvm.ptr\n  }\n  return\n}\n",
              name, factor);
  cpu_add_kernel(cg, name, t.data);
  text_free(&t);
}

static bool compile(const char *cache, const char *path, int kernels, double factor, lmn_error *error) {
  arena *a = arena_create();
  plan p = {0};
  cpu_codegen *cg = cpu_codegen_create(a, &p, cache);
  for (int i = 0; i < kernels; ++i) {
    char name[32];
    snprintf(name, sizeof name, "scale%d", i);
    add_scale(cg, name, factor + i);
  }
  bool ok = cpu_codegen_finish(cg, path, error);
  cpu_codegen_destroy(cg);
  arena_destroy(a);
  return ok;
}

static void check_scale(const char *path, const char *name, float factor) {
  void *library = dlopen(path, RTLD_NOW);
  if (!library) fail_msg("%s", dlerror());
  kernel_function *function;
  *(void **)&function = dlsym(library, name);
  assert_non_null(function);
  float x[100], y[100];
  for (int i = 0; i < 100; ++i) x[i] = (float)i, y[i] = -1;
  function((void *const[]){x, y}, NULL, 3, 97, NULL);
  for (int i = 0; i < 100; ++i) assert_true(y[i] == (i >= 3 && i < 97 ? (float)i * factor : -1));
  dlclose(library);
}

// Files whose names end so; `name`: one of them.
static int file_count(const char *folder, const char *ending, char name[600]) {
  DIR *d = opendir(folder);
  int count = 0;
  for (struct dirent *entry; d && (entry = readdir(d));) {
    size_t length = strlen(entry->d_name), end = strlen(ending);
    if (entry->d_name[0] == '.' || length < end || strcmp(entry->d_name + length - end, ending)) continue;
    ++count;
    if (name) snprintf(name, 600, "%s/%s", folder, entry->d_name);
  }
  if (d) closedir(d);
  return count;
}

static void check_cache(const char *cache, int libraries, int objects) {
  assert_int_equal(file_count(cache, ".so", NULL), libraries);
  assert_int_equal(file_count(cache, ".o", NULL), objects);
  assert_int_equal(file_count(cache, "", NULL), libraries + objects); // no temporary files left
}

static void test_cache(void **state) {
  (void)state;
  lmn_error error = {{0}};
  const char *cache = in("cache/inner"), *so = in("a.so");
  double start = clock_seconds();
  if (!compile(cache, so, 5, 2, &error)) fail_msg("%s", error.text);
  double missed = clock_seconds() - start;
  check_scale(so, "scale3", 5);
  check_cache(cache, 1, 5);
  start = clock_seconds();
  assert_true(compile(cache, so, 5, 2, &error)); // hit
  assert_true(clock_seconds() - start < missed / 2);
  check_scale(so, "scale3", 5);
  check_cache(cache, 1, 5);
  assert_true(compile(cache, so, 5, 3, &error)); // other kernels
  check_cache(cache, 2, 10);
  check_scale(so, "scale3", 6);
  assert_int_equal(file_count(directory, "", NULL), 2); // the cache and a.so: no temporary files left
}

// Libraries share the kernels that are the same, and are the same bytes as without a cache.
static void test_shared_kernels(void **state) {
  (void)state;
  lmn_error error = {{0}};
  const char *cache = in("kernels"), *alone = in("alone.so"), *shared = in("shared.so");
  assert_true(compile(cache, shared, 5, 2, &error));
  assert_true(compile(cache, shared, 7, 2, &error));
  check_cache(cache, 2, 7);
  for (int i = 0; i < 7; ++i) {
    char name[32];
    snprintf(name, sizeof name, "scale%d", i);
    check_scale(shared, name, (float)(2 + i));
  }
  assert_true(compile(NULL, alone, 7, 2, &error));
  char *a, *b;
  size_t m, n;
  assert_true(file_read(shared, 1 << 20, &a, &m, &error) && file_read(alone, 1 << 20, &b, &n, &error));
  assert_int_equal(m, n);
  assert_memory_equal(a, b, n);
  free(a);
  free(b);
}

// A truncated or changed entry, a library or an object, is made anew.
static void test_damaged_cache(void **state) {
  (void)state;
  lmn_error error = {{0}};
  const char *cache = in("damaged"), *so = in("b.so");
  char library[600], entry[600];
  for (int object = 0; object < 2; ++object) {
    assert_true(compile(cache, so, 1, 2, &error));
    check_cache(cache, 1, 1);
    file_count(cache, ".so", library);
    file_count(cache, object ? ".o" : ".so", entry);
    char *data;
    size_t length;
    assert_true(file_read(entry, 1 << 20, &data, &length, &error));
    for (int round = 0; round < 3; ++round) {
      if (round == 2) data[length / 2] ^= 1;
      assert_true(file_write(entry, data, round == 0 ? length / 2 : round == 1 ? 0 : length, &error));
      if (object) assert_int_equal(unlink(library), 0);
      assert_true(compile(cache, so, 1, 2, &error));
      check_scale(so, "scale0", 2);
      if (round == 2) data[length / 2] ^= 1;
      char *again;
      size_t size;
      assert_true(file_read(entry, 1 << 20, &again, &size, &error));
      assert_int_equal(size, length);
      assert_memory_equal(again, data, length);
      free(again);
    }
    free(data);
  }
}

// A cache that cannot be used costs nothing but time; an artifact that cannot be written is an error.
static void test_unusable_folders(void **state) {
  (void)state;
  lmn_error error = {{0}};
  assert_true(file_write(in("file"), "x", 1, &error));
  const char *so = in("c.so");
  assert_true(compile(in("file/cache"), so, 1, 4, &error));
  check_scale(so, "scale0", 4);
  assert_true(compile("/proc/nowhere", so, 1, 5, &error));
  check_scale(so, "scale0", 5);
  assert_false(compile(NULL, in("missing/d.so"), 1, 4, &error));
  assert_non_null(strstr(error.text, "missing/d.so"));
}

static void test_two_processes(void **state) {
  (void)state;
  const char *cache = in("shared");
  pid_t children[4];
  for (int i = 0; i < 4; ++i) {
    children[i] = fork();
    if (!children[i]) {
      lmn_error error = {{0}};
      char path[256];
      snprintf(path, sizeof path, "%s/e%d.so", directory, i / 2); // also two writers of one file
      _exit(compile(cache, path, 3, 7, &error) ? 0 : 1);
    }
  }
  for (int i = 0; i < 4; ++i) {
    int status = -1;
    waitpid(children[i], &status, 0);
    assert_int_equal(status, 0);
  }
  check_scale(in("e0.so"), "scale2", 9);
  check_scale(in("e1.so"), "scale2", 9);
  check_cache(cache, 1, 3);
}

static void test_many_kernels(void **state) {
  (void)state;
  lmn_error error = {{0}};
  const char *so = in("many.so");
  if (!compile(NULL, so, 60, 1, &error)) fail_msg("%s", error.text);
  check_scale(so, "scale0", 1);
  check_scale(so, "scale31", 32);
  check_scale(so, "scale59", 60);
  assert_true(compile(NULL, in("none.so"), 0, 1, &error)); // no kernels: an empty library
  void *library = dlopen(in("none.so"), RTLD_NOW);
  assert_non_null(library);
  dlclose(library);
}

static void test_wrong_kernels(void **state) {
  (void)state;
  static const char *const wrong[] = {"func.func @k( {", "func.func @k() { %x = arith.addf %y, %y : f32\n return }",
                                      "func.func @k() { \"unknown.op\"() : () -> ()\n return }",
                                      "func.func @k() { func.call @nowhere() : () -> ()\n return }"};
  for (size_t i = 0; i < LENGTH(wrong); ++i) {
    arena *a = arena_create();
    plan p = {0};
    lmn_error error = {{0}};
    cpu_codegen *cg = cpu_codegen_create(a, &p, NULL);
    cpu_add_kernel(cg, "k", wrong[i]);
    assert_false(cpu_codegen_finish(cg, in("wrong.so"), &error));
    assert_true(strlen(error.text) > 10);
    assert_false(file_exists(in("wrong.so")));
    text llvm = {0};
    assert_false(cpu_print_llvm(cg, &llvm, &error));
    text_free(&llvm);
    cpu_codegen_destroy(cg);
    arena_destroy(a);
  }
}

static void test_print(void **state) {
  (void)state;
  arena *a = arena_create();
  plan p = {0};
  lmn_error error = {{0}};
  cpu_codegen *cg = cpu_codegen_create(a, &p, NULL);
  add_scale(cg, "scale", 2);
  add_scale(cg, "scale", 3); // the same name: kept as it was
  text mlir = {0}, llvm = {0};
  cpu_print_mlir(cg, &mlir);
  assert_non_null(strstr(mlir.data, "func.func @scale("));
  assert_null(strstr(mlir.data, "3.000000"));
  assert_true(cpu_print_llvm(cg, &llvm, &error));
  assert_non_null(strstr(llvm.data, "define void @scale("));
  assert_true(strlen(cpu_name()) > 0 && strlen(cpu_features()) > 0);
  text_free(&mlir);
  text_free(&llvm);
  cpu_codegen_destroy(cg);
  arena_destroy(a);
}

static int make_directory(void **state) {
  (void)state;
  return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state) {
  (void)state;
  return directory_remove(directory) ? 0 : -1;
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_cache),         cmocka_unit_test(test_shared_kernels),
                                     cmocka_unit_test(test_damaged_cache), cmocka_unit_test(test_unusable_folders),
                                     cmocka_unit_test(test_two_processes), cmocka_unit_test(test_many_kernels),
                                     cmocka_unit_test(test_wrong_kernels), cmocka_unit_test(test_print)};
  return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
