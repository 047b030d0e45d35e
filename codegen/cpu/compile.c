// Kernels to a shared object: MLIR text, the LLVM dialect, LLVM IR, O3 for this CPU, an object each of a few modules
// compiled side by side, one link. The result is cached under a key that needs no LLVM run: a second compilation of the
// same kernels costs milliseconds.
#include "codegen/cache.h"
#include "codegen/cpu/internal.h"
#include "codegen/process.h"

#include "llvm-c/Analysis.h"
#include "llvm-c/Core.h"
#include "llvm-c/Target.h"
#include "llvm-c/TargetMachine.h"
#include "llvm-c/Transforms/PassBuilder.h"
#include "mlir-c/Diagnostics.h"
#include "mlir-c/Dialect/LLVM.h"
#include "mlir-c/Pass.h"
#include "mlir-c/RegisterEverything.h"
#include "mlir-c/Target/LLVMIR.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// Part of the cache's key: changes whenever what is below makes other code from the same text.
#define OPTIONS "O3 prefer-vector-width=512 3"

static const char pipeline[] =
    "symbol-dce,canonicalize,cse,func.func(convert-vector-to-scf),convert-scf-to-cf,"
    "convert-vector-to-llvm{reassociate-fp-reductions=true},convert-math-to-llvm,convert-math-to-libm,"
    "convert-arith-to-llvm,convert-index-to-llvm,convert-cf-to-llvm,convert-func-to-llvm,convert-ub-to-llvm,"
    "reconcile-unrealized-casts";

static MlirStringRef ref(const char *string) { return mlirStringRefCreateFromCString(string); }
static void append(MlirStringRef part, void *to) { text_add_bytes(to, part.data, part.length); }

// ---- this CPU

static char *host_name, *host_features;
static pthread_once_t host_once = PTHREAD_ONCE_INIT, llvm_once = PTHREAD_ONCE_INIT;

static void ask_host(void) {
  host_name = LLVMGetHostCPUName();
  host_features = LLVMGetHostCPUFeatures();
}

const char *cpu_name(void) {
  pthread_once(&host_once, ask_host);
  return host_name;
}

const char *cpu_features(void) {
  pthread_once(&host_once, ask_host);
  return host_features;
}

static void start_llvm(void) {
  LLVMInitializeNativeTarget();
  LLVMInitializeNativeAsmPrinter();
  mlirRegisterAllPasses();
}

// ---- one module

typedef struct compilation_unit {
  text mlir;
  bool print; // LLVM IR to `printed` in place of an object
  text printed;
  LLVMMemoryBufferRef object;
  lmn_error error;
  bool ok;
  double lowering, optimising, emitting; // seconds
} compilation_unit;

static MlirLogicalResult on_diagnostic(MlirDiagnostic diagnostic, void *user) {
  if (mlirDiagnosticGetSeverity(diagnostic) != MlirDiagnosticError) return mlirLogicalResultSuccess();
  text message = {0};
  if (ir_place_print(mlirDiagnosticGetLocation(diagnostic), &message)) text_add(&message, ": ");
  mlirDiagnosticPrint(diagnostic, append, &message);
  fail(user, "%s", message.data);
  text_free(&message);
  return mlirLogicalResultSuccess();
}

MlirContext cpu_context_create(lmn_error *error) {
  MlirContext context = mlirContextCreateWithThreading(false);
  MlirDialectRegistry registry = mlirDialectRegistryCreate();
  mlirRegisterAllDialects(registry);
  mlirContextAppendDialectRegistry(context, registry);
  mlirDialectRegistryDestroy(registry);
  mlirRegisterAllLLVMTranslations(context);
  mlirContextAttachDiagnosticHandler(context, on_diagnostic, error, NULL);
  return context;
}

static bool run_pipeline(MlirContext context, MlirModule module, lmn_error *error) {
  MlirPassManager manager = mlirPassManagerCreate(context);
  mlirPassManagerEnableVerifier(manager, false);
  text message = {0};
  bool ok = mlirLogicalResultIsSuccess(
      mlirOpPassManagerAddPipeline(mlirPassManagerGetAsOpPassManager(manager), ref(pipeline), append, &message));
  if (!ok) fail(error, "the pass pipeline is refused: %s", message.data ? message.data : "");
  ok = ok && mlirLogicalResultIsSuccess(mlirPassManagerRunOnOp(manager, mlirModuleGetOperation(module)));
  if (!ok) fail(error, "lowering to the LLVM dialect failed");
  text_free(&message);
  mlirPassManagerDestroy(manager);
  return ok;
}

// Private functions become internal, so that LLVM inlines them and drops what is left.
static void hide_private(MlirContext context, MlirModule module) {
  MlirAttribute internal = mlirLLVMLinkageAttrGet(context, MlirLLVMLinkageInternal);
  for (MlirOperation op = mlirBlockGetFirstOperation(mlirModuleGetBody(module)); !mlirOperationIsNull(op);
       op = mlirOperationGetNextInBlock(op)) {
    MlirAttribute visibility = mlirOperationGetAttributeByName(op, ref("sym_visibility"));
    if (mlirAttributeIsNull(visibility) || !mlirStringRefEqual(mlirStringAttrGetValue(visibility), ref("private")))
      continue;
    bool declaration = mlirRegionIsNull(mlirOperationGetFirstRegion(op)) ||
                       mlirBlockIsNull(mlirRegionGetFirstBlock(mlirOperationGetFirstRegion(op)));
    if (!declaration) mlirOperationSetAttributeByName(op, ref("linkage"), internal);
  }
}

static LLVMModuleRef to_llvm(const text *mlir, LLVMContextRef llvm, lmn_error *error) {
  MlirContext context = cpu_context_create(error);
  LLVMModuleRef result = NULL;
  MlirModule module = mlirModuleCreateParse(context, mlirStringRefCreate(mlir->data, mlir->length));
  bool ok = !mlirModuleIsNull(module) || fail(error, "the kernels' MLIR does not parse");
  ok = ok && cpu_math_replace(context, module, error) && run_pipeline(context, module, error);
  if (ok) {
    hide_private(context, module);
    result = mlirTranslateModuleToLLVMIR(mlirModuleGetOperation(module), llvm);
    if (!result) fail(error, "the kernels could not be translated to LLVM IR");
  }
  if (!mlirModuleIsNull(module)) mlirModuleDestroy(module);
  mlirContextDestroy(context);
  return result;
}

static void set_attribute(LLVMContextRef llvm, LLVMValueRef function, const char *name) {
  unsigned kind = LLVMGetEnumAttributeKindForName(name, strlen(name));
  LLVMAddAttributeAtIndex(function, LLVMAttributeFunctionIndex, LLVMCreateEnumAttribute(llvm, kind, 0));
}

static bool starts_with(const char *string, const char *prefix) { return !strncmp(string, prefix, strlen(prefix)); }

static void set_attributes(LLVMContextRef llvm, LLVMModuleRef module) {
  for (LLVMValueRef f = LLVMGetFirstFunction(module); f; f = LLVMGetNextFunction(f)) {
    if (LLVMIsDeclaration(f)) continue;
    size_t length;
    const char *name = LLVMGetValueName2(f, &length);
    set_attribute(llvm, f, "nounwind");
    LLVMAddTargetDependentFunctionAttr(f, "prefer-vector-width", "512");
    if (starts_with(name, CPU_BODY_PREFIX) || starts_with(name, CPU_MATH_PREFIX))
      set_attribute(llvm, f, "alwaysinline");
  }
}

static LLVMTargetMachineRef create_target(lmn_error *error) {
  char *triple = LLVMGetDefaultTargetTriple(), *message = NULL;
  LLVMTargetRef target;
  LLVMTargetMachineRef machine = NULL;
  if (LLVMGetTargetFromTriple(triple, &target, &message)) {
    fail(error, "LLVM has no target for this machine: %s", message);
    LLVMDisposeMessage(message);
  } else {
    machine = LLVMCreateTargetMachine(target, triple, cpu_name(), cpu_features(), LLVMCodeGenLevelAggressive,
                                      LLVMRelocPIC, LLVMCodeModelDefault);
    if (!machine) fail(error, "LLVM cannot make code for %s", cpu_name());
  }
  LLVMDisposeMessage(triple);
  return machine;
}

static bool optimise(LLVMModuleRef module, LLVMTargetMachineRef machine, lmn_error *error) {
  LLVMPassBuilderOptionsRef options = LLVMCreatePassBuilderOptions();
  LLVMPassBuilderOptionsSetLoopVectorization(options, 1);
  LLVMPassBuilderOptionsSetLoopInterleaving(options, 1);
  LLVMPassBuilderOptionsSetSLPVectorization(options, 1);
  LLVMPassBuilderOptionsSetLoopUnrolling(options, 1);
  LLVMErrorRef problem = LLVMRunPasses(module, "default<O3>", machine, options);
  LLVMDisposePassBuilderOptions(options);
  if (!problem) return true;
  char *message = LLVMGetErrorMessage(problem);
  fail(error, "LLVM's optimiser failed: %s", message);
  LLVMDisposeErrorMessage(message);
  return false;
}

static bool make_code(compilation_unit *u, LLVMModuleRef module, LLVMContextRef llvm, LLVMTargetMachineRef machine) {
  char *triple = LLVMGetTargetMachineTriple(machine), *message = NULL;
  LLVMSetTarget(module, triple);
  LLVMDisposeMessage(triple);
  LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(machine);
  LLVMSetModuleDataLayout(module, layout);
  LLVMDisposeTargetData(layout);
  set_attributes(llvm, module);
  bool invalid = LLVMVerifyModule(module, LLVMReturnStatusAction, &message);
  if (invalid) fail(&u->error, "a kernel is not valid LLVM IR: %s", message);
  LLVMDisposeMessage(message);
  double began = clock_seconds();
  bool ok = !invalid && optimise(module, machine, &u->error);
  u->optimising = clock_seconds() - began;
  if (!ok) return false;
  if (u->print) {
    char *printed = LLVMPrintModuleToString(module);
    text_add(&u->printed, printed);
    LLVMDisposeMessage(printed);
    return true;
  }
  began = clock_seconds();
  bool failed = LLVMTargetMachineEmitToMemoryBuffer(machine, module, LLVMObjectFile, &message, &u->object);
  u->emitting = clock_seconds() - began;
  if (!failed) return true;
  fail(&u->error, "LLVM could not write the object: %s", message);
  LLVMDisposeMessage(message);
  return false;
}

static void compile_unit(compilation_unit *u) {
  LLVMContextRef llvm = LLVMContextCreate();
  LLVMTargetMachineRef machine = create_target(&u->error);
  double began = clock_seconds();
  LLVMModuleRef module = machine ? to_llvm(&u->mlir, llvm, &u->error) : NULL;
  u->lowering = clock_seconds() - began;
  u->ok = module && make_code(u, module, llvm, machine);
  if (module) LLVMDisposeModule(module);
  if (machine) LLVMDisposeTargetMachine(machine);
  LLVMContextDispose(llvm);
}

// ---- modules side by side

static int by_length(const void *a, const void *b) {
  const cpu_function *x = a, *y = b;
  size_t n = strlen(x->mlir), m = strlen(y->mlir);
  return n != m ? (n < m) - (n > m) : strcmp(x->name, y->name);
}

// The longest kernels first, each to the unit with the least text so far. Every unit has all bodies; those not called
// go away.
static compilation_unit *divide(const cpu_codegen *cg, int count) {
  compilation_unit *units = memory_zero((size_t)count * sizeof *units);
  cpu_function *sorted = memory_alloc((size_t)cg->kernel_count * sizeof *sorted);
  if (cg->kernel_count) memcpy(sorted, cg->kernels, (size_t)cg->kernel_count * sizeof *sorted);
  qsort(sorted, (size_t)cg->kernel_count, sizeof *sorted, by_length);
  for (int u = 0; u < count; ++u) {
    text_add(&units[u].mlir, "module {\n");
    for (int i = 0; i < cg->body_count; ++i) text_printf(&units[u].mlir, "%s\n", cg->bodies[i].mlir);
  }
  for (int i = 0; i < cg->kernel_count; ++i) {
    int least = 0;
    for (int u = 1; u < count; ++u)
      if (units[u].mlir.length < units[least].mlir.length) least = u;
    text_printf(&units[least].mlir, "%s\n", sorted[i].mlir);
  }
  for (int u = 0; u < count; ++u) text_add(&units[u].mlir, "}\n");
  free(sorted);
  return units;
}

static void free_units(compilation_unit *units, int count) {
  for (int u = 0; u < count; ++u) {
    text_free(&units[u].mlir);
    text_free(&units[u].printed);
    if (units[u].object) LLVMDisposeMemoryBuffer(units[u].object);
  }
  free(units);
}

// LLVM recurses deeply on long functions; what a thread gets by default depends on the shell's limits.
enum { STACK_BYTES = 64 << 20, KERNELS_PER_UNIT = 4, UNITS_MAX = 4 };

typedef struct unit_queue {
  compilation_unit *units;
  int count, next;
} unit_queue;

static void *compile_queue(void *user) {
  unit_queue *q = user;
  for (int u; (u = __atomic_fetch_add(&q->next, 1, __ATOMIC_RELAXED)) < q->count;) compile_unit(&q->units[u]);
  return NULL;
}

// As many threads as there are cores; the units do not depend on it, nor does the result.
static bool compile_units(compilation_unit *units, int count, lmn_error *error) {
  pthread_once(&llvm_once, start_llvm);
  pthread_once(&host_once, ask_host);
  unit_queue queue = {.units = units, .count = count};
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, STACK_BYTES);
  pthread_t threads[UNITS_MAX];
  int wanted = process_cores() < count ? process_cores() : count, started = 0;
  while (started < wanted && !pthread_create(&threads[started], &attributes, compile_queue, &queue)) ++started;
  if (!started) compile_queue(&queue);
  for (int t = 0; t < started; ++t) pthread_join(threads[t], NULL);
  pthread_attr_destroy(&attributes);
  for (int u = 0; u < count; ++u)
    if (!units[u].ok) return fail(error, "%s", units[u].error.text);
  return true;
}

// ---- linking

static bool link_objects(char *const *objects, int count, const char *shared, lmn_error *error) {
  static const char *const linkers[] = {"cc", "ld.lld", "ld.lld-22", "ld", "clang"};
  char *command[UNITS_MAX + 8];
  for (size_t i = 0; i < LENGTH(linkers); ++i) {
    int n = 0;
    command[n++] = (char *)linkers[i];
    command[n++] = "-shared";
    if (linkers[i][0] == 'c') command[n++] = "-nostdlib";
    command[n++] = "-o";
    command[n++] = (char *)shared;
    for (int o = 0; o < count; ++o) command[n++] = objects[o];
    command[n] = NULL;
    text output = {0};
    int status = process_run(command, 2, &output);
    bool started = status != -1 && status != 127;
    if (started && status)
      fail(error, "%s: %s could not link the kernels: %s", shared, linkers[i], output.data ? output.data : "");
    text_free(&output);
    if (started) return status == 0;
  }
  return fail(error, "%s: no linker was found to make it; install gcc, lld or binutils", shared);
}

static bool write_object(const char *path, LLVMMemoryBufferRef object, lmn_error *error) {
  FILE *file = fopen(path, "wb");
  size_t size = LLVMGetBufferSize(object);
  bool ok = file && fwrite(LLVMGetBufferStart(object), 1, size, file) == size;
  if (file && fclose(file)) ok = false;
  return ok || fail_write(error, path, errno);
}

// The objects of the units, linked beside `path` under temporary names; the result's bytes.
static bool link_units(compilation_unit *units, int count, const char *path, char **data, size_t *length,
                       lmn_error *error) {
  static int serial;
  int own = __atomic_fetch_add(&serial, 1, __ATOMIC_RELAXED);
  char *objects[UNITS_MAX + 1] = {0};
  text shared = {0};
  text_printf(&shared, "%s.tmp.%d.%d", path, (int)getpid(), own);
  bool ok = true;
  for (int u = 0; u < count; ++u) {
    text name = {0};
    text_printf(&name, "%s.%d.o", shared.data, u);
    objects[u] = name.data;
    ok = ok && write_object(objects[u], units[u].object, error);
  }
  ok = ok && link_objects(objects, count, shared.data, error) &&
       file_read(shared.data, (size_t)1 << 31, data, length, error);
  for (int u = 0; u < count; ++u) {
    unlink(objects[u]);
    free(objects[u]);
  }
  unlink(shared.data);
  text_free(&shared);
  return ok;
}

// ---- the cache

static cache_key key_of(const cpu_codegen *cg) {
  cache_key key = CACHE_KEY_START;
  unsigned major, minor, patch;
  LLVMGetVersion(&major, &minor, &patch);
  char version[64];
  snprintf(version, sizeof version, "%u.%u.%u", major, minor, patch);
  cache_key_add(&key, version);
  cache_key_add(&key, OPTIONS);
  cache_key_add(&key, cpu_name());
  cache_key_add(&key, cpu_features());
  cache_key_add(&key, pipeline);
  for (int i = 0; i < cg->body_count; ++i) cache_key_add(&key, cg->bodies[i].mlir);
  for (int i = 0; i < cg->kernel_count; ++i) cache_key_add(&key, cg->kernels[i].mlir);
  return key;
}

// ---- all of it

static int unit_count(const cpu_codegen *cg) {
  int count = (cg->kernel_count + KERNELS_PER_UNIT - 1) / KERNELS_PER_UNIT;
  return count < 1 ? 1 : count < UNITS_MAX ? count : UNITS_MAX;
}

static bool compile_kernels(const cpu_codegen *cg, const char *path, char **data, size_t *length, lmn_error *error) {
  int count = unit_count(cg);
  compilation_unit *units = divide(cg, count);
  double began = clock_seconds();
  bool ok = compile_units(units, count, error);
  began = timings_add(cg->timings, "back end", "LLVM", began);
  for (int u = 0; u < count; ++u) {
    timings_put(cg->timings, "LLVM's threads", "MLIR to LLVM IR", units[u].lowering);
    timings_put(cg->timings, "LLVM's threads", "optimisation", units[u].optimising);
    timings_put(cg->timings, "LLVM's threads", "machine code", units[u].emitting);
  }
  ok = ok && link_units(units, count, path, data, length, error);
  timings_add(cg->timings, "back end", "link", began);
  free_units(units, count);
  return ok;
}

bool cpu_codegen_finish(cpu_codegen *cg, const char *path, lmn_error *error) {
  text entry = {0};
  double began = clock_seconds();
  if (cg->cache) {
    cache_path(&entry, cg->cache, key_of(cg), "so");
  }
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
  compilation_unit *unit = divide(cg, 1);
  unit->print = true;
  bool ok = compile_units(unit, 1, error);
  if (ok) text_add(out, unit->printed.data);
  free_units(unit, 1);
  return ok;
}
