// Arguments of calls, options in brackets, and the values that they take.
#include "frontend/resolve.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static bool wrong_type(resolver *r, const ast_value *v, const char *what, const char *wanted, value got) {
  if (got.type == TYPE_NONE) return false;
  report(r->d, ERROR_TYPE, v->place, "%s takes %s, not %s", what, wanted, type_text(got.type));
  return false;
}

bool take_integer(resolver *r, const ast_value *v, const char *what, int64_t least, int64_t most, int64_t *result) {
  value got = evaluate(r, v);
  if (got.type != TYPE_INTEGER) return wrong_type(r, v, what, "an integer", got);
  *result = got.integer;
  if (got.integer >= least && got.integer <= most) return true;
  if (got.integer < least)
    report(r->d, ERROR_RANGE, v->place, "%s must be at least %" PRId64 ", not %" PRId64, what, least, got.integer);
  else report(r->d, ERROR_RANGE, v->place, "%s must be at most %" PRId64 ", not %" PRId64, what, most, got.integer);
  return false;
}

bool take_real(resolver *r, const ast_value *v, const char *what, double least, double most, double *result) {
  value got = evaluate(r, v);
  if (got.type != TYPE_INTEGER && got.type != TYPE_REAL) return wrong_type(r, v, what, "a number", got);
  *result = got.type == TYPE_REAL ? got.real : (double)got.integer;
  if (*result >= least && *result <= most) return true;
  if (*result < least) report(r->d, ERROR_RANGE, v->place, "%s must be at least %g, not %g", what, least, *result);
  else report(r->d, ERROR_RANGE, v->place, "%s must be at most %g, not %g", what, most, *result);
  return false;
}

bool take_truth(resolver *r, const ast_value *v, const char *what, bool *result) {
  value got = evaluate(r, v);
  if (got.type != TYPE_TRUTH) return wrong_type(r, v, what, "`true` or `false`", got);
  *result = got.truth;
  return true;
}

bool take_string(resolver *r, const ast_value *v, const char *what, const char **result) {
  if (v->kind == VALUE_NAME && !symbol_find(r, v->string.text)) {
    diagnostic *item = report(r->d, ERROR_TYPE, v->place, "%s takes a string, not a name", what);
    report_help(r->d, item, "put it in quotes: \"%s\"", v->string.text);
    return false;
  }
  value got = evaluate(r, v);
  if (got.type != TYPE_STRING) return wrong_type(r, v, what, "a string", got);
  *result = got.string;
  return true;
}

// One of a few words; a string param may name the word, so that -D can choose it.
bool take_word(resolver *r, const ast_value *v, const char *what, const char *const *words, int count, int *result) {
  const char *word = v->kind == VALUE_NAME || v->kind == VALUE_STRING ? v->string.text
                     : v->kind == VALUE_CALL                          ? v->call.callee.text
                                                                      : NULL;
  if (v->kind == VALUE_NAME) {
    symbol *s = symbol_find(r, word);
    if (s && (s->kind == SYMBOL_PARAM || s->kind == SYMBOL_LOOP)) {
      r->variables += s->local;
      if (s->value.type == TYPE_NONE) return false;
      word = s->value.type == TYPE_STRING ? s->value.string : NULL;
    }
  }
  for (int i = 0; word && v->kind != VALUE_CALL && i < count; ++i)
    if (!strcmp(word, words[i])) return *result = i, true;
  text list = {0};
  for (int i = 0; i < count; ++i) text_printf(&list, "%s`%s`", i == 0 ? "" : i + 1 == count ? " or " : ", ", words[i]);
  diagnostic *item;
  if (word && v->kind != VALUE_CALL)
    item = report(r->d, ERROR_WORD, v->place, "%s is %s, not `%s`", what, list.data, word);
  else item = report(r->d, ERROR_WORD, v->place, "%s is %s", what, list.data);
  nearest n = {.wanted = word ? word : ""};
  for (int i = 0; i < count; ++i) nearest_try(&n, words[i]);
  if (n.best) report_help(r->d, item, "a word that is close: `%s`", n.best);
  text_free(&list);
  return false;
}

bool take_model(resolver *r, const ast_value *v, int *result) {
  if (v->kind != VALUE_NAME) {
    report(r->d, ERROR_TYPE, v->place, "`model` takes the name of a model");
    return false;
  }
  symbol *s = symbol_find(r, v->string.text);
  if (!s) {
    report_unknown(r, (ast_name){v->string.text, v->place}, "model", 1u << SYMBOL_MODEL);
    return false;
  }
  if (s->kind != SYMBOL_MODEL) {
    diagnostic *item =
        report(r->d, ERROR_WRONG_KIND, v->place, "`%s` is %s, not a model", s->name, symbol_kind_text(s));
    report_also(r->d, item, r->file, s->place, "declared here");
    return false;
  }
  *result = s->model;
  return s->model >= 0; // else reported where it is declared
}

bool callee_of(const ast_value *v, ast_name *callee, const ast_arguments **arguments) {
  if (v->kind == VALUE_NAME) {
    *callee = (ast_name){v->string.text, v->place};
    *arguments = NULL;
    return true;
  }
  if (v->kind != VALUE_CALL) return false;
  *callee = v->call.callee;
  *arguments = &v->call.arguments;
  return true;
}

static int parameter_count(const signature *s) {
  int count = 0;
  while (count < SIGNATURE_PARAMETERS && s->parameters[count]) ++count;
  return count;
}

static bool unknown_argument(resolver *r, const signature *s, ast_name name) {
  diagnostic *item = report(r->d, ERROR_ARGUMENT, name.place, "`%s` has no argument `%s`", s->name, name.text);
  nearest n = {.wanted = name.text};
  text list = {0};
  int count = parameter_count(s);
  for (int i = 0; i < count; ++i) {
    nearest_try(&n, s->parameters[i]);
    text_printf(&list, "%s`%s`", i ? ", " : "", s->parameters[i]);
  }
  if (n.best) report_help(r->d, item, "a name that is close: `%s`", n.best);
  else if (count) report_help(r->d, item, "its arguments are %s", list.data);
  else report_help(r->d, item, "it takes no arguments");
  text_free(&list);
  return false;
}

bool bind_arguments(resolver *r, const signature *s, ast_name callee, const ast_arguments *arguments,
                    const ast_value **bound) {
  int count = parameter_count(s), position = 0;
  bool ok = true, named = false;
  for (int i = 0; i < SIGNATURE_PARAMETERS; ++i) bound[i] = NULL;
  for (const ast_argument *a = arguments ? arguments->first : NULL; a; a = a->next) {
    int at = 0;
    if (a->name.text) {
      named = true;
      while (at < count && strcmp(s->parameters[at], a->name.text)) ++at;
      if (at == count) {
        ok = unknown_argument(r, s, a->name);
        continue;
      }
    } else if (named) {
      report(r->d, ERROR_ARGUMENT, a->value->place, "an argument without a name stands before those with one");
      ok = false;
      continue;
    } else if ((at = position++) >= count) {
      report(r->d, ERROR_ARGUMENT, a->value->place, "`%s` takes %d argument%s at most", s->name, count,
             count == 1 ? "" : "s");
      return false;
    }
    if (bound[at]) {
      report(r->d, ERROR_ARGUMENT, a->name.place, "the argument `%s` is given twice", s->parameters[at]);
      ok = false;
    }
    bound[at] = a->value;
  }
  for (int i = 0; ok && i < s->required; ++i) {
    if (bound[i]) continue;
    diagnostic *item =
        report(r->d, ERROR_ARGUMENT, callee.place, "`%s` needs the argument `%s`", s->name, s->parameters[i]);
    report_help(r->d, item, "write `%s(%s = …)`", s->name, s->parameters[i]);
    ok = false;
  }
  return ok;
}

bool bind_options(resolver *r, const char *of, const char *const *names, int count, const ast_arguments *options,
                  ast_argument **bound) {
  bool ok = true;
  for (int i = 0; i < count; ++i) bound[i] = NULL;
  for (ast_argument *a = options->first; a; a = a->next) {
    int at = 0;
    while (at < count && strcmp(names[at], a->name.text)) ++at;
    if (at == count) {
      diagnostic *item = report(r->d, ERROR_OPTION, a->name.place, "%s has no option `%s`", of, a->name.text);
      nearest n = {.wanted = a->name.text};
      text list = {0};
      for (int i = 0; i < count; ++i) {
        nearest_try(&n, names[i]);
        text_printf(&list, "%s`%s`", i ? ", " : "", names[i]);
      }
      if (n.best) report_help(r->d, item, "an option that is close: `%s`", n.best);
      else if (count) report_help(r->d, item, "its options are %s", list.data);
      text_free(&list);
      ok = false;
    } else if (bound[at]) {
      diagnostic *item =
          report(r->d, ERROR_OPTION_TWICE, a->name.place, "the option `%s` is given twice", a->name.text);
      report_also(r->d, item, NULL, bound[at]->name.place, "first here");
      ok = false;
    } else {
      bound[at] = a;
    }
  }
  return ok;
}
