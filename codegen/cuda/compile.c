// Kernels to cubins: one NVRTC program each, in as many threads as there are cores, kept in the cache under a key of
// text, architecture, options and NVRTC's version.
#include "codegen/cache.h"
#include "codegen/cuda/internal.h"
#include "codegen/cuda/nvrtc.h"
#include "codegen/process.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// Part of the cache's key: changes whenever what is below makes other code from the same text.
#define OPTIONS "c++17 ptxas-v minimal 3"

static const char prelude[] = "#ifndef INFINITY\n#define INFINITY __int_as_float(0x7f800000)\n#endif\n\n";

typedef struct unit {
  const cuda_codegen *cg;
  const nvrtc *compiler;
  cuda_kernel *kernel;
  bool want_ptx;
  text ptx;
  lmn_error error;
  bool ok, hit;
} unit;

// ---- one kernel

// The number in front of `what` in the assembler's log; 0: it says nothing of it.
static int64_t number_before(const char *log, const char *what) {
  const char *at = strstr(log, what);
  if (!at) return 0;
  while (at > log && at[-1] == ' ') --at;
  while (at > log && at[-1] >= '0' && at[-1] <= '9') --at;
  return strtoll(at, NULL, 10);
}

// The assembler's warnings about wgmma have numbers from 7500 on.
static int64_t wgmma_warnings(const char *log) {
  int64_t count = 0;
  for (const char *at = log; (at = strstr(at, "(C75")); ++at) ++count;
  return count;
}

static cuda_resources resources_of(const char *log) {
  return (cuda_resources){.registers = number_before(log, "registers"),
                          .spill_stores = number_before(log, "bytes spill stores"),
                          .spill_loads = number_before(log, "bytes spill loads"),
                          .stack = number_before(log, "bytes stack frame"),
                          .shared = number_before(log, "bytes smem"),
                          .warnings = wgmma_warnings(log)};
}

static char *log_of(const nvrtc *n, nvrtc_program *program) {
  size_t size = 0;
  char *log = n->log_size(program, &size) || !size ? NULL : memory_zero(size + 1);
  if (log && n->log(program, log)) log[0] = 0;
  return log ? log : memory_string("");
}

static bool take(unit *u, nvrtc_program *program, const char *log) {
  const nvrtc *n = u->compiler;
  size_t size = 0;
  int result = u->want_ptx ? n->ptx_size(program, &size) : n->cubin_size(program, &size);
  if (result || !size)
    return fail(&u->error, "kernel %s: NVRTC gives no code: %s", u->kernel->name, n->error_string(result));
  char *code = memory_zero(size + 1);
  result = u->want_ptx ? n->ptx(program, code) : n->cubin(program, code);
  if (result) fail(&u->error, "kernel %s: NVRTC gives no code: %s", u->kernel->name, n->error_string(result));
  else if (u->want_ptx) text_add(&u->ptx, code);
  else {
    u->kernel->cubin = code;
    u->kernel->cubin_length = size;
    u->kernel->resources = resources_of(log);
    return true;
  }
  free(code);
  return !result;
}

static bool compile_program(unit *u) {
  const nvrtc *n = u->compiler;
  nvrtc_program *program = NULL;
  text source = {0};
  text_add(&source, prelude);
  cuda_add_lines(u->kernel, true, &source);
  char architecture[64], file[160];
  snprintf(architecture, sizeof architecture, "--gpu-architecture=%s", u->cg->architecture);
  snprintf(file, sizeof file, "%s.cu", u->kernel->name);
  int result = n->create(&program, source.data, file, 0, NULL, NULL);
  text_free(&source);
  if (result) return fail(&u->error, "kernel %s: NVRTC: %s", u->kernel->name, n->error_string(result));
  const char *options[5] = {architecture, "--std=c++17", "--ptxas-options=-v"};
  int count = 3;
  if (u->cg->lines) options[count++] = "--generate-line-info";
  if (n->major >= 13) options[count++] = "--minimal"; // without declarations that no kernel of ours needs
  result = n->compile(program, count, options);
  char *log = log_of(n, program);
  bool ok = !result || fail(&u->error, "kernel %s: NVRTC %d.%d for %s: %s\n%.1500s", u->kernel->name, n->major,
                            n->minor, u->cg->architecture, n->error_string(result), log);
  ok = ok && take(u, program, log);
  free(log);
  n->destroy(&program);
  return ok;
}

// ---- the cache: the resources, then the cubin

static void entry_path(const unit *u, text *path) {
  cache_key key = CACHE_KEY_START;
  char version[32];
  snprintf(version, sizeof version, "nvrtc %d.%d", u->compiler->major, u->compiler->minor);
  cache_key_add(&key, version);
  cache_key_add(&key, OPTIONS);
  cache_key_add(&key, prelude);
  cache_key_add(&key, u->cg->architecture);
  cache_key_add(&key, u->kernel->source);
  if (u->cg->lines) cache_key_add(&key, u->kernel->what);
  cache_path(path, u->cg->cache, key, "cubin");
}

static bool read_entry(unit *u, const char *path) {
  char *data;
  size_t length, head = sizeof u->kernel->resources;
  if (!cache_read(path, &data, &length)) return false;
  bool ok = length > head;
  if (ok) {
    memcpy(&u->kernel->resources, data, head);
    u->kernel->cubin = memory_copy(data + head, length - head);
    u->kernel->cubin_length = length - head;
  }
  free(data);
  return ok;
}

static void write_entry(const unit *u, const char *path) {
  text entry = {0};
  text_add_bytes(&entry, &u->kernel->resources, sizeof u->kernel->resources);
  text_add_bytes(&entry, u->kernel->cubin, u->kernel->cubin_length);
  cache_write(u->cg->cache, path, entry.data, entry.length);
  text_free(&entry);
}

static void compile_unit(unit *u) {
  text path = {0};
  if (u->cg->cache && !u->want_ptx) entry_path(u, &path);
  u->hit = path.data && read_entry(u, path.data);
  u->ok = u->hit || compile_program(u);
  if (u->ok && !u->hit && path.data) write_entry(u, path.data);
  text_free(&path);
}

// ---- all of them, side by side

typedef struct queue {
  unit **units; // the longest texts first: one that takes long must not begin last
  int count, next;
} queue;

static void *work(void *user) {
  queue *q = user;
  for (int u; (u = __atomic_fetch_add(&q->next, 1, __ATOMIC_RELAXED)) < q->count;) compile_unit(q->units[u]);
  return NULL;
}

static int longer_first(const void *a, const void *b) {
  const unit *x = *(unit *const *)a, *y = *(unit *const *)b;
  const size_t length[] = {strlen(x->kernel->source), strlen(y->kernel->source)};
  return length[0] != length[1] ? (length[0] < length[1] ? 1 : -1) : (x > y) - (x < y);
}

// Of every kernel a unit, done; free_units.
static unit *compile_units(cuda_codegen *cg, bool want_ptx, lmn_error *error) {
  const nvrtc *compiler = nvrtc_open(error);
  if (!compiler) return NULL;
  unit *units = memory_zero((size_t)(cg->kernel_count + 1) * sizeof *units);
  queue q = {memory_zero((size_t)(cg->kernel_count + 1) * sizeof(unit *)), cg->kernel_count, 0};
  for (int i = 0; i < cg->kernel_count; ++i) {
    units[i] = (unit){.cg = cg, .compiler = compiler, .kernel = &cg->kernels[i], .want_ptx = want_ptx};
    q.units[i] = &units[i];
  }
  qsort(q.units, (size_t)q.count, sizeof(unit *), longer_first);
  process_side_by_side(q.count, work, &q);
  free(q.units);
  return units;
}

static void free_units(unit *units, int count) {
  for (int i = 0; i < count; ++i) text_free(&units[i].ptx);
  free(units);
}

static bool all_done(const unit *units, int count, lmn_error *error) {
  for (int i = 0; i < count; ++i)
    if (!units[i].ok) return fail(error, "%s", units[i].error.text);
  return true;
}

bool cuda_codegen_compile(cuda_codegen *cg, lmn_error *error) {
  double began = clock_seconds();
  unit *units = compile_units(cg, false, error);
  if (!units) return false;
  bool ok = all_done(units, cg->kernel_count, error), hit = true;
  for (int i = 0; i < cg->kernel_count; ++i) hit &= units[i].hit;
  timings_add(cg->timings, "back end", hit ? "found in the cache" : "NVRTC", began);
  free_units(units, cg->kernel_count);
  return ok;
}

bool cuda_codegen_finish(cuda_codegen *cg, const char *folder, lmn_error *error) {
  text path = {0};
  text_printf(&path, "%s/kernels", folder);
  bool ok = cuda_codegen_compile(cg, error) && directory_make(path.data, error);
  double began = clock_seconds();
  for (int i = 0; ok && i < cg->kernel_count; ++i) {
    path.length = 0;
    text_printf(&path, "%s/kernels/%s.cubin", folder, cg->kernels[i].name);
    ok = file_write(path.data, cg->kernels[i].cubin, cg->kernels[i].cubin_length, error);
  }
  timings_add(cg->timings, "writing", "cubins", began);
  text_free(&path);
  return ok;
}

// ---- levels as text

void cuda_print_source(const cuda_codegen *cg, text *out) {
  for (int i = 0; i < cg->kernel_count; ++i) {
    text_printf(out, "// ---- %s\n%s%s", cg->kernels[i].name, cg->kernels[i].comment, prelude);
    cuda_add_lines(&cg->kernels[i], false, out);
    text_add(out, "\n");
  }
}

bool cuda_print_ptx(cuda_codegen *cg, text *out, lmn_error *error) {
  unit *units = compile_units(cg, true, error);
  if (!units) return false;
  bool ok = all_done(units, cg->kernel_count, error);
  for (int i = 0; ok && i < cg->kernel_count; ++i)
    text_printf(out, "// ---- %s\n%s%s\n", units[i].kernel->name, units[i].kernel->comment, units[i].ptx.data);
  free_units(units, cg->kernel_count);
  return ok;
}

static bool disassemble(const cuda_kernel *k, const char *cubin, text *out, lmn_error *error) {
  static const char *const programs[] = {"nvdisasm", "cuobjdump", "/usr/local/cuda/bin/nvdisasm",
                                         "/usr/local/cuda/bin/cuobjdump"};
  if (!file_write(cubin, k->cubin, k->cubin_length, error)) return false;
  for (size_t i = 0; i < LENGTH(programs); ++i) {
    bool dump = strstr(programs[i], "cuobjdump") != NULL;
    char *command[] = {(char *)programs[i], (char *)(dump ? "-sass" : "-c"), (char *)cubin, NULL};
    text output = {0};
    int status = process_run(command, 1, &output);
    bool started = status != -1 && status != 127;
    if (started && !status) text_printf(out, "// ---- %s\n%s%s\n", k->name, k->comment, output.data ? output.data : "");
    if (started && status) fail(error, "%s could not read the kernel %s", programs[i], k->name);
    text_free(&output);
    if (started) return !status;
  }
  return fail(error, "--emit=sass needs nvdisasm or cuobjdump of the CUDA toolkit, and neither is there; "
                     "--emit=ptx needs no program");
}

bool cuda_print_sass(cuda_codegen *cg, text *out, lmn_error *error) {
  if (!cuda_codegen_compile(cg, error)) return false;
  const char *folder = getenv("TMPDIR");
  char cubin[4096];
  snprintf(cubin, sizeof cubin, "%s/lmnc-%d.cubin", folder && *folder ? folder : "/tmp", (int)getpid());
  temporary_add(cubin);
  bool ok = true;
  for (int i = 0; ok && i < cg->kernel_count; ++i) ok = disassemble(&cg->kernels[i], cubin, out, error);
  unlink(cubin);
  temporary_drop(cubin);
  return ok;
}
