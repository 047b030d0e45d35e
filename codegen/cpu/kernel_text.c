#include "codegen/cpu/kernel_text.h"

#include <math.h>
#include <string.h>

// ---- printing

static void line(kernel_text *k, const char *format, ...) PRINTF_LIKE(2, 3);
static void line(kernel_text *k, const char *format, ...) {
  text_printf(&k->out, "%*s", 2 * k->depth, "");
  va_list arguments;
  va_start(arguments, format);
  text_vprintf(&k->out, format, arguments);
  va_end(arguments);
  text_add(&k->out, "\n");
}

static ssa fresh(kernel_text *k, scalar_type type) {
  return (ssa){.id = k->next++, .index = -1, .type = (unsigned char)type};
}

typedef struct name_text {
  char text[32];
} name_text;

static name_text name_of(ssa a) {
  name_text n;
  if (a.index < 0) snprintf(n.text, sizeof n.text, "%%%d", a.id);
  else snprintf(n.text, sizeof n.text, "%%%d#%d", a.id, a.index);
  return n;
}
#define NAME(a) (name_of(a).text)

static name_text type_of(ssa a) {
  static const char *const names[] = {"i1", "i32", "i64", "f32", "f64", "!llvm.ptr"};
  name_text n;
  if (a.lanes) snprintf(n.text, sizeof n.text, "vector<%dx%s>", a.lanes, names[a.type]);
  else snprintf(n.text, sizeof n.text, "%s", names[a.type]);
  return n;
}
#define TYPE(a) (type_of(a).text)

static bool is_float(ssa a) { return a.type == K_F32 || a.type == K_F64; }

// ---- functions

static const char kernel_parameters[] = "ppiip";

static void function(kernel_text *k, const char *name, const char *types, bool private, ssa *parameters) {
  bool outlined = *types == '!';
  types += outlined;
  text_printf(&k->out, "func.func %s@%s(", private ? "private " : "", name);
  for (int i = 0; types[i]; ++i) {
    char letter = types[i];
    parameters[i] = fresh(k, letter == 'i' ? K_I64 : letter == 'f' ? K_F32 : K_PTR);
    text_printf(&k->out, "%s%s: %s%s", i ? ", " : "", NAME(parameters[i]), TYPE(parameters[i]),
                letter == 'n' ? " {llvm.noalias}" : "");
  }
  text_printf(&k->out, ")%s {\n", outlined ? " attributes {passthrough = [\"noinline\"]}" : "");
  k->depth = 1;
}

kernel_abi k_kernel(kernel_text *k, const char *name) {
  ssa p[5];
  function(k, name, kernel_parameters, false, p);
  return (kernel_abi){p[0], p[1], p[2], p[3], p[4]};
}

void k_function(kernel_text *k, const char *name, const char *types, ssa *parameters) {
  function(k, name, types, true, parameters);
}

void k_public_function(kernel_text *k, const char *name, const char *types, ssa *parameters) {
  function(k, name, types, false, parameters);
}

void k_return(kernel_text *k) {
  line(k, "return");
  text_add(&k->out, "}\n");
  k->depth = 0;
}

static void typed_list(kernel_text *k, const ssa *values, int count, bool types) {
  for (int i = 0; i < count; ++i)
    text_printf(&k->out, "%s%s", i ? ", " : "", types ? TYPE(values[i]) : NAME(values[i]));
}

void k_call(kernel_text *k, const char *name, const ssa *arguments, int count) {
  text_printf(&k->out, "%*sfunc.call @%s(", 2 * k->depth, "", name);
  typed_list(k, arguments, count, false);
  text_add(&k->out, ") : (");
  typed_list(k, arguments, count, true);
  text_add(&k->out, ") -> ()\n");
}

void k_call_body(kernel_text *k, const char *name, const ssa *arguments, int count, ssa *results, int result_count) {
  int id = k->next++;
  for (int i = 0; i < result_count; ++i)
    results[i] = (ssa){.id = id, .index = (short)(result_count > 1 ? i : -1), .type = K_F32};
  text_printf(&k->out, "%*s%%%d:%d = func.call @%s(", 2 * k->depth, "", id, result_count, name);
  typed_list(k, arguments, count, false);
  text_add(&k->out, ") : (");
  typed_list(k, arguments, count, true);
  text_add(&k->out, ") -> (");
  typed_list(k, results, result_count, true);
  text_add(&k->out, ")\n");
}

// ---- constants

ssa k_int(kernel_text *k, int64_t value) {
  ssa r = fresh(k, K_I64);
  line(k, "%s = arith.constant %lld : i64", NAME(r), (long long)value);
  return r;
}
ssa k_int32(kernel_text *k, int32_t value) {
  ssa r = fresh(k, K_I32);
  line(k, "%s = arith.constant %d : i32", NAME(r), (int)value);
  return r;
}
ssa k_float(kernel_text *k, double value) {
  ssa r = fresh(k, K_F32);
  if (isinf(value)) line(k, "%s = arith.constant %s : f32", NAME(r), value > 0 ? "0x7F800000" : "0xFF800000");
  else line(k, "%s = arith.constant %.9e : f32", NAME(r), (double)(float)value);
  return r;
}
ssa k_double(kernel_text *k, double value) {
  ssa r = fresh(k, K_F64);
  line(k, "%s = arith.constant %.17e : f64", NAME(r), value);
  return r;
}
ssa k_null(kernel_text *k) {
  ssa r = fresh(k, K_PTR);
  line(k, "%s = llvm.mlir.zero : !llvm.ptr", NAME(r));
  return r;
}

// ---- arithmetic

static ssa binary(kernel_text *k, const char *integer, const char *real, const char *flags, ssa a, ssa b) {
  ssa r = fresh(k, a.type);
  r.lanes = a.lanes;
  bool f = is_float(a);
  line(k, "%s = arith.%s %s, %s%s : %s", NAME(r), f ? real : integer, NAME(a), NAME(b), f ? flags : "", TYPE(r));
  return r;
}

static const char contract[] = " fastmath<contract>";
ssa k_add(kernel_text *k, ssa a, ssa b) { return binary(k, "addi", "addf", contract, a, b); }
ssa k_sub(kernel_text *k, ssa a, ssa b) { return binary(k, "subi", "subf", contract, a, b); }
ssa k_mul(kernel_text *k, ssa a, ssa b) { return binary(k, "muli", "mulf", contract, a, b); }
ssa k_div(kernel_text *k, ssa a, ssa b) { return binary(k, "divsi", "divf", "", a, b); }
ssa k_rem(kernel_text *k, ssa a, ssa b) { return binary(k, "remsi", "remf", "", a, b); }
ssa k_min(kernel_text *k, ssa a, ssa b) { return binary(k, "minsi", "minimumf", "", a, b); }
ssa k_max(kernel_text *k, ssa a, ssa b) { return binary(k, "maxsi", "maximumf", "", a, b); }
ssa k_and(kernel_text *k, ssa a, ssa b) { return binary(k, "andi", "", "", a, b); }
ssa k_add_any_order(kernel_text *k, ssa a, ssa b) {
  return binary(k, "addi", "addf", " fastmath<reassoc,contract>", a, b);
}

ssa k_max_any_order(kernel_text *k, ssa a, ssa b) { return binary(k, "maxsi", "maxnumf", " fastmath<nnan,nsz>", a, b); }

ssa k_fma(kernel_text *k, ssa a, ssa b, ssa c) {
  ssa r = fresh(k, a.type);
  r.lanes = a.lanes;
  line(k, "%s = math.fma %s, %s, %s : %s", NAME(r), NAME(a), NAME(b), NAME(c), TYPE(r));
  return r;
}

ssa k_math(kernel_text *k, const char *function, ssa a) {
  ssa r = fresh(k, a.type);
  r.lanes = a.lanes;
  line(k, "%s = math.%s %s : %s", NAME(r), function, NAME(a), TYPE(r));
  return r;
}

ssa k_compare(kernel_text *k, const char *predicate, ssa a, ssa b) {
  ssa r = fresh(k, K_I1);
  r.lanes = a.lanes;
  line(k, "%s = arith.cmp%c %s, %s, %s : %s", NAME(r), is_float(a) ? 'f' : 'i', predicate, NAME(a), NAME(b), TYPE(a));
  return r;
}

ssa k_select(kernel_text *k, ssa condition, ssa a, ssa b) {
  ssa r = fresh(k, a.type);
  r.lanes = a.lanes;
  line(k, "%s = arith.select %s, %s, %s : %s%s%s", NAME(r), NAME(condition), NAME(a), NAME(b),
       condition.lanes ? TYPE(condition) : "", condition.lanes ? ", " : "", TYPE(r));
  return r;
}

ssa k_clamp(kernel_text *k, ssa a, ssa low, ssa high) { return k_max(k, k_min(k, a, high), low); }

ssa k_convert(kernel_text *k, ssa a, scalar_type to) {
  const char *operation = a.type == K_F32   ? "extf"
                          : a.type == K_F64 ? "truncf"
                          : to == K_F32     ? (a.type == K_I1 ? "uitofp" : "sitofp")
                          : a.type == K_I1  ? "extui"
                                            : "extsi";
  ssa r = fresh(k, to);
  line(k, "%s = arith.%s %s : %s to %s", NAME(r), operation, NAME(a), TYPE(a), TYPE(r));
  return r;
}

// ---- memory

static ssa address(kernel_text *k, ssa pointer, ssa index, const char *element) {
  ssa r = fresh(k, K_PTR);
  line(k, "%s = llvm.getelementptr inbounds %s[%s] : (!llvm.ptr, i64) -> !llvm.ptr, %s", NAME(r), NAME(pointer),
       NAME(index), element);
  return r;
}

ssa k_at(kernel_text *k, ssa pointer, ssa index) { return address(k, pointer, index, "f32"); }

ssa k_load(kernel_text *k, ssa pointer, ssa index, scalar_type type) {
  ssa r = fresh(k, type);
  ssa at = address(k, pointer, index, TYPE(r));
  r = fresh(k, type);
  line(k, "%s = llvm.load %s : !llvm.ptr -> %s", NAME(r), NAME(at), TYPE(r));
  return r;
}

void k_store(kernel_text *k, ssa value, ssa pointer, ssa index) {
  ssa scalar = value;
  scalar.lanes = 0;
  ssa at = address(k, pointer, index, TYPE(scalar));
  line(k, "llvm.store %s, %s {alignment = %d : i64} : %s, !llvm.ptr", NAME(value), NAME(at),
       value.type == K_F32 || value.type == K_I32 ? 4 : 8, TYPE(value));
}

ssa k_load_vector(kernel_text *k, ssa pointer, ssa index, int lanes) {
  ssa at = address(k, pointer, index, "f32");
  ssa r = fresh(k, K_F32);
  r.lanes = lanes;
  line(k, "%s = llvm.load %s {alignment = 4 : i64} : !llvm.ptr -> %s", NAME(r), NAME(at), TYPE(r));
  return r;
}

ssa k_splat(kernel_text *k, ssa value, int lanes) {
  ssa zero = k_int32(k, 0), none = fresh(k, K_F32), first = fresh(k, K_F32), r = fresh(k, K_F32);
  none.lanes = first.lanes = r.lanes = lanes;
  line(k, "%s = llvm.mlir.poison : %s", NAME(none), TYPE(none));
  line(k, "%s = llvm.insertelement %s, %s[%s : i32] : %s", NAME(first), NAME(value), NAME(none), NAME(zero),
       TYPE(first));
  text_printf(&k->out, "%*s%s = llvm.shufflevector %s, %s [", 2 * k->depth, "", NAME(r), NAME(first), NAME(none));
  for (int i = 0; i < lanes; ++i) text_add(&k->out, i ? ", 0" : "0");
  text_printf(&k->out, "] : %s\n", TYPE(r));
  return r;
}

ssa k_lane_numbers(kernel_text *k, int lanes) {
  ssa r = fresh(k, K_F32);
  r.lanes = lanes;
  text_printf(&k->out, "%*s%s = arith.constant dense<[", 2 * k->depth, "", NAME(r));
  for (int i = 0; i < lanes; ++i) text_printf(&k->out, "%s%d.0", i ? ", " : "", i);
  text_printf(&k->out, "]> : %s\n", TYPE(r));
  return r;
}

ssa k_shuffle(kernel_text *k, ssa a, ssa b, const int *from) {
  ssa r = fresh(k, K_F32);
  r.lanes = a.lanes;
  text_printf(&k->out, "%*s%s = llvm.shufflevector %s, %s [", 2 * k->depth, "", NAME(r), NAME(a), NAME(b));
  for (int i = 0; i < a.lanes; ++i) text_printf(&k->out, "%s%d", i ? ", " : "", from[i]);
  text_printf(&k->out, "] : %s\n", TYPE(r));
  return r;
}

ssa k_sum_lanes(kernel_text *k, ssa vector) {
  ssa zero = k_float(k, 0), r = fresh(k, K_F32);
  line(k,
       "%s = \"llvm.intr.vector.reduce.fadd\"(%s, %s) <{fastmathFlags = #llvm.fastmath<reassoc, contract>}> : (f32, "
       "%s) -> f32",
       NAME(r), NAME(zero), NAME(vector), TYPE(vector));
  return r;
}

void k_copy(kernel_text *k, ssa to, ssa from, ssa elements) {
  ssa bytes = k_mul(k, elements, k_int(k, 4));
  line(k, "\"llvm.intr.memcpy\"(%s, %s, %s) <{isVolatile = false}> : (!llvm.ptr, !llvm.ptr, i64) -> ()", NAME(to),
       NAME(from), NAME(bytes));
}

void k_zero(kernel_text *k, ssa to, ssa elements) {
  ssa bytes = k_mul(k, elements, k_int(k, 4)), zero = fresh(k, K_I32);
  line(k, "%s = arith.constant 0 : i8", NAME(zero));
  line(k, "\"llvm.intr.memset\"(%s, %s, %s) <{isVolatile = false}> : (!llvm.ptr, i8, i64) -> ()", NAME(to), NAME(zero),
       NAME(bytes));
}

ssa k_argument(kernel_text *k, kernel_abi abi, int index) { return k_load(k, abi.args, k_int(k, index), K_PTR); }
ssa k_dim(kernel_text *k, kernel_abi abi, int index) { return k_load(k, abi.dims, k_int(k, index), K_I64); }

// ---- control flow

static void open_region(kernel_text *k, int count, ssa *carried) {
  ++k->depth;
  k->open[k->depth].count = count;
  k->open[k->depth].carried = carried;
}

ssa k_for(kernel_text *k, ssa from, ssa to, ssa step) {
  ssa i = fresh(k, K_I64);
  line(k, "scf.for %s = %s to %s step %s : i64 {", NAME(i), NAME(from), NAME(to), NAME(step));
  open_region(k, 0, NULL);
  return i;
}

ssa k_for_carry(kernel_text *k, ssa from, ssa to, ssa step, ssa *carried, int count) {
  ssa i = fresh(k, K_I64);
  int results = k->next++;
  text_printf(&k->out, "%*s%%%d:%d = scf.for %s = %s to %s step %s iter_args(", 2 * k->depth, "", results, count,
              NAME(i), NAME(from), NAME(to), NAME(step));
  for (int c = 0; c < count; ++c) {
    ssa inside = fresh(k, (scalar_type)carried[c].type);
    inside.lanes = carried[c].lanes;
    text_printf(&k->out, "%s%s = %s", c ? ", " : "", NAME(inside), NAME(carried[c]));
    carried[c] = inside;
  }
  text_add(&k->out, ") -> (");
  typed_list(k, carried, count, true);
  text_add(&k->out, ") : i64 {\n");
  open_region(k, count, carried);
  k->open[k->depth].results = results;
  return i;
}

void k_end_carry(kernel_text *k, const ssa *next) {
  int count = k->open[k->depth].count;
  ssa *carried = k->open[k->depth].carried;
  text_printf(&k->out, "%*sscf.yield ", 2 * k->depth, "");
  typed_list(k, next, count, false);
  text_add(&k->out, " : ");
  typed_list(k, next, count, true);
  text_add(&k->out, "\n");
  for (int c = 0; c < count; ++c) {
    carried[c].id = k->open[k->depth].results;
    carried[c].index = (short)(count > 1 ? c : -1);
  }
  --k->depth;
  line(k, "}");
}

void k_if(kernel_text *k, ssa condition) {
  line(k, "scf.if %s {", NAME(condition));
  open_region(k, 0, NULL);
}
void k_else(kernel_text *k) {
  --k->depth;
  line(k, "} else {");
  ++k->depth;
}
void k_end(kernel_text *k) {
  --k->depth;
  line(k, "}");
}
