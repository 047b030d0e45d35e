// Bodies, functions of float32 scalars in arith and math, as functions of CUDA C++: one line an op.
#include "codegen/cuda/cuda.h"
#include "passes/map.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct {
  const char *op, *text; // $0, $1 …: its operands
} formulas[] =
    {
        {"arith.addf", "$0 + $1"},
        {"arith.subf", "$0 - $1"},
        {"arith.mulf", "$0 * $1"},
        {"arith.divf", "$0 / $1"},
        {"arith.negf", "-$0"},
        {"arith.maximumf", "larger($0, $1)"},
        {"arith.minimumf", "smaller($0, $1)"},
        {"arith.select", "$0 ? $1 : $2"},
        {"arith.andi", "$0 & $1"},
        {"arith.ori", "$0 | $1"},
        {"math.exp", "expf($0)"},
        {"math.log", "logf($0)"},
        {"math.tanh", "tanhf($0)"},
        {"math.erf", "erff($0)"},
        {"math.sqrt", "sqrtf($0)"},
        {"math.rsqrt", "rsqrtf($0)"},
        {"math.absf", "fabsf($0)"},
        {"math.fma", "fmaf($0, $1, $2)"},
},
  fast_formulas[] = {
      {"arith.divf", "fast_quotient($0, $1)"},
      {"math.exp", "fast_exp($0)"},
      {"math.tanh", "fast_tanh($0)"},
};

// By arith's number of the predicate; the unordered ones are the opposites of ordered ones.
static const char *const comparisons[] = {"false",
                                          "$0 == $1",
                                          "$0 > $1",
                                          "$0 >= $1",
                                          "$0 < $1",
                                          "$0 <= $1",
                                          "$0 < $1 || $0 > $1",
                                          "$0 == $0 && $1 == $1",
                                          "!($0 < $1 || $0 > $1)",
                                          "!($0 <= $1)",
                                          "!($0 < $1)",
                                          "!($0 >= $1)",
                                          "!($0 > $1)",
                                          "$0 != $1",
                                          "$0 != $0 || $1 != $1",
                                          "true"};

typedef struct printer {
  cuda_entry *e;
  cuda_source *source;
  text out;
  map names; // value -> its number + 1, arguments first
  int next;
  lmn_error *error;
} printer;

static MlirStringRef name_of(MlirOperation op) { return mlirIdentifierStr(mlirOperationGetName(op)); }
static bool is(MlirStringRef name, const char *wanted) {
  return name.length == strlen(wanted) && !memcmp(name.data, wanted, name.length);
}

void cuda_float(text *out, double value) {
  float single = (float)value;
  uint32_t bits;
  memcpy(&bits, &single, sizeof bits);
  if (!isfinite(single)) {
    text_printf(out, "__int_as_float(0x%08x)", bits);
    return;
  }
  char digits[32];
  snprintf(digits, sizeof digits, "%.9g", (double)single);
  text_printf(out, "%s%sf", digits, strpbrk(digits, ".e") ? "" : ".0");
}

static void define_value(printer *p, MlirValue v) { map_put(&p->names, v.ptr, ++p->next); }

static void print_value(printer *p, MlirValue v) {
  text_printf(&p->out, "v%lld", (long long)map_get(&p->names, v.ptr, 0));
}

static void print_formula(printer *p, MlirOperation op, const char *formula) {
  for (const char *c = formula; *c; ++c)
    if (*c == '$') print_value(p, mlirOperationGetOperand(op, *++c - '0'));
    else text_add_bytes(&p->out, c, 1);
}

static const char *formula_of(const printer *p, MlirOperation op) {
  MlirStringRef name = name_of(op);
  for (size_t i = 0; p->source->fast && i < LENGTH(fast_formulas); ++i)
    if (is(name, fast_formulas[i].op)) return fast_formulas[i].text;
  for (size_t i = 0; i < LENGTH(formulas); ++i)
    if (is(name, formulas[i].op)) return formulas[i].text;
  int64_t predicate = is(name, "arith.cmpf") ? ir_int(op, "predicate") : -1;
  return predicate >= 0 && predicate < (int64_t)LENGTH(comparisons) ? comparisons[predicate] : NULL;
}

static bool print_call(printer *p, MlirOperation op) {
  const char *callee = cuda_body(p->e, p->source, ir_text(p->e->ir, op, "callee"), p->error);
  if (!callee) return false;
  intptr_t inputs = mlirOperationGetNumOperands(op), outputs = mlirOperationGetNumResults(op);
  for (intptr_t i = 0; i < outputs; ++i) {
    define_value(p, mlirOperationGetResult(op, i));
    text_add(&p->out, i ? ", " : "  float ");
    print_value(p, mlirOperationGetResult(op, i));
  }
  text_printf(&p->out, ";\n  %s(", callee);
  for (intptr_t i = 0; i < inputs + outputs; ++i) {
    text_add(&p->out, i ? ", " : "");
    print_value(p, i < inputs ? mlirOperationGetOperand(op, i) : mlirOperationGetResult(op, i - inputs));
  }
  text_add(&p->out, ");\n");
  return true;
}

static bool print_constant(printer *p, MlirOperation op) {
  MlirAttribute value = mlirOperationGetAttributeByName(op, mlirStringRefCreateFromCString("value"));
  if (!mlirAttributeIsAFloat(value)) return fail(p->error, "a constant of a body is no float32");
  define_value(p, mlirOperationGetResult(op, 0));
  text_add(&p->out, "  const float ");
  print_value(p, mlirOperationGetResult(op, 0));
  text_add(&p->out, " = ");
  cuda_float(&p->out, mlirFloatAttrGetValueDouble(value));
  text_add(&p->out, ";\n");
  return true;
}

static bool print_op(printer *p, MlirOperation op) {
  MlirStringRef name = name_of(op);
  if (is(name, "func.call")) return print_call(p, op);
  if (is(name, "arith.constant")) return print_constant(p, op);
  if (is(name, "func.return")) {
    for (intptr_t i = 0; i < mlirOperationGetNumOperands(op); ++i) {
      text_printf(&p->out, "  y%d = ", (int)i);
      print_value(p, mlirOperationGetOperand(op, i));
      text_add(&p->out, ";\n");
    }
    return true;
  }
  const char *formula = formula_of(p, op);
  if (!formula)
    return fail(p->error, "the CUDA back end does not know %.*s, an op of a body", (int)name.length, name.data);
  MlirValue result = mlirOperationGetResult(op, 0);
  define_value(p, result);
  text_printf(&p->out, "  const %s ", mlirTypeIsAF32(mlirValueGetType(result)) ? "float" : "bool");
  print_value(p, result);
  text_add(&p->out, " = ");
  print_formula(p, op, formula);
  text_add(&p->out, ";\n");
  return true;
}

static bool print_function(printer *p, MlirOperation function, const char *name) {
  MlirRegion region = mlirOperationGetRegion(function, 0);
  MlirBlock block = mlirRegionGetFirstBlock(region);
  if (mlirBlockIsNull(block)) return fail(p->error, "the body @%s has no ops", name);
  MlirOperation end = mlirBlockGetTerminator(block);
  intptr_t inputs = mlirBlockGetNumArguments(block), outputs = mlirOperationGetNumOperands(end);
  text_printf(&p->out, "static __device__ __forceinline__ void %s(", name);
  for (intptr_t i = 0; i < inputs; ++i) {
    MlirValue argument = mlirBlockGetArgument(block, i);
    define_value(p, argument);
    text_add(&p->out, i ? ", float " : "float ");
    print_value(p, argument);
  }
  for (intptr_t i = 0; i < outputs; ++i) text_printf(&p->out, "%sfloat &y%d", inputs || i ? ", " : "", (int)i);
  text_add(&p->out, ") {\n");
  bool ok = true;
  for (MlirOperation op = mlirBlockGetFirstOperation(block); ok && !mlirOperationIsNull(op);
       op = mlirOperationGetNextInBlock(op))
    ok = print_op(p, op);
  text_add(&p->out, "}\n\n");
  return ok;
}

const char *cuda_body(cuda_entry *e, cuda_source *s, const char *symbol, lmn_error *error) {
  MlirOperation function = symbol ? ir_body_function(e->ir, symbol) : (MlirOperation){NULL};
  if (mlirOperationIsNull(function)) {
    fail(error, "the module has no body @%s", symbol ? symbol : "(none)");
    return NULL;
  }
  const char *name = arena_printf(e->arena, "body_%s", symbol);
  for (int i = 0; i < s->body_count; ++i)
    if (!strcmp(s->bodies[i], name)) return name;
  GROW(s->bodies, s->body_count, s->body_capacity);
  s->bodies[s->body_count++] = name;
  printer p = {.e = e, .source = s, .error = error};
  bool ok = print_function(&p, function, name);
  if (ok) text_add(&s->functions, p.out.data); // behind those it calls
  text_free(&p.out);
  map_free(&p.names);
  return ok ? name : NULL;
}
