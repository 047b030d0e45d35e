// Values: 64-bit checked integers, reals, truth values, strings, lists.
#include "frontend/resolve.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static const value nothing = {.type = TYPE_NONE};

const char *type_text(value_type type) {
  static const char *const texts[] = {"nothing", "an integer", "a real number", "a truth value", "a string", "a list"};
  return texts[type];
}

static value make_integer(int64_t integer) { return (value){.type = TYPE_INTEGER, .integer = integer}; }
static value make_truth(bool truth) { return (value){.type = TYPE_TRUTH, .truth = truth}; }

static value make_real(resolver *r, span place, double real) {
  if (isfinite(real)) return (value){.type = TYPE_REAL, .real = real};
  report(r->d, ERROR_OVERFLOW, place, "the result is not a finite number");
  return nothing;
}

static value wrong_operands(resolver *r, const ast_value *v, value left, value right, const char *wanted) {
  const char *op = operator_text(v->operation.op);
  if (v->kind == VALUE_UNARY)
    report(r->d, ERROR_TYPE, v->place, "`%s` takes %s, not %s", op, wanted, type_text(right.type));
  else
    report(r->d, ERROR_TYPE, v->place, "`%s` takes %s, not %s and %s", op, wanted, type_text(left.type),
           type_text(right.type));
  return nothing;
}

static value overflow(resolver *r, const ast_value *v, int64_t left, int64_t right) {
  diagnostic *item = report(r->d, ERROR_OVERFLOW, v->place, "%" PRId64 " %s %" PRId64 " does not fit in 64 bits", left,
                            operator_text(v->operation.op), right);
  report_help(r->d, item, "integers go from -9223372036854775808 to 9223372036854775807");
  return nothing;
}

static value integer_arithmetic(resolver *r, const ast_value *v, int64_t a, int64_t b) {
  int64_t result = 0;
  switch (v->operation.op) {
  case OPERATOR_ADD: return __builtin_add_overflow(a, b, &result) ? overflow(r, v, a, b) : make_integer(result);
  case OPERATOR_SUBTRACT: return __builtin_sub_overflow(a, b, &result) ? overflow(r, v, a, b) : make_integer(result);
  case OPERATOR_MULTIPLY: return __builtin_mul_overflow(a, b, &result) ? overflow(r, v, a, b) : make_integer(result);
  default: break;
  }
  if (b == 0) {
    report(r->d, ERROR_DIVISION, v->place, "division by zero");
    return nothing;
  }
  if (b == -1) { // INT64_MIN / -1 is the one quotient that does not fit
    if (v->operation.op == OPERATOR_REMAINDER) return make_integer(0);
    return a == INT64_MIN ? overflow(r, v, a, b) : make_integer(-a);
  }
  int64_t quotient = a / b, remainder = a % b;
  if (remainder && (remainder < 0) != (b < 0)) --quotient, remainder += b; // floor
  return make_integer(v->operation.op == OPERATOR_DIVIDE ? quotient : remainder);
}

static value real_arithmetic(resolver *r, const ast_value *v, double a, double b) {
  switch (v->operation.op) {
  case OPERATOR_ADD: return make_real(r, v->place, a + b);
  case OPERATOR_SUBTRACT: return make_real(r, v->place, a - b);
  case OPERATOR_MULTIPLY: return make_real(r, v->place, a * b);
  default: break;
  }
  if (b == 0) {
    report(r->d, ERROR_DIVISION, v->place, "division by zero");
    return nothing;
  }
  return make_real(r, v->place, v->operation.op == OPERATOR_DIVIDE ? a / b : a - b * floor(a / b));
}

static bool is_number(value v) { return v.type == TYPE_INTEGER || v.type == TYPE_REAL; }
static double as_real(value v) { return v.type == TYPE_INTEGER ? (double)v.integer : v.real; }

static value compare_values(resolver *r, const ast_value *v, value a, value b) {
  ast_operator op = v->operation.op;
  bool equality = op == OPERATOR_EQUAL || op == OPERATOR_UNEQUAL;
  int order;
  if (a.type == TYPE_INTEGER && b.type == TYPE_INTEGER) order = (a.integer > b.integer) - (a.integer < b.integer);
  else if (is_number(a) && is_number(b)) order = (as_real(a) > as_real(b)) - (as_real(a) < as_real(b));
  else if (equality && a.type == TYPE_TRUTH && b.type == TYPE_TRUTH) order = a.truth != b.truth;
  else if (equality && a.type == TYPE_STRING && b.type == TYPE_STRING) {
    if (!spend(r, (int64_t)strlen(a.string) / 16, v->place)) return nothing;
    order = strcmp(a.string, b.string);
  } else return wrong_operands(r, v, a, b, equality ? "two numbers, strings or truth values" : "two numbers");
  switch (op) {
  case OPERATOR_EQUAL: return make_truth(order == 0);
  case OPERATOR_UNEQUAL: return make_truth(order != 0);
  case OPERATOR_LESS: return make_truth(order < 0);
  case OPERATOR_LESS_EQUAL: return make_truth(order <= 0);
  case OPERATOR_GREATER: return make_truth(order > 0);
  default: return make_truth(order >= 0);
  }
}

// `and` and `or` look at their right side only where it matters.
static value evaluate_logic(resolver *r, const ast_value *v) {
  bool stop = v->operation.op == OPERATOR_OR;
  const ast_value *sides[] = {v->operation.left, v->operation.right};
  for (int i = 0; i < 2; ++i) {
    value side = evaluate(r, sides[i]);
    if (side.type == TYPE_NONE) return nothing;
    if (side.type != TYPE_TRUTH) {
      report(r->d, ERROR_TYPE, sides[i]->place, "`%s` takes truth values, not %s", operator_text(v->operation.op),
             type_text(side.type));
      return nothing;
    }
    if (side.truth == stop) return make_truth(stop);
  }
  return make_truth(!stop);
}

static value evaluate_binary(resolver *r, const ast_value *v) {
  ast_operator op = v->operation.op;
  if (op == OPERATOR_AND || op == OPERATOR_OR) return evaluate_logic(r, v);
  if (op == OPERATOR_THEN) {
    diagnostic *item = report(r->d, ERROR_TYPE, v->place, "a chain of edge modules is not a value");
    report_help(r->d, item, "chains stand in `edge NAME = …`, `default edge = …` and `[edge = …]`");
    return nothing;
  }
  value a = evaluate(r, v->operation.left), b = evaluate(r, v->operation.right);
  if (a.type == TYPE_NONE || b.type == TYPE_NONE) return nothing;
  if (op >= OPERATOR_EQUAL && op <= OPERATOR_GREATER_EQUAL) return compare_values(r, v, a, b);
  if (!is_number(a) || !is_number(b)) return wrong_operands(r, v, a, b, "two numbers");
  if (a.type == TYPE_INTEGER && b.type == TYPE_INTEGER) return integer_arithmetic(r, v, a.integer, b.integer);
  return real_arithmetic(r, v, as_real(a), as_real(b));
}

static value evaluate_unary(resolver *r, const ast_value *v) {
  value a = evaluate(r, v->operation.right);
  if (a.type == TYPE_NONE) return nothing;
  if (v->operation.op == OPERATOR_NOT)
    return a.type == TYPE_TRUTH ? make_truth(!a.truth) : wrong_operands(r, v, nothing, a, "a truth value");
  if (a.type == TYPE_REAL) return make_real(r, v->place, -a.real);
  if (a.type != TYPE_INTEGER) return wrong_operands(r, v, nothing, a, "a number");
  return a.integer == INT64_MIN ? overflow(r, v, 0, a.integer) : make_integer(-a.integer);
}

static value evaluate_list(resolver *r, const ast_value *v) {
  int count = v->list.count, i = 0;
  if (count > LIMIT_LIST) {
    report(r->d, ERROR_LIMIT_LIST, v->place, "this list has %d elements; at most %d are allowed", count, LIMIT_LIST);
    return nothing;
  }
  if (!spend(r, count, v->place)) return nothing;
  value *items = ARENA_ARRAY(r->arena, value, count);
  bool ok = true;
  for (const ast_argument *a = v->list.first; a; a = a->next) {
    items[i] = evaluate(r, a->value);
    ok &= items[i++].type != TYPE_NONE;
  }
  if (!ok) return nothing;
  return (value){.type = TYPE_LIST, .list = {items, count}};
}

static value evaluate_name(resolver *r, const ast_value *v) {
  ast_name name = {v->string.text, v->place};
  symbol *s = symbol_find(r, name.text);
  if (!s) {
    if (module_is_known(name.text)) {
      report(r->d, ERROR_WRONG_KIND, v->place, "`%s` is an edge module, not a value", name.text);
      return nothing;
    }
    report_unknown(r, name, "param", 1u << SYMBOL_PARAM | 1u << SYMBOL_LOOP);
    return nothing;
  }
  if (s->kind == SYMBOL_PARAM || s->kind == SYMBOL_LOOP) {
    r->variables += s->local;
    return s->value;
  }
  diagnostic *item =
      report(r->d, ERROR_WRONG_KIND, v->place, "`%s` is %s, not a value", name.text, symbol_kind_text(s));
  report_also(r->d, item, r->file, s->place, "declared here");
  if (s->kind == SYMBOL_VERTEX) report_help(r->d, item, "`len(%s)` is its number of layers or elements", name.text);
  return nothing;
}

static value index_error(resolver *r, span place, int64_t index, int64_t count) {
  diagnostic *item =
      report(r->d, ERROR_INDEX, place, "index %" PRId64 " is out of range: there %s %" PRId64 " element%s", index,
             count == 1 ? "is" : "are", count, count == 1 ? "" : "s");
  if (count)
    report_help(r->d, item, "indices go from 0 to %" PRId64 ", or from -%" PRId64 " to -1, counted from the end",
                count - 1, count);
  return nothing;
}

static value evaluate_index(resolver *r, const ast_value *v) {
  const ast_value *base = v->operation.left;
  if (base->kind == VALUE_NAME) {
    symbol *s = symbol_find(r, base->string.text);
    if (s && s->kind == SYMBOL_VERTEX) {
      report(r->d, ERROR_WRONG_KIND, v->place, "a vertex is not a value");
      return nothing;
    }
  }
  value list = evaluate(r, base), index = evaluate(r, v->operation.right);
  if (list.type == TYPE_NONE || index.type == TYPE_NONE) return nothing;
  if (list.type != TYPE_LIST || index.type != TYPE_INTEGER) {
    if (list.type != TYPE_LIST)
      report(r->d, ERROR_TYPE, base->place, "only a list has elements, and this is %s", type_text(list.type));
    else report(r->d, ERROR_TYPE, v->operation.right->place, "an index is an integer, not %s", type_text(index.type));
    return nothing;
  }
  int64_t at = index.integer < 0 ? index.integer + list.list.count : index.integer;
  if (at < 0 || at >= list.list.count) return index_error(r, v->operation.right->place, index.integer, list.list.count);
  return list.list.items[at];
}

// len of a vertex array or of one of its layers: v, v[1], r[2].
static value vertex_length(resolver *r, const ast_value *v, const vertex_array *array) {
  if (array->broken) return nothing;
  const ast_value *indices[LIMIT_DIMENSIONS];
  int count = 0;
  for (; v->kind == VALUE_INDEX; v = v->operation.left) {
    if (count == LIMIT_DIMENSIONS) break;
    indices[count++] = v->operation.right;
  }
  if (count >= array->rank) {
    report(r->d, ERROR_TYPE, v->place, "`%s`%s is a single vertex, which has no length", array->name,
           count ? " with its indices" : "");
    return nothing;
  }
  int64_t layer = 0;
  for (int i = 0; i < count; ++i) {
    value index = evaluate(r, indices[count - 1 - i]);
    if (index.type == TYPE_NONE) return nothing;
    if (index.type != TYPE_INTEGER) {
      report(r->d, ERROR_TYPE, indices[count - 1 - i]->place, "an index is an integer, not %s", type_text(index.type));
      return nothing;
    }
    int64_t at = index.integer < 0 ? index.integer + array->sizes[i] : index.integer;
    if (at < 0 || at >= array->sizes[i])
      return index_error(r, indices[count - 1 - i]->place, index.integer, array->sizes[i]);
    layer = at;
  }
  return make_integer(array->layered && count == 1 ? array->widths[layer] : array->sizes[count]);
}

static value evaluate_call(resolver *r, const ast_value *v) {
  ast_name callee = v->call.callee;
  if (strcmp(callee.text, "len")) {
    if (module_is_known(callee.text)) {
      report(r->d, ERROR_WRONG_KIND, callee.place, "`%s` is an edge module, not a value", callee.text);
      return nothing;
    }
    diagnostic *item = report(r->d, ERROR_UNKNOWN_FUNCTION, callee.place, "there is no function `%s`", callee.text);
    report_help(r->d, item, "the one function is `len(x)`, of a list, a vertex array or a layer");
    return nothing;
  }
  static const signature len = {"len", 1, {"x"}};
  const ast_value *argument[SIGNATURE_PARAMETERS];
  if (!bind_arguments(r, &len, callee, &v->call.arguments, argument)) return nothing;
  const ast_value *base = argument[0];
  while (base->kind == VALUE_INDEX) base = base->operation.left;
  if (base->kind == VALUE_NAME) {
    symbol *s = symbol_find(r, base->string.text);
    if (s && s->kind == SYMBOL_VERTEX) return vertex_length(r, argument[0], s->vertex);
  }
  value list = evaluate(r, argument[0]);
  if (list.type == TYPE_NONE) return nothing;
  if (list.type == TYPE_LIST) return make_integer(list.list.count);
  report(r->d, ERROR_TYPE, argument[0]->place, "`len` takes a list, a vertex array or a layer, not %s",
         type_text(list.type));
  return nothing;
}

value evaluate(resolver *r, const ast_value *v) {
  if (!spend(r, 1, v->place)) return nothing;
  switch (v->kind) {
  case VALUE_INT: return make_integer(v->integer);
  case VALUE_REAL: return (value){.type = TYPE_REAL, .real = v->real};
  case VALUE_STRING: return (value){.type = TYPE_STRING, .string = v->string.text};
  case VALUE_BOOL: return make_truth(v->truth);
  case VALUE_LIST: return evaluate_list(r, v);
  case VALUE_NAME: return evaluate_name(r, v);
  case VALUE_CALL: return evaluate_call(r, v);
  case VALUE_INDEX: return evaluate_index(r, v);
  case VALUE_UNARY: return evaluate_unary(r, v);
  case VALUE_BINARY: return evaluate_binary(r, v);
  }
  return nothing;
}
