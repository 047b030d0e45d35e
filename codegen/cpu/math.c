// exp, tanh, erf and log without branches, tables or calls, so that LLVM's loop vectoriser widens them. Errors,
// measured over the floats: exp and log below 2 ulp, tanh and erf below 1.5e-7. Polynomials: minimax fits on the
// reduced ranges.
#include "codegen/cpu/internal.h"

#include <stdlib.h>
#include <string.h>

// Templates: $F the float type, $I the integer type of the same shape, $S the functions' suffix, $(x) a constant of
// that shape.

// e^x = 2^n e^r, n = round(x / ln 2), |r| <= ln 2 / 2. n comes from adding 1.5 * 2^23, so that a NaN never meets a
// conversion to integer; 2^n is applied in two halves: results below the normal floats round once, those above become
// infinity.
static const char exp_template[] = "func.func private @math_exp$S(%x: $F) -> $F {\n"
                                   "  %high = arith.constant $(0x42B20000) : $F\n"
                                   "  %low = arith.constant $(0xC2D00000) : $F\n"
                                   "  %log2e = arith.constant $(0x3FB8AA3B) : $F\n"
                                   "  %magic = arith.constant $(0x4B400000) : $F\n"
                                   "  %magic_bits = arith.constant $(1262485504) : $I\n"
                                   "  %minus_ln2 = arith.constant $(0xBF317218) : $F\n"
                                   "  %minus_ln2_rest = arith.constant $(0x3102E308) : $F\n"
                                   "  %p6 = arith.constant $(0x3AB5121A) : $F\n"
                                   "  %p5 = arith.constant $(0x3C091CF1) : $F\n"
                                   "  %p4 = arith.constant $(0x3D2AAC79) : $F\n"
                                   "  %p3 = arith.constant $(0x3E2AAA49) : $F\n"
                                   "  %p2 = arith.constant $(0x3EFFFFFE) : $F\n"
                                   "  %one = arith.constant $(0x3F800000) : $F\n"
                                   "  %one_bits = arith.constant $(1) : $I\n"
                                   "  %bias = arith.constant $(127) : $I\n"
                                   "  %shift = arith.constant $(23) : $I\n"
                                   "  %above = arith.cmpf ogt, %x, %high : $F\n"
                                   "  %x1 = arith.select %above, %high, %x : $B, $F\n"
                                   "  %below = arith.cmpf olt, %x1, %low : $F\n"
                                   "  %x2 = arith.select %below, %low, %x1 : $B, $F\n"
                                   "  %t = math.fma %x2, %log2e, %magic : $F\n"
                                   "  %n = arith.subf %t, %magic : $F\n"
                                   "  %r0 = math.fma %n, %minus_ln2, %x2 : $F\n"
                                   "  %r = math.fma %n, %minus_ln2_rest, %r0 : $F\n"
                                   "  %q5 = math.fma %p6, %r, %p5 : $F\n"
                                   "  %q4 = math.fma %q5, %r, %p4 : $F\n"
                                   "  %q3 = math.fma %q4, %r, %p3 : $F\n"
                                   "  %q2 = math.fma %q3, %r, %p2 : $F\n"
                                   "  %q1 = math.fma %q2, %r, %one : $F\n"
                                   "  %q0 = math.fma %q1, %r, %one : $F\n"
                                   "  %t_bits = arith.bitcast %t : $F to $I\n"
                                   "  %i = arith.subi %t_bits, %magic_bits : $I\n"
                                   "  %i1 = arith.shrsi %i, %one_bits : $I\n"
                                   "  %i2 = arith.subi %i, %i1 : $I\n"
                                   "  %b1 = arith.addi %i1, %bias : $I\n"
                                   "  %b2 = arith.addi %i2, %bias : $I\n"
                                   "  %e1 = arith.shli %b1, %shift : $I\n"
                                   "  %e2 = arith.shli %b2, %shift : $I\n"
                                   "  %s1 = arith.bitcast %e1 : $I to $F\n"
                                   "  %s2 = arith.bitcast %e2 : $I to $F\n"
                                   "  %y1 = arith.mulf %q0, %s1 : $F\n"
                                   "  %y = arith.mulf %y1, %s2 : $F\n"
                                   "  return %y : $F\n"
                                   "}\n";

// |x| < 0.625: x + x³ P(x²); else 1 - 2 / (1 + e^2|x|) with the sign of x.
static const char tanh_template[] = "func.func private @math_tanh$S(%x: $F) -> $F {\n"
                                    "  %one = arith.constant $(1.0) : $F\n"
                                    "  %two = arith.constant $(2.0) : $F\n"
                                    "  %edge = arith.constant $(0.625) : $F\n"
                                    "  %p4 = arith.constant $(0xBBBAF0E7) : $F\n"
                                    "  %p3 = arith.constant $(0x3CA9134E) : $F\n"
                                    "  %p2 = arith.constant $(0xBD5C1E2D) : $F\n"
                                    "  %p1 = arith.constant $(0x3E088393) : $F\n"
                                    "  %p0 = arith.constant $(0xBEAAAA99) : $F\n"
                                    "  %a = math.absf %x : $F\n"
                                    "  %a2 = arith.mulf %a, %two : $F\n"
                                    "  %e = func.call @math_exp$S(%a2) : ($F) -> $F\n"
                                    "  %e1 = arith.addf %e, %one : $F\n"
                                    "  %q = arith.divf %two, %e1 : $F\n"
                                    "  %l = arith.subf %one, %q : $F\n"
                                    "  %large = math.copysign %l, %x : $F\n"
                                    "  %z = arith.mulf %x, %x : $F\n"
                                    "  %s3 = math.fma %p4, %z, %p3 : $F\n"
                                    "  %s2 = math.fma %s3, %z, %p2 : $F\n"
                                    "  %s1 = math.fma %s2, %z, %p1 : $F\n"
                                    "  %s0 = math.fma %s1, %z, %p0 : $F\n"
                                    "  %xz = arith.mulf %x, %z : $F\n"
                                    "  %small = math.fma %s0, %xz, %x : $F\n"
                                    "  %is_small = arith.cmpf olt, %a, %edge : $F\n"
                                    "  %y = arith.select %is_small, %small, %large : $B, $F\n"
                                    "  return %y : $F\n"
                                    "}\n";

// |x| < 0.92: x P(x²); else 1 - e^Q(|x|), Q a fit of log(erfc), with the sign of x.
static const char erf_template[] = "func.func private @math_erf$S(%x: $F) -> $F {\n"
                                   "  %one = arith.constant $(1.0) : $F\n"
                                   "  %edge = arith.constant $(0.92) : $F\n"
                                   "  %end = arith.constant $(4.1) : $F\n"
                                   "  %p6 = arith.constant $(0x38AE6A6A) : $F\n"
                                   "  %p5 = arith.constant $(0xBA551F9D) : $F\n"
                                   "  %p4 = arith.constant $(0x3BAA63FB) : $F\n"
                                   "  %p3 = arith.constant $(0xBCDC0749) : $F\n"
                                   "  %p2 = arith.constant $(0x3DE71705) : $F\n"
                                   "  %p1 = arith.constant $(0xBEC093A1) : $F\n"
                                   "  %p0 = arith.constant $(0x3F906EBB) : $F\n"
                                   "  %q7 = arith.constant $(0xB7B184AA) : $F\n"
                                   "  %q6 = arith.constant $(0x39E42DF7) : $F\n"
                                   "  %q5 = arith.constant $(0xBB88CB68) : $F\n"
                                   "  %q4 = arith.constant $(0x3CCDDA86) : $F\n"
                                   "  %q3 = arith.constant $(0xBDDDC935) : $F\n"
                                   "  %q2 = arith.constant $(0xBF222239) : $F\n"
                                   "  %q1 = arith.constant $(0xBF909423) : $F\n"
                                   "  %q0 = arith.constant $(0x39386AA2) : $F\n"
                                   "  %z = arith.mulf %x, %x : $F\n"
                                   "  %s5 = math.fma %p6, %z, %p5 : $F\n"
                                   "  %s4 = math.fma %s5, %z, %p4 : $F\n"
                                   "  %s3 = math.fma %s4, %z, %p3 : $F\n"
                                   "  %s2 = math.fma %s3, %z, %p2 : $F\n"
                                   "  %s1 = math.fma %s2, %z, %p1 : $F\n"
                                   "  %s0 = math.fma %s1, %z, %p0 : $F\n"
                                   "  %small = arith.mulf %s0, %x : $F\n"
                                   "  %a0 = math.absf %x : $F\n"
                                   "  %beyond = arith.cmpf ogt, %a0, %end : $F\n"
                                   "  %a = arith.select %beyond, %end, %a0 : $B, $F\n"
                                   "  %l6 = math.fma %q7, %a, %q6 : $F\n"
                                   "  %l5 = math.fma %l6, %a, %q5 : $F\n"
                                   "  %l4 = math.fma %l5, %a, %q4 : $F\n"
                                   "  %l3 = math.fma %l4, %a, %q3 : $F\n"
                                   "  %l2 = math.fma %l3, %a, %q2 : $F\n"
                                   "  %l1 = math.fma %l2, %a, %q1 : $F\n"
                                   "  %l0 = math.fma %l1, %a, %q0 : $F\n"
                                   "  %e = func.call @math_exp$S(%l0) : ($F) -> $F\n"
                                   "  %l = arith.subf %one, %e : $F\n"
                                   "  %large = math.copysign %l, %x : $F\n"
                                   "  %is_small = arith.cmpf olt, %a0, %edge : $F\n"
                                   "  %y = arith.select %is_small, %small, %large : $B, $F\n"
                                   "  return %y : $F\n"
                                   "}\n";

// x = 2^e m, m in [sqrt 1/2, sqrt 2): e ln 2 + f - f²/2 + f³ P(f), f = m - 1. Below the normal floats x is scaled by
// 2^25 first.
static const char log_template[] = "func.func private @math_log$S(%x: $F) -> $F {\n"
                                   "  %zero = arith.constant $(0.0) : $F\n"
                                   "  %one = arith.constant $(1.0) : $F\n"
                                   "  %minus_half = arith.constant $(-0.5) : $F\n"
                                   "  %infinity = arith.constant $(0x7F800000) : $F\n"
                                   "  %minus_infinity = arith.constant $(0xFF800000) : $F\n"
                                   "  %nan = arith.constant $(0x7FC00000) : $F\n"
                                   "  %normal = arith.constant $(0x00800000) : $F\n"
                                   "  %scale = arith.constant $(0x4C000000) : $F\n"
                                   "  %scale_exponent = arith.constant $(25.0) : $F\n"
                                   "  %root = arith.constant $(0x3F3504F3) : $I\n"
                                   "  %mantissa = arith.constant $(0x007FFFFF) : $I\n"
                                   "  %shift = arith.constant $(23) : $I\n"
                                   "  %ln2_high = arith.constant $(0.693359375) : $F\n"
                                   "  %ln2_low = arith.constant $(-2.12194440e-4) : $F\n"
                                   "  %p8 = arith.constant $(0x3D8A2BD4) : $F\n"
                                   "  %p7 = arith.constant $(0xBDEF1E0B) : $F\n"
                                   "  %p6 = arith.constant $(0x3DF37835) : $F\n"
                                   "  %p5 = arith.constant $(0xBDFE1104) : $F\n"
                                   "  %p4 = arith.constant $(0x3E119BB4) : $F\n"
                                   "  %p3 = arith.constant $(0xBE2AAE27) : $F\n"
                                   "  %p2 = arith.constant $(0x3E4CD25B) : $F\n"
                                   "  %p1 = arith.constant $(0xBE800003) : $F\n"
                                   "  %p0 = arith.constant $(0x3EAAAAA4) : $F\n"
                                   "  %tiny = arith.cmpf olt, %x, %normal : $F\n"
                                   "  %xs = arith.mulf %x, %scale : $F\n"
                                   "  %x1 = arith.select %tiny, %xs, %x : $B, $F\n"
                                   "  %down = arith.select %tiny, %scale_exponent, %zero : $B, $F\n"
                                   "  %bits = arith.bitcast %x1 : $F to $I\n"
                                   "  %i = arith.subi %bits, %root : $I\n"
                                   "  %ei = arith.shrsi %i, %shift : $I\n"
                                   "  %ef = arith.sitofp %ei : $I to $F\n"
                                   "  %e = arith.subf %ef, %down : $F\n"
                                   "  %mi = arith.andi %i, %mantissa : $I\n"
                                   "  %mb = arith.addi %mi, %root : $I\n"
                                   "  %m = arith.bitcast %mb : $I to $F\n"
                                   "  %f = arith.subf %m, %one : $F\n"
                                   "  %z = arith.mulf %f, %f : $F\n"
                                   "  %s7 = math.fma %p8, %f, %p7 : $F\n"
                                   "  %s6 = math.fma %s7, %f, %p6 : $F\n"
                                   "  %s5 = math.fma %s6, %f, %p5 : $F\n"
                                   "  %s4 = math.fma %s5, %f, %p4 : $F\n"
                                   "  %s3 = math.fma %s4, %f, %p3 : $F\n"
                                   "  %s2 = math.fma %s3, %f, %p2 : $F\n"
                                   "  %s1 = math.fma %s2, %f, %p1 : $F\n"
                                   "  %s0 = math.fma %s1, %f, %p0 : $F\n"
                                   "  %fz = arith.mulf %f, %z : $F\n"
                                   "  %y0 = arith.mulf %s0, %fz : $F\n"
                                   "  %y1 = math.fma %e, %ln2_low, %y0 : $F\n"
                                   "  %y2 = math.fma %minus_half, %z, %y1 : $F\n"
                                   "  %y3 = arith.addf %f, %y2 : $F\n"
                                   "  %y4 = math.fma %e, %ln2_high, %y3 : $F\n"
                                   "  %positive = arith.cmpf ogt, %x, %zero : $F\n"
                                   "  %finite = arith.cmpf olt, %x, %infinity : $F\n"
                                   "  %none = arith.cmpf oeq, %x, %zero : $F\n"
                                   "  %y5 = arith.select %finite, %y4, %x : $B, $F\n"
                                   "  %y6 = arith.select %none, %minus_infinity, %nan : $B, $F\n"
                                   "  %y = arith.select %positive, %y5, %y6 : $B, $F\n"
                                   "  return %y : $F\n"
                                   "}\n";

static const struct {
  const char *op, *function, *template;
  bool needs_exp;
} functions[] = {
    {"math.exp", "math_exp", exp_template, false},
    {"math.tanh", "math_tanh", tanh_template, true},
    {"math.erf", "math_erf", erf_template, true},
    {"math.log", "math_log", log_template, false},
};

static MlirStringRef ref(const char *string) { return mlirStringRefCreateFromCString(string); }

static void expand(text *out, const char *template, int64_t lanes) {
  text shape = {0};
  if (lanes) text_printf(&shape, "vector<%lldx", (long long)lanes);
  const char *before = shape.data ? shape.data : "", *after = lanes ? ">" : "";
  for (const char *p = template; *p; ++p) {
    if (*p != '$') {
      text_add_bytes(out, p, 1);
      continue;
    }
    ++p;
    if (*p == 'F') text_printf(out, "%sf32%s", before, after);
    else if (*p == 'I') text_printf(out, "%si32%s", before, after);
    else if (*p == 'B') text_printf(out, "%si1%s", before, after);
    else if (*p == 'S' && lanes) text_printf(out, "_%lld", (long long)lanes);
    else if (*p == '(') {
      const char *end = strchr(p, ')');
      text_printf(out, lanes ? "dense<%.*s>" : "%.*s", (int)(end - p - 1), p + 1);
      p = end;
    }
  }
  text_free(&shape);
}

typedef struct replacement {
  MlirContext context;
  MlirOperation *found;
  int *function; // of each found op, index into functions
  int count, capacity, function_capacity;
  MlirOperation *floats; // ops of bodies that take the contract flag
  int float_count, float_capacity;
} replacement;

static bool name_is(MlirOperation op, const char *name) {
  return mlirStringRefEqual(mlirIdentifierStr(mlirOperationGetName(op)), ref(name));
}

// 0: f32; n: vector<n x f32>; -1: another type.
static int64_t lanes_of(MlirType type) {
  if (mlirTypeIsAF32(type)) return 0;
  if (mlirTypeIsAVector(type) && mlirShapedTypeGetRank(type) == 1 && !mlirVectorTypeIsScalable(type) &&
      mlirTypeIsAF32(mlirShapedTypeGetElementType(type)))
    return mlirShapedTypeGetDimSize(type, 0);
  return -1;
}

static MlirWalkResult collect(MlirOperation op, void *user) {
  replacement *r = user;
  for (int i = 0; i < (int)LENGTH(functions); ++i) {
    if (!name_is(op, functions[i].op) || lanes_of(mlirValueGetType(mlirOperationGetResult(op, 0))) < 0) continue;
    if (r->count == r->function_capacity) {
      r->function_capacity = r->function_capacity ? r->function_capacity * 2 : 8;
      r->function = memory_grow(r->function, (size_t)r->function_capacity * sizeof *r->function);
    }
    r->function[r->count] = i;
    GROW(r->found, r->count, r->capacity);
    r->found[r->count++] = op;
  }
  return MlirWalkResultAdvance;
}

static MlirWalkResult collect_floats(MlirOperation op, void *user) {
  static const char *const names[] = {"arith.addf", "arith.subf", "arith.mulf"};
  replacement *r = user;
  for (size_t i = 0; i < LENGTH(names); ++i)
    if (name_is(op, names[i])) {
      GROW(r->floats, r->float_count, r->float_capacity);
      r->floats[r->float_count++] = op;
    }
  return MlirWalkResultAdvance;
}

static const char *function_name(text *name, int function, int64_t lanes) {
  text_printf(name, "%s", functions[function].function);
  if (lanes) text_printf(name, "_%lld", (long long)lanes);
  return name->data;
}

static void call_instead(MlirContext context, MlirOperation op, int function) {
  MlirValue operand = mlirOperationGetOperand(op, 0), result = mlirOperationGetResult(op, 0);
  MlirType type = mlirValueGetType(result);
  text name = {0};
  function_name(&name, function, lanes_of(type));
  MlirOperationState state = mlirOperationStateGet(ref("func.call"), mlirOperationGetLocation(op));
  MlirNamedAttribute callee = mlirNamedAttributeGet(mlirIdentifierGet(context, ref("callee")),
                                                    mlirFlatSymbolRefAttrGet(context, ref(name.data)));
  // As op_end of ir/ir.c does it: mlirOperationCreate frees these.
  state.nOperands = 1, state.operands = memory_copy(&operand, sizeof operand);
  state.nResults = 1, state.results = memory_copy(&type, sizeof type);
  state.nAttributes = 1, state.attributes = memory_copy(&callee, sizeof callee);
  MlirOperation call = mlirOperationCreate(&state);
  mlirBlockInsertOwnedOperationBefore(mlirOperationGetBlock(op), op, call);
  mlirValueReplaceAllUsesOfWith(result, mlirOperationGetResult(call, 0));
  mlirOperationDestroy(op);
  text_free(&name);
}

static bool is_defined(const text *helpers, const char *name) {
  text head = {0};
  text_printf(&head, "@%s(%%x", name);
  bool found = helpers->data && strstr(helpers->data, head.data);
  text_free(&head);
  return found;
}

static void add_function(text *helpers, int function, int64_t lanes) {
  text name = {0};
  if (!is_defined(helpers, function_name(&name, function, lanes))) expand(helpers, functions[function].template, lanes);
  text_free(&name);
}

static bool add_helpers(MlirContext context, MlirModule module, const text *helpers, lmn_error *error) {
  MlirModule parsed = mlirModuleCreateParse(context, mlirStringRefCreate(helpers->data, helpers->length));
  if (mlirModuleIsNull(parsed)) return fail(error, "the math functions of the CPU back end do not parse");
  MlirBlock to = mlirModuleGetBody(module);
  for (MlirOperation op = mlirBlockGetFirstOperation(mlirModuleGetBody(parsed)), next; !mlirOperationIsNull(op);
       op = next) {
    next = mlirOperationGetNextInBlock(op);
    mlirOperationRemoveFromParent(op);
    mlirBlockAppendOwnedOperation(to, op);
  }
  mlirModuleDestroy(parsed);
  return true;
}

static void contract_bodies(MlirContext context, MlirModule module, replacement *r) {
  for (MlirOperation op = mlirBlockGetFirstOperation(mlirModuleGetBody(module)); !mlirOperationIsNull(op);
       op = mlirOperationGetNextInBlock(op)) {
    MlirAttribute name = mlirOperationGetAttributeByName(op, ref("sym_name"));
    if (mlirAttributeIsNull(name) || !mlirAttributeIsAString(name)) continue;
    MlirStringRef string = mlirStringAttrGetValue(name);
    if (string.length < strlen(CPU_BODY_PREFIX) || strncmp(string.data, CPU_BODY_PREFIX, strlen(CPU_BODY_PREFIX)))
      continue;
    mlirOperationWalk(op, collect_floats, r, MlirWalkPreOrder);
  }
  MlirAttribute contract = mlirAttributeParseGet(context, ref("#arith.fastmath<contract>"));
  MlirAttribute none = mlirAttributeParseGet(context, ref("#arith.fastmath<none>"));
  for (int i = 0; i < r->float_count; ++i) {
    MlirAttribute flags = mlirOperationGetAttributeByName(r->floats[i], ref("fastmath"));
    if (mlirAttributeIsNull(flags) || mlirAttributeEqual(flags, none))
      mlirOperationSetAttributeByName(r->floats[i], ref("fastmath"), contract);
  }
}

bool cpu_math_replace(MlirContext context, MlirModule module, lmn_error *error) {
  replacement r = {.context = context};
  contract_bodies(context, module, &r);
  mlirOperationWalk(mlirModuleGetOperation(module), collect, &r, MlirWalkPreOrder);
  text helpers = {0};
  for (int i = 0; i < r.count; ++i) {
    int64_t lanes = lanes_of(mlirValueGetType(mlirOperationGetResult(r.found[i], 0)));
    if (functions[r.function[i]].needs_exp) add_function(&helpers, 0, lanes);
    add_function(&helpers, r.function[i], lanes);
  }
  for (int i = 0; i < r.count; ++i) call_instead(context, r.found[i], r.function[i]);
  bool ok = !r.count || add_helpers(context, module, &helpers, error);
  text_free(&helpers);
  free(r.found);
  free(r.function);
  free(r.floats);
  return ok;
}
