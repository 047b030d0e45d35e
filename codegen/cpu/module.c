// One module of kernels: MLIR text, the LLVM dialect, LLVM IR, O3 for this CPU, an object.
#include "codegen/cpu/module.h"

#include "llvm-c/Analysis.h"
#include "llvm-c/Core.h"
#include "llvm-c/Target.h"
#include "llvm-c/Transforms/PassBuilder.h"
#include "mlir-c/Diagnostics.h"
#include "mlir-c/Dialect/LLVM.h"
#include "mlir-c/Pass.h"
#include "mlir-c/RegisterEverything.h"
#include "mlir-c/Target/LLVMIR.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

// Part of the cache's key: changes whenever this file, math.c or the link in compile.c makes other code from the same
// text.
#define OPTIONS "O3 prefer-vector-width=512 4"

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

void cpu_key_add(cache_key *key) {
  unsigned major, minor, patch;
  LLVMGetVersion(&major, &minor, &patch);
  char version[64];
  snprintf(version, sizeof version, "%u.%u.%u", major, minor, patch);
  cache_key_add(key, version);
  cache_key_add(key, OPTIONS);
  cache_key_add(key, cpu_name());
  cache_key_add(key, cpu_features());
  cache_key_add(key, pipeline);
}

// ---- MLIR to LLVM IR

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

static LLVMModuleRef to_llvm(cpu_compiler *c, const text *mlir, LLVMContextRef llvm) {
  double began = clock_seconds();
  LLVMModuleRef result = NULL;
  MlirModule module = mlirModuleCreateParse(c->mlir, mlirStringRefCreate(mlir->data, mlir->length));
  bool ok = !mlirModuleIsNull(module) || fail(&c->error, "the kernels' MLIR does not parse");
  ok = ok && cpu_math_replace(c->mlir, module, &c->error) && run_pipeline(c->mlir, module, &c->error);
  if (ok) {
    hide_private(c->mlir, module);
    result = mlirTranslateModuleToLLVMIR(mlirModuleGetOperation(module), llvm);
    if (!result) fail(&c->error, "the kernels could not be translated to LLVM IR");
  }
  if (!mlirModuleIsNull(module)) mlirModuleDestroy(module);
  c->lowering += clock_seconds() - began;
  return result;
}

// ---- LLVM IR to an object

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

static bool emit(cpu_compiler *c, LLVMModuleRef module, text *out) {
  LLVMMemoryBufferRef object = NULL;
  char *message = NULL;
  double began = clock_seconds();
  bool failed = LLVMTargetMachineEmitToMemoryBuffer(c->machine, module, LLVMObjectFile, &message, &object);
  c->emitting += clock_seconds() - began;
  if (failed) {
    fail(&c->error, "LLVM could not write the object: %s", message);
    LLVMDisposeMessage(message);
    return false;
  }
  text_add_bytes(out, LLVMGetBufferStart(object), LLVMGetBufferSize(object));
  LLVMDisposeMemoryBuffer(object);
  return true;
}

static bool make_code(cpu_compiler *c, LLVMModuleRef module, LLVMContextRef llvm, bool print, text *out) {
  char *triple = LLVMGetTargetMachineTriple(c->machine), *message = NULL;
  LLVMSetTarget(module, triple);
  LLVMDisposeMessage(triple);
  LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(c->machine);
  LLVMSetModuleDataLayout(module, layout);
  LLVMDisposeTargetData(layout);
  set_attributes(llvm, module);
  bool invalid = LLVMVerifyModule(module, LLVMReturnStatusAction, &message);
  if (invalid) fail(&c->error, "a kernel is not valid LLVM IR: %s", message);
  LLVMDisposeMessage(message);
  double began = clock_seconds();
  bool ok = !invalid && optimise(module, c->machine, &c->error);
  c->optimising += clock_seconds() - began;
  if (!ok || !print) return ok && emit(c, module, out);
  char *printed = LLVMPrintModuleToString(module);
  text_add(out, printed);
  LLVMDisposeMessage(printed);
  return true;
}

// ---- a module

static bool compiler_open(cpu_compiler *c) {
  pthread_once(&llvm_once, start_llvm);
  if (!c->mlir.ptr) c->mlir = cpu_context_create(&c->error);
  if (!c->machine) c->machine = create_target(&c->error);
  return c->machine;
}

void cpu_compiler_close(cpu_compiler *c) {
  if (c->mlir.ptr) mlirContextDestroy(c->mlir);
  if (c->machine) LLVMDisposeTargetMachine(c->machine);
  *c = (cpu_compiler){0};
}

bool cpu_module_compile(cpu_compiler *c, const text *mlir, bool print, text *out, lmn_error *error) {
  LLVMContextRef llvm = LLVMContextCreate();
  LLVMModuleRef module = compiler_open(c) ? to_llvm(c, mlir, llvm) : NULL;
  bool ok = module && make_code(c, module, llvm, print, out);
  if (module) LLVMDisposeModule(module);
  LLVMContextDispose(llvm);
  if (!ok) fail(error, "%s", c->error.text);
  c->error.text[0] = 0;
  return ok;
}
