#include "passes/formulas.h"

#include <stdlib.h>
#include <string.h>

// A float32 constant as MLIR text that gives the same bits back.
static const char *constant(ir *m, double value) {
  float single = (float)value;
  uint32_t bits;
  memcpy(&bits, &single, sizeof bits);
  return arena_printf(m->arena, "0x%08X", bits);
}

// Adds the body `name` with text `mlir` and frees the text.
static const char *add(ir *m, const char *name, text *mlir) {
  ir_body(m, name, mlir->data);
  text_free(mlir);
  return name;
}

static void open(text *t, const char *name, const char *const *arguments, int count, int results) {
  text_printf(t, "func.func private @%s(", name);
  for (int i = 0; i < count; ++i) text_printf(t, "%s%%%s: f32", i ? ", " : "", arguments[i]);
  text_add(t, ") -> ");
  text_add(t, results == 1 ? "f32 {\n" : "(f32, f32) {\n");
}

// ---- sums ---------------------------------------------------------------------------------------

const char *formula_sum(ir *m, int count, double scale) {
  const char *name = scale == 1 ? arena_printf(m->arena, "sum%d", count)
                                : arena_printf(m->arena, "scaled%d_%s", count, constant(m, scale) + 2);
  text t = {0};
  text_printf(&t, "func.func private @%s(", name);
  for (int i = 0; i < count; ++i) text_printf(&t, "%s%%x%d: f32", i ? ", " : "", i);
  text_add(&t, ") -> f32 {\n");
  const char *so_far = "x0";
  for (int i = 1; i < count; ++i) {
    text_printf(&t, "  %%s%d = arith.addf %%%s, %%x%d : f32\n", i, so_far, i);
    so_far = arena_printf(m->arena, "s%d", i);
  }
  if (scale != 1) {
    text_printf(&t, "  %%c = arith.constant %s : f32\n  %%y = arith.mulf %%%s, %%c : f32\n", constant(m, scale),
                so_far);
    so_far = "y";
  }
  text_printf(&t, "  return %%%s : f32\n}\n", so_far);
  return add(m, name, &t);
}

bool formula_is_sum(const char *name) { return !strncmp(name, "sum", 3); }

const char *formula_bias(ir *m, int count) {
  const char *name = count == 1 ? "bias" : arena_printf(m->arena, "bias%d", count);
  text t = {0};
  text_printf(&t, "func.func private @%s(%%x: f32", name);
  for (int i = 0; i < count; ++i) text_printf(&t, ", %%b%d: f32", i);
  text_add(&t, ") -> f32 {\n");
  for (int i = 0; i < count; ++i) {
    const char *so_far = i ? arena_printf(m->arena, "y%d", i - 1) : "x";
    text_printf(&t, "  %%y%d = arith.addf %%%s, %%b%d : f32\n", i, so_far, i);
  }
  text_printf(&t, "  return %%y%d : f32\n}\n", count - 1);
  return add(m, name, &t);
}

const char *formula_identity(ir *m) {
  return ir_body(m, "identity", "func.func private @identity(%x: f32) -> f32 {\n  return %x : f32\n}\n");
}

// ---- activations --------------------------------------------------------------------------------

// Each activation as value and slope: @act_KIND(x) -> y and @slope_KIND(x) -> dy/dx.
static const struct {
  const char *kind, *value, *slope;
} activations[] = {
    {"silu",
     "  %one = arith.constant 1.0 : f32\n  %n = arith.negf %x : f32\n  %e = math.exp %n : f32\n  %d = arith.addf %one, "
     "%e : f32\n"
     "  %y = arith.divf %x, %d : f32\n",
     "  %one = arith.constant 1.0 : f32\n  %n = arith.negf %x : f32\n  %e = math.exp %n : f32\n  %d = arith.addf %one, "
     "%e : f32\n"
     "  %s = arith.divf %one, %d : f32\n  %r = arith.subf %one, %s : f32\n  %p = arith.mulf %x, %r : f32\n"
     "  %q = arith.addf %one, %p : f32\n  %y = arith.mulf %s, %q : f32\n"},
    {"relu", "  %z = arith.constant 0.0 : f32\n  %y = arith.maximumf %x, %z : f32\n",
     "  %z = arith.constant 0.0 : f32\n  %one = arith.constant 1.0 : f32\n  %c = arith.cmpf ogt, %x, %z : f32\n"
     "  %y = arith.select %c, %one, %z : f32\n"},
    // 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x³)))
    {"gelu_tanh",
     "  %one = arith.constant 1.0 : f32\n  %half = arith.constant 0.5 : f32\n  %a = arith.constant 0.7978845608028654 "
     ": f32\n"
     "  %b = arith.constant 0.035677408136300125 : f32\n  %x2 = arith.mulf %x, %x : f32\n  %p = arith.mulf %b, %x2 : "
     "f32\n"
     "  %q = arith.addf %a, %p : f32\n  %u = arith.mulf %x, %q : f32\n  %t = math.tanh %u : f32\n  %h = arith.addf "
     "%one, %t : f32\n"
     "  %g = arith.mulf %half, %x : f32\n  %y = arith.mulf %g, %h : f32\n",
     "  %one = arith.constant 1.0 : f32\n  %half = arith.constant 0.5 : f32\n  %a = arith.constant 0.7978845608028654 "
     ": f32\n"
     "  %b = arith.constant 0.035677408136300125 : f32\n  %b3 = arith.constant 0.10703222440890037 : f32\n"
     "  %x2 = arith.mulf %x, %x : f32\n  %p = arith.mulf %b, %x2 : f32\n  %q = arith.addf %a, %p : f32\n"
     "  %u = arith.mulf %x, %q : f32\n  %t = math.tanh %u : f32\n  %h = arith.addf %one, %t : f32\n"
     "  %t2 = arith.mulf %t, %t : f32\n  %k = arith.subf %one, %t2 : f32\n  %p3 = arith.mulf %b3, %x2 : f32\n"
     "  %du = arith.addf %a, %p3 : f32\n  %v = arith.mulf %k, %du : f32\n  %w = arith.mulf %x, %v : f32\n"
     "  %z = arith.addf %h, %w : f32\n  %y = arith.mulf %half, %z : f32\n"},
    // 0.5 x (1 + erf(x / sqrt(2)))
    {"gelu_erf",
     "  %one = arith.constant 1.0 : f32\n  %half = arith.constant 0.5 : f32\n  %a = arith.constant 0.7071067811865476 "
     ": f32\n"
     "  %u = arith.mulf %x, %a : f32\n  %t = math.erf %u : f32\n  %h = arith.addf %one, %t : f32\n  %g = arith.mulf "
     "%half, %x : f32\n"
     "  %y = arith.mulf %g, %h : f32\n",
     "  %one = arith.constant 1.0 : f32\n  %half = arith.constant 0.5 : f32\n  %a = arith.constant 0.7071067811865476 "
     ": f32\n"
     "  %c = arith.constant 0.3989422804014327 : f32\n  %u = arith.mulf %x, %a : f32\n  %t = math.erf %u : f32\n"
     "  %h = arith.addf %one, %t : f32\n  %g = arith.mulf %half, %h : f32\n  %u2 = arith.mulf %u, %u : f32\n"
     "  %n = arith.negf %u2 : f32\n  %e = math.exp %n : f32\n  %d = arith.mulf %c, %e : f32\n  %w = arith.mulf %x, %d "
     ": f32\n"
     "  %y = arith.addf %g, %w : f32\n"},
};

static void activation_text(text *t, const char *kind, bool value, bool slope) {
  size_t i = 0;
  while (strcmp(activations[i].kind, kind)) ++i;
  if (value)
    text_printf(t, "func.func private @act_%s(%%x: f32) -> f32 {\n%s  return %%y : f32\n}\n", kind,
                activations[i].value);
  if (slope)
    text_printf(t, "func.func private @slope_%s(%%x: f32) -> f32 {\n%s  return %%y : f32\n}\n", kind,
                activations[i].slope);
}

const char *formula_activation(ir *m, const char *kind) {
  text t = {0};
  activation_text(&t, kind, true, false);
  return add(m, arena_printf(m->arena, "act_%s", kind), &t);
}

const char *formula_activation_grad(ir *m, const char *kind) {
  text t = {0};
  activation_text(&t, kind, false, true);
  text_printf(
      &t,
      "func.func private @act_grad_%s(%%x: f32, %%dy: f32) -> f32 {\n  %%s = func.call @slope_%s(%%x) : (f32) -> f32\n"
      "  %%dx = arith.mulf %%s, %%dy : f32\n  return %%dx : f32\n}\n",
      kind, kind);
  return add(m, arena_printf(m->arena, "act_grad_%s", kind), &t);
}

const char *formula_glu(ir *m, const char *kind) {
  text t = {0};
  activation_text(&t, kind, true, false);
  text_printf(&t,
              "func.func private @glu_%s(%%g: f32, %%u: f32) -> f32 {\n  %%a = func.call @act_%s(%%g) : (f32) -> f32\n"
              "  %%y = arith.mulf %%a, %%u : f32\n  return %%y : f32\n}\n",
              kind, kind);
  return add(m, arena_printf(m->arena, "glu_%s", kind), &t);
}

// value: whether it returns y too.
static const char *glu_grad(ir *m, const char *kind, bool value) {
  const char *name = arena_printf(m->arena, "glu_grad_%s%s", value ? "value_" : "", kind);
  text t = {0};
  activation_text(&t, kind, true, true);
  text_printf(
      &t,
      "func.func private @%s(%%g: f32, %%u: f32, %%dy: f32) -> (f32, f32%s) {\n"
      "  %%a = func.call @act_%s(%%g) : (f32) -> f32\n  %%s = func.call @slope_%s(%%g) : (f32) -> f32\n"
      "  %%p = arith.mulf %%dy, %%u : f32\n  %%dg = arith.mulf %%p, %%s : f32\n  %%du = arith.mulf %%dy, %%a : f32\n",
      name, value ? ", f32" : "", kind, kind);
  text_add(&t, value ? "  %y = arith.mulf %a, %u : f32\n  return %dg, %du, %y : f32, f32, f32\n}\n"
                     : "  return %dg, %du : f32, f32\n}\n");
  return add(m, name, &t);
}

const char *formula_glu_grad(ir *m, const char *kind) { return glu_grad(m, kind, false); }

const char *formula_glu_grad_value(ir *m, const char *kind) { return glu_grad(m, kind, true); }

const char *formula_glu_kind(const char *body) { return body + strlen("glu_"); }

// ---- norms --------------------------------------------------------------------------------------

#define ARGUMENTS(...)                                                                                                 \
  (const char *const[]){__VA_ARGS__}, (int)(sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static const char *norm_rms_stage(ir *m, const char *name, const char *const *arguments, int count,
                                  const char *formula) {
  text t = {0};
  open(&t, name, arguments, count, 1);
  text_add(&t, formula);
  text_add(&t, "}\n");
  return add(m, name, &t);
}

// (sum of squares) -> 1 / sqrt(sum / columns + eps), as ops on %q giving %rstd.
static const char *rstd_text(ir *m, int64_t columns, double eps) {
  return arena_printf(
      m->arena,
      "  %%in = arith.constant %s : f32\n  %%eps = arith.constant %s : f32\n  %%ms = arith.mulf %%q, %%in : f32\n"
      "  %%ve = arith.addf %%ms, %%eps : f32\n  %%rstd = math.rsqrt %%ve : f32\n",
      constant(m, 1.0 / (double)columns), constant(m, eps));
}

static row_formula norm_rms(ir *m, int64_t columns, double eps) {
  const char *suffix = arena_printf(m->arena, "%lld_%s", (long long)columns, constant(m, eps) + 2),
             *rstd = rstd_text(m, columns, eps);
  row_formula f = {.stage_count = 2, .reductions = {"sum"}};
  f.stages[0] =
      norm_rms_stage(m, "rms_square", ARGUMENTS("x", "w"), "  %y = arith.mulf %x, %x : f32\n  return %y : f32\n");
  f.stages[1] =
      norm_rms_stage(m, arena_printf(m->arena, "rms_%s", suffix), ARGUMENTS("x", "w", "q"),
                     arena_printf(m->arena,
                                  "%s  %%n = arith.mulf %%x, %%rstd : f32\n  %%y = arith.mulf %%n, %%w : f32\n"
                                  "  return %%y : f32\n",
                                  rstd));
  f.finish = norm_rms_stage(m, arena_printf(m->arena, "rms_rstd_%s", suffix), ARGUMENTS("q"),
                            arena_printf(m->arena, "%s  return %%rstd : f32\n", rstd));
  return f;
}

static row_formula norm_layer(ir *m, int64_t columns, double eps) {
  const char *suffix = arena_printf(m->arena, "%lld_%s", (long long)columns, constant(m, eps) + 2),
             *rstd = rstd_text(m, columns, eps);
  const char *mean = arena_printf(m->arena, "  %%im = arith.constant %s : f32\n  %%mean = arith.mulf %%s, %%im : f32\n",
                                  constant(m, 1.0 / (double)columns));
  row_formula f = {.stage_count = 3, .reductions = {"sum", "sum"}};
  f.stages[0] = norm_rms_stage(m, "layer_norm_value", ARGUMENTS("x", "w", "b"), "  return %x : f32\n");
  f.stages[1] = norm_rms_stage(
      m, arena_printf(m->arena, "layer_norm_square_%lld", (long long)columns), ARGUMENTS("x", "w", "b", "s"),
      arena_printf(m->arena,
                   "%s  %%d = arith.subf %%x, %%mean : f32\n  %%y = arith.mulf %%d, %%d : f32\n"
                   "  return %%y : f32\n",
                   mean));
  f.stages[2] = norm_rms_stage(
      m, arena_printf(m->arena, "layer_norm_%s", suffix), ARGUMENTS("x", "w", "b", "s", "q"),
      arena_printf(m->arena,
                   "%s%s  %%d = arith.subf %%x, %%mean : f32\n  %%n = arith.mulf %%d, %%rstd : f32\n"
                   "  %%p = arith.mulf %%n, %%w : f32\n  %%y = arith.addf %%p, %%b : f32\n  return %%y : f32\n",
                   mean, rstd));
  text t = {0};
  f.finish = arena_printf(m->arena, "layer_norm_statistics_%s", suffix);
  open(&t, f.finish, ARGUMENTS("s", "q"), 2);
  text_printf(&t, "%s%s  return %%rstd, %%mean : f32, f32\n}\n", mean, rstd);
  add(m, f.finish, &t);
  return f;
}

row_formula formula_norm(ir *m, const char *kind, int64_t columns, double eps) {
  return strcmp(kind, "rms") ? norm_layer(m, columns, eps) : norm_rms(m, columns, eps);
}

const char *formula_norm_value(ir *m) { // the same operations in the same order as above
  return norm_rms_stage(m, "rms_of", ARGUMENTS("x", "w", "rstd"),
                        "  %n = arith.mulf %x, %rstd : f32\n  %y = arith.mulf %n, %w : f32\n  return %y : f32\n");
}

// rows dy, x; scalars rstd[, mean]; column w.
static row_formula norm_rms_dx(ir *m, int64_t columns) {
  row_formula f = {.stage_count = 2, .reductions = {"sum"}};
  f.stages[0] = norm_rms_stage(m, "rms_dx_product", ARGUMENTS("dy", "x", "rstd", "w"),
                               "  %g = arith.mulf %dy, %w : f32\n  %y = arith.mulf %g, %x : f32\n  return %y : f32\n");
  f.stages[1] = norm_rms_stage(
      m, arena_printf(m->arena, "rms_dx_%lld", (long long)columns), ARGUMENTS("dy", "x", "rstd", "w", "s"),
      arena_printf(m->arena,
                   "  %%in = arith.constant %s : f32\n  %%g = arith.mulf %%dy, %%w : f32\n  %%r2 = arith.mulf %%rstd, "
                   "%%rstd : f32\n"
                   "  %%sn = arith.mulf %%s, %%in : f32\n  %%c = arith.mulf %%sn, %%r2 : f32\n  %%p = arith.mulf %%x, "
                   "%%c : f32\n"
                   "  %%d = arith.subf %%g, %%p : f32\n  %%y = arith.mulf %%d, %%rstd : f32\n  return %%y : f32\n",
                   constant(m, 1.0 / (double)columns)));
  return f;
}

static row_formula norm_layer_dx(ir *m, int64_t columns) {
  row_formula f = {.stage_count = 2, .reductions = {"sum sum"}};
  text t = {0};
  f.stages[0] = "layer_norm_dx_products";
  open(&t, f.stages[0], ARGUMENTS("dy", "x", "rstd", "mean", "w"), 2);
  text_add(&t, "  %g = arith.mulf %dy, %w : f32\n  %d = arith.subf %x, %mean : f32\n  %n = arith.mulf %d, %rstd : f32\n"
               "  %y = arith.mulf %g, %n : f32\n  return %g, %y : f32, f32\n}\n");
  add(m, f.stages[0], &t);
  f.stages[1] = norm_rms_stage(
      m, arena_printf(m->arena, "layer_norm_dx_%lld", (long long)columns),
      ARGUMENTS("dy", "x", "rstd", "mean", "w", "s", "q"),
      arena_printf(
          m->arena,
          "  %%in = arith.constant %s : f32\n  %%g = arith.mulf %%dy, %%w : f32\n  %%d = arith.subf %%x, %%mean : f32\n"
          "  %%n = arith.mulf %%d, %%rstd : f32\n  %%sn = arith.mulf %%s, %%in : f32\n  %%qn = arith.mulf %%q, %%in : "
          "f32\n"
          "  %%p = arith.mulf %%n, %%qn : f32\n  %%e = arith.subf %%g, %%sn : f32\n  %%h = arith.subf %%e, %%p : f32\n"
          "  %%y = arith.mulf %%h, %%rstd : f32\n  return %%y : f32\n",
          constant(m, 1.0 / (double)columns)));
  return f;
}

row_formula formula_norm_dx(ir *m, const char *kind, int64_t columns) {
  return strcmp(kind, "rms") ? norm_layer_dx(m, columns) : norm_rms_dx(m, columns);
}

const char *formula_norm_dw(ir *m, const char *kind) {
  if (strcmp(kind, "rms"))
    return norm_rms_stage(
        m, "layer_norm_dw", ARGUMENTS("dy", "x", "rstd", "mean"),
        "  %d = arith.subf %x, %mean : f32\n  %n = arith.mulf %d, %rstd : f32\n  %y = arith.mulf %dy, %n : f32\n"
        "  return %y : f32\n");
  return norm_rms_stage(m, "rms_dw", ARGUMENTS("dy", "x", "rstd"),
                        "  %n = arith.mulf %x, %rstd : f32\n  %y = arith.mulf %dy, %n : f32\n  return %y : f32\n");
}

// ---- composition --------------------------------------------------------------------------------

// Appends "%a, %b" for the arguments prefix0 … of each kind.
static void names_of(text *t, const char *prefix, int count, bool typed, int *written) {
  for (int i = 0; i < count; ++i)
    text_printf(t, "%s%%%s%d%s", (*written)++ ? ", " : "", prefix, i, typed ? ": f32" : "");
}

static void call(text *t, const char *result, const char *callee, const char *arguments, int count) {
  text_printf(t, "  %%%s = func.call @%s(%s) : (", result, callee, arguments);
  for (int i = 0; i < count; ++i) text_add(t, i ? ", f32" : "f32");
  text_add(t, ") -> f32\n");
}

static void declare(text *t, const char *name, int count) {
  text_printf(t, "func.func private @%s(", name);
  for (int i = 0; i < count; ++i) text_add(t, i ? ", f32" : "f32");
  text_add(t, ") -> f32\n");
}

const char *formula_compose(ir *m, const char *first, int first_columns, int first_rows, const char *second,
                            int second_columns, int second_rows, int at) {
  const char *name = arena_printf(m->arena, "%s_then_%s_%d", first, second, at);
  text t = {0};
  int first_count = 1 + first_columns + first_rows, second_count = 1 + second_columns + second_rows, written = 0;
  declare(&t, first, first_count); // both are in the module already: ir_body leaves these declarations out
  if (strcmp(first, second)) declare(&t, second, second_count);
  text_printf(&t, "func.func private @%s(%%c: f32%s", name, first_count + second_count > 2 ? ", " : "");
  names_of(&t, "fc", first_columns, true, &written);
  names_of(&t, "sc", second_columns, true, &written);
  names_of(&t, "fr", first_rows, true, &written);
  names_of(&t, "sr", second_rows, true, &written);
  text_add(&t, ") -> f32 {\n");
  text arguments = {0};
  text_add(&arguments, "%c");
  written = 1;
  names_of(&arguments, "fc", first_columns, false, &written);
  names_of(&arguments, "fr", first_rows, false, &written);
  call(&t, "v", first, arguments.data, first_count);
  text_free(&arguments);
  written = 0;
  for (int i = 0, other = 0; i <= second_rows; ++i) {
    if (i == at) text_printf(&arguments, "%s%%v", written++ ? ", " : "");
    else text_printf(&arguments, "%s%%sr%d", written++ ? ", " : "", other++);
  }
  names_of(&arguments, "sc", second_columns, false, &written);
  call(&t, "y", second, arguments.data, second_count);
  text_free(&arguments);
  text_add(&t, "  return %y : f32\n}\n");
  return add(m, name, &t);
}

const char *formula_both(ir *m, const char *first, int first_columns, int first_rows, const char *second) {
  const char *name = arena_printf(m->arena, "%s_and_%s", first, second);
  int count = 1 + first_columns + first_rows, written = 1;
  text t = {0}, arguments = {0};
  declare(&t, first, count); // as above
  declare(&t, second, 1);
  text_printf(&t, "func.func private @%s(%%c: f32", name);
  names_of(&t, "fc", first_columns, true, &written);
  names_of(&t, "fr", first_rows, true, &written);
  text_add(&t, ") -> (f32, f32) {\n");
  text_add(&arguments, "%c");
  written = 1;
  names_of(&arguments, "fc", first_columns, false, &written);
  names_of(&arguments, "fr", first_rows, false, &written);
  call(&t, "v", first, arguments.data, count);
  call(&t, "y", second, "%v", 1);
  text_free(&arguments);
  text_add(&t, "  return %v, %y : f32, f32\n}\n");
  return add(m, name, &t);
}
