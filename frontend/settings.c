// The train block, its phases, and the same settings as options of the command line.
#include "frontend/resolve.h"

#include <float.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static bool set_loss(resolver *r, phase_draft *p, const ast_value *v) {
  static const signature cross_entropy = {"cross_entropy", 0, {"label_smoothing"}};
  static const char *const words[] = {"cross_entropy"};
  ast_name callee;
  const ast_arguments *arguments;
  const ast_value *argument[SIGNATURE_PARAMETERS];
  int word;
  if (!callee_of(v, &callee, &arguments) || strcmp(callee.text, words[0]))
    return take_word(r, v, "`loss`", words, 1, &word);
  p->settings.label_smoothing = 0;
  if (!bind_arguments(r, &cross_entropy, callee, arguments, argument)) return false;
  if (!argument[0] || !take_real(r, argument[0], "`label_smoothing`", 0, 1, &p->settings.label_smoothing))
    return !argument[0];
  if (p->settings.label_smoothing < 1) return true;
  report(r->d, ERROR_RANGE, argument[0]->place, "`label_smoothing` must be below 1");
  return false;
}

static bool take_betas(resolver *r, const ast_value *v, settings *s) {
  value list = evaluate(r, v);
  if (list.type == TYPE_NONE) return false;
  double betas[2] = {0};
  bool ok = list.type == TYPE_LIST && list.list.count == 2;
  for (int i = 0; ok && i < 2; ++i) {
    value item = list.list.items[i];
    ok = item.type == TYPE_REAL || item.type == TYPE_INTEGER;
    if (ok) betas[i] = item.type == TYPE_REAL ? item.real : (double)item.integer;
    ok = ok && betas[i] >= 0 && betas[i] < 1;
  }
  if (!ok) {
    report(r->d, ERROR_TYPE, v->place, "`betas` takes a list of two numbers from 0 to below 1, such as [0.9, 0.95]");
    return false;
  }
  s->optimizer.beta1 = betas[0];
  s->optimizer.beta2 = betas[1];
  return true;
}

static const settings standard = {
    .optimizer = {.lr = 1e-4, .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8}, .batch = 8, .accumulate = 1};

static bool set_optimizer(resolver *r, phase_draft *p, const ast_value *v) {
  static const signature adamw = {"adamw", 1, {"lr", "betas", "eps", "weight_decay", "decay"}};
  static const char *const words[] = {"adamw"}, *const decays[] = {"matrices", "all"};
  ast_name callee;
  const ast_arguments *arguments;
  const ast_value *argument[SIGNATURE_PARAMETERS];
  int word = 0;
  if (!callee_of(v, &callee, &arguments) || strcmp(callee.text, words[0]))
    return take_word(r, v, "`optimizer`", words, 1, &word);
  settings *s = &p->settings;
  s->optimizer = standard.optimizer;
  if (!bind_arguments(r, &adamw, callee, arguments, argument)) return false;
  bool ok = take_real(r, argument[0], "`lr`", 0, 1e6, &s->optimizer.lr);
  if (argument[1]) ok &= take_betas(r, argument[1], s);
  if (argument[2]) ok &= take_real(r, argument[2], "`eps`", DBL_MIN, 1, &s->optimizer.eps);
  if (argument[3]) ok &= take_real(r, argument[3], "`weight_decay`", 0, 1e6, &s->optimizer.weight_decay);
  if (argument[4]) ok &= take_word(r, argument[4], "`decay`", decays, 2, &word);
  s->optimizer.decay_all = word == 1;
  return ok;
}

static bool set_schedule(resolver *r, phase_draft *p, const ast_value *v) {
  static const char *const words[] = {"constant", "linear", "cosine"}; // as schedule_kind
  ast_name callee;
  const ast_arguments *arguments;
  settings *s = &p->settings;
  s->schedule.kind = SCHEDULE_CONSTANT;
  s->schedule.warmup = 0;
  s->schedule.final = 0;
  for (int i = 0; callee_of(v, &callee, &arguments) && i < (int)LENGTH(words); ++i) {
    if (strcmp(callee.text, words[i])) continue;
    const signature shape = {words[i], 0, {"warmup", "final"}};
    const ast_value *argument[SIGNATURE_PARAMETERS];
    s->schedule.kind = (schedule_kind)i;
    if (!bind_arguments(r, &shape, callee, arguments, argument)) return false;
    return (!argument[0] || take_integer(r, argument[0], "`warmup`", 0, INT32_MAX, &s->schedule.warmup)) &
           (!argument[1] || take_real(r, argument[1], "`final`", 0, 1, &s->schedule.final));
  }
  int word;
  return take_word(r, v, "`schedule`", words, (int)LENGTH(words), &word);
}

static bool set_steps(resolver *r, phase_draft *p, const ast_value *v) {
  return take_integer(r, v, "`steps`", 1, INT32_MAX, &p->settings.steps);
}
static bool set_epochs(resolver *r, phase_draft *p, const ast_value *v) {
  return take_integer(r, v, "`epochs`", 1, INT32_MAX, &p->settings.epochs);
}
static bool set_batch(resolver *r, phase_draft *p, const ast_value *v) {
  return take_integer(r, v, "`batch`", 1, 1 << 20, &p->settings.batch);
}
static bool set_length(resolver *r, phase_draft *p, const ast_value *v) {
  p->length_place = v->place;
  p->length_source = r->d->source;
  return take_integer(r, v, "`length`", 1, 1 << 24, &p->settings.length);
}
static bool set_accumulate(resolver *r, phase_draft *p, const ast_value *v) {
  return take_integer(r, v, "`accumulate`", 1, 1 << 20, &p->settings.accumulate);
}
static bool set_clip(resolver *r, phase_draft *p, const ast_value *v) {
  return take_real(r, v, "`clip`", 0, 1e30, &p->settings.clip);
}
static bool set_evaluate_every(resolver *r, phase_draft *p, const ast_value *v) {
  return take_integer(r, v, "`evaluate_every`", 0, INT32_MAX, &p->settings.evaluate_every);
}
static bool set_save_every(resolver *r, phase_draft *p, const ast_value *v) {
  return take_integer(r, v, "`save_every`", 0, INT32_MAX, &p->settings.save_every);
}
static bool set_seed(resolver *r, phase_draft *p, const ast_value *v) {
  int64_t seed;
  if (!take_integer(r, v, "`seed`", 0, INT64_MAX, &seed)) return false;
  p->settings.seed = (uint64_t)seed;
  return true;
}
static bool set_data(resolver *r, phase_draft *p, const ast_value *v) {
  return take_string(r, v, "`data`", &p->settings.data);
}
static bool set_validation(resolver *r, phase_draft *p, const ast_value *v) {
  return take_string(r, v, "`validation`", &p->settings.validation);
}
static bool set_prompt(resolver *r, phase_draft *p, const ast_value *v) {
  return take_string(r, v, "`prompt`", &p->settings.prompt);
}
static bool set_completion(resolver *r, phase_draft *p, const ast_value *v) {
  return take_string(r, v, "`completion`", &p->settings.completion);
}

// One name of `freeze`: models, edges, a model, an edge declaration, an unshared vertex, array, layer or element. NULL
// after an error.
static const char *freeze_vertex(resolver *r, const ast_value *v, symbol *s) {
  const vertex_array *a = s->vertex;
  if (a->broken) return NULL;
  if (a->shared) {
    const char *owner = r->models[a->model].name;
    diagnostic *item =
        report(r->d, ERROR_FREEZE_SHARED, v->place, "`%s` shares the parameters of the model `%s`", a->name, owner);
    report_also(r->d, item, r->file, a->place, "declared here");
    report_help(r->d, item, "freeze `%s`, or declare `vertex %s … [share = false]`", owner, a->name);
    return NULL;
  }
  const ast_value *indices[LIMIT_DIMENSIONS];
  int count = 0;
  for (const ast_value *at = v; at->kind == VALUE_INDEX; at = at->operation.left) {
    if (count == LIMIT_DIMENSIONS || count == a->rank) {
      report(r->d, ERROR_INDICES, v->place, "`%s` has %d dimension%s", a->name, a->rank, a->rank == 1 ? "" : "s");
      return NULL;
    }
    indices[count++] = at->operation.right;
  }
  const char *name = a->name;
  int64_t layer = 0;
  for (int i = 0; i < count; ++i) {
    int64_t size = a->layered && i == 1 ? a->widths[layer] : a->sizes[i], at;
    if (!take_integer(r, indices[count - 1 - i], "an index", INT64_MIN, INT64_MAX, &at)) return NULL;
    if (at < -size || at >= size) {
      diagnostic *item = report(r->d, ERROR_INDEX, indices[count - 1 - i]->place,
                                "index %" PRId64 " of `%s` is out of range: the size is %" PRId64, at, a->name, size);
      report_also(r->d, item, r->file, a->place, "declared here");
      return NULL;
    }
    if (at < 0) at += size;
    layer = at;
    name = arena_printf(r->arena, "%s[%" PRId64 "]", name, at);
  }
  return name;
}

static const char *freeze_name(resolver *r, const ast_value *v) {
  const ast_value *base = v;
  while (base->kind == VALUE_INDEX) base = base->operation.left;
  if (base->kind != VALUE_NAME && v->kind != VALUE_STRING) {
    diagnostic *item = report(r->d, ERROR_TYPE, v->place, "`freeze` takes names");
    report_help(r->d, item, "`models`, `edges`, a model, an edge declaration, an unshared vertex, or a list of these");
    return NULL;
  }
  const char *name = base->string.text;
  symbol *s = symbol_find(r, name);
  if (s && s->kind == SYMBOL_PARAM && base == v && s->value.type == TYPE_STRING)
    s = symbol_find(r, name = s->value.string);
  if (base == v && (!strcmp(name, "models") || !strcmp(name, "edges"))) return name;
  if (s && s->kind == SYMBOL_VERTEX) return freeze_vertex(r, v, s);
  if (s && base == v && (s->kind == SYMBOL_MODEL || s->kind == SYMBOL_EDGE)) return name;
  if (s) {
    diagnostic *item = report(r->d, ERROR_WRONG_KIND, v->place, "`%s` is %s and cannot be frozen%s", name,
                              symbol_kind_text(s), base == v ? "" : " by an index");
    report_also(r->d, item, r->file, s->place, "declared here");
    return NULL;
  }
  diagnostic *item = report(r->d, ERROR_UNKNOWN_NAME, base->place, "there is nothing `%s` to freeze", name);
  nearest n = {.wanted = name};
  nearest_try(&n, "models");
  nearest_try(&n, "edges");
  symbols_nearest(r, &n, 1u << SYMBOL_MODEL | 1u << SYMBOL_EDGE | 1u << SYMBOL_VERTEX);
  if (n.best) report_help(r->d, item, "a name that is close: `%s`", n.best);
  else report_help(r->d, item, "`models`, `edges`, a model, an edge declaration or an unshared vertex");
  return NULL;
}

static bool set_freeze(resolver *r, phase_draft *p, const ast_value *v) {
  bool list = v->kind == VALUE_LIST, ok = true;
  int count = list ? v->list.count : 1, i = 0;
  if (count > LIMIT_LIST) {
    report(r->d, ERROR_LIMIT_LIST, v->place, "this list has %d elements; at most %d are allowed", count, LIMIT_LIST);
    return false;
  }
  const char **names = ARENA_ARRAY(r->arena, const char *, count);
  if (!list) ok = (names[i++] = freeze_name(r, v)) != NULL;
  else
    for (const ast_argument *a = v->list.first; a; a = a->next) ok &= (names[i++] = freeze_name(r, a->value)) != NULL;
  p->settings.freeze = names;
  p->settings.freeze_count = ok ? count : 0;
  return ok;
}

static const struct setting_row {
  const char *name;
  bool (*set)(resolver *, phase_draft *, const ast_value *);
  bool string; // on the command line without quotes
} rows[] = {
    {"loss", set_loss, false},
    {"optimizer", set_optimizer, false},
    {"schedule", set_schedule, false},
    {"steps", set_steps, false},
    {"epochs", set_epochs, false},
    {"batch", set_batch, false},
    {"length", set_length, false},
    {"accumulate", set_accumulate, false},
    {"clip", set_clip, false},
    {"freeze", set_freeze, false},
    {"seed", set_seed, false},
    {"data", set_data, true},
    {"validation", set_validation, true},
    {"prompt", set_prompt, true},
    {"completion", set_completion, true},
    {"evaluate_every", set_evaluate_every, false},
    {"save_every", set_save_every, false},
};

static const struct setting_row *find_row(const char *name) {
  for (size_t i = 0; i < LENGTH(rows); ++i)
    if (!strcmp(rows[i].name, name)) return &rows[i];
  return NULL;
}

static void unknown_setting(resolver *r, ast_name name) {
  diagnostic *item = report(r->d, ERROR_SETTING, name.place, "`train` has no setting `%s`", name.text);
  nearest n = {.wanted = name.text};
  for (size_t i = 0; i < LENGTH(rows); ++i) nearest_try(&n, rows[i].name);
  if (n.best) report_help(r->d, item, "a setting that is close: `%s`", n.best);
}

static void apply(resolver *r, phase_draft *p, const ast_arguments *list) {
  const ast_argument *seen[LENGTH(rows)] = {0};
  for (const ast_argument *a = list->first; a; a = a->next) {
    const struct setting_row *row = find_row(a->name.text);
    if (!row) {
      unknown_setting(r, a->name);
      continue;
    }
    const ast_argument **first = &seen[row - rows];
    if (*first) {
      diagnostic *item =
          report(r->d, ERROR_SETTING_TWICE, a->name.place, "the setting `%s` is given twice", a->name.text);
      report_also(r->d, item, NULL, (*first)->name.place, "first here");
      continue;
    }
    *first = a;
    row->set(r, p, a->value);
  }
}

void run_train(resolver *r, const ast_statement *s) {
  if (r->train_said) {
    diagnostic *item = report(r->d, ERROR_SETTING_TWICE, s->place, "there are two `train` blocks");
    report_also(r->d, item, r->file, r->train_place, "the first is here");
    return;
  }
  r->train_said = true;
  r->train_place = s->place;
  phase_draft base = {.settings = standard};
  base.settings.phase = "train";
  apply(r, &base, &s->settings);
  int count = 0;
  for (const ast_phase *phase = s->phases; phase; phase = phase->next) ++count;
  r->phases = ARENA_ARRAY(r->arena, phase_draft, count ? count : 1);
  r->phases[0] = base;
  r->phase_count = count ? count : 1;
  int i = 0;
  for (const ast_phase *phase = s->phases; phase; phase = phase->next, ++i) {
    r->phases[i] = base;
    r->phases[i].settings.phase = phase->name.text;
    for (const ast_phase *other = s->phases; other != phase; other = other->next) {
      if (!spend(r, 1, phase->name.place)) return;
      if (strcmp(other->name.text, phase->name.text)) continue;
      diagnostic *item =
          report(r->d, ERROR_SETTING_TWICE, phase->name.place, "there are two phases `%s`", phase->name.text);
      report_also(r->d, item, r->file, other->name.place, "the first is here");
      break;
    }
    apply(r, &r->phases[i], &phase->settings);
  }
}

// One option of the command line, for every phase. A string may be without quotes.
static void override(resolver *r, const define *o, int order) {
  const struct setting_row *row = find_row(o->name);
  const char *shown = arena_printf(r->arena, "--%s %s", o->name, o->value);
  size_t offset = strlen(o->name) + 3;
  r->d->source = source_create(r->arena, "command line", shown, strlen(shown), order);
  span name_place = {1, 3, 1, (int)offset}, value_place = {1, (int)offset + 1, 1, (int)strlen(shown) + 1};
  if (!row) {
    unknown_setting(r, (ast_name){o->name, name_place});
    return;
  }
  ast_value plain = {.kind = VALUE_STRING, .place = value_place, .string = {o->value}};
  const ast_value *v = &plain;
  if (!row->string || o->value[0] == '"') v = parse_value(r->d, shown, strlen(shown), offset);
  for (int i = 0; v && i < r->phase_count; ++i) row->set(r, &r->phases[i], v);
}

static void check_length(resolver *r, phase_draft *p) {
  int at = r->input_model;
  int64_t positions = at < 0 || !r->models[at].description.learned_positions ? 0 : r->models[at].description.positions;
  settings *s = &p->settings;
  if (!p->length_source) {
    s->length = positions && positions < 128 ? positions : 128;
    return;
  }
  if (!positions || s->length <= positions) return;
  r->d->source = p->length_source;
  diagnostic *item = report(r->d, ERROR_LENGTH, p->length_place,
                            "`length` is %" PRId64 ", but the model `%s` has %" PRId64 " positions", s->length,
                            r->models[at].name, positions);
  report_help(r->d, item, "its position table is learned: no longer sequence has a meaning");
}

void finish_settings(resolver *r) {
  if (!r->phase_count) {
    r->phases = ARENA_NEW(r->arena, phase_draft);
    r->phases[0] = (phase_draft){.settings = standard};
    r->phases[0].settings.phase = "train";
    r->phase_count = 1;
  }
  for (int i = 0; i < r->override_count; ++i) override(r, &r->overrides[i], r->define_count + 1 + i);
  for (int i = 0; i < r->phase_count; ++i) check_length(r, &r->phases[i]);
  r->d->source = r->file;
}
