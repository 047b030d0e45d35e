// Edges: chains of modules with their arguments, sizes still open. A declared edge in a chain is put in its place.
#include "frontend/resolve.h"

#include <string.h>

static const struct module_row {
  signature signature;
  module_kind kind;
  activation_kind activation; // of MODULE_ACTIVATION
} rows[] = {
    {{"linear", 0, {"out", "bias"}}, MODULE_LINEAR, 0},
    {{"mlp", 1, {"hidden", "activation", "bias"}}, MODULE_MLP, 0},
    {{"decoder_layer", 0, {"model"}}, MODULE_DECODER_LAYER, 0},
    {{"attention", 1, {"heads", "bias"}}, MODULE_ATTENTION, 0},
    {{"layer_norm", 0, {"eps"}}, MODULE_LAYER_NORM, 0},
    {{"rms_norm", 0, {"eps"}}, MODULE_RMS_NORM, 0},
    {{"gelu", 0, {"exact"}}, MODULE_ACTIVATION, ACTIVATION_GELU_TANH},
    {{"silu", 0, {NULL}}, MODULE_ACTIVATION, ACTIVATION_SILU},
    {{"relu", 0, {NULL}}, MODULE_ACTIVATION, ACTIVATION_RELU},
    {{"residual", 1, {"chain"}}, MODULE_RESIDUAL, 0},
};

static const struct module_row *find_row(const char *name) {
  for (size_t i = 0; i < LENGTH(rows); ++i)
    if (!strcmp(rows[i].signature.name, name)) return &rows[i];
  return NULL;
}

bool module_is_known(const char *name) { return !strcmp(name, "identity") || find_row(name); }

// Modules of one level, growing in the arena; `total` counts those in residuals too.
typedef struct builder {
  module *modules;
  int count, capacity, total, depth;
} builder;

static bool append(resolver *r, builder *b, const module *modules, int count, int total, span place) {
  if (b->total + total > LIMIT_CHAIN) {
    report(r->d, ERROR_LIMIT_CHAIN, place, "this edge has more than %d modules", LIMIT_CHAIN);
    return false;
  }
  if (!spend(r, 8 * (int64_t)count, place)) return false;
  if (b->count + count > b->capacity) {
    int capacity = b->count + (b->count > 8 ? b->count + count : count);
    module *grown = ARENA_ARRAY(r->arena, module, capacity);
    if (b->count) memcpy(grown, b->modules, sizeof *grown * (size_t)b->count);
    b->modules = grown;
    b->capacity = capacity;
  }
  if (count) memcpy(b->modules + b->count, modules, sizeof *modules * (size_t)count);
  b->count += count;
  b->total += total;
  return true;
}

static bool build_chain(resolver *r, builder *b, ast_value *v);

static bool take_activation(resolver *r, const ast_value *v, activation_kind *result) {
  static const char *const words[] = {"gelu", "silu", "relu"};
  static const activation_kind kinds[] = {ACTIVATION_GELU_TANH, ACTIVATION_SILU, ACTIVATION_RELU};
  if (v->kind == VALUE_CALL && !strcmp(v->call.callee.text, "gelu")) { // gelu(exact = true)
    const ast_value *argument[SIGNATURE_PARAMETERS];
    bool exact = false;
    if (!bind_arguments(r, &find_row("gelu")->signature, v->call.callee, &v->call.arguments, argument)) return false;
    if (argument[0] && !take_truth(r, argument[0], "`exact`", &exact)) return false;
    *result = exact ? ACTIVATION_GELU_ERF : ACTIVATION_GELU_TANH;
    return true;
  }
  int word = 0;
  if (!take_word(r, v, "`activation`", words, (int)LENGTH(words), &word)) return false;
  *result = kinds[word];
  return true;
}

static bool take_eps(resolver *r, const ast_value *v, double *eps) {
  if (!v) return true;
  if (!take_real(r, v, "`eps`", 0, 1, eps)) return false;
  return true;
}

static bool take_arguments(resolver *r, module *m, const ast_value **argument, builder *inner) {
  switch (m->kind) {
  case MODULE_LINEAR:
    return (!argument[0] || take_integer(r, argument[0], "`out`", 1, LIMIT_SIZE, &m->out)) &
           (!argument[1] || take_truth(r, argument[1], "`bias`", &m->bias));
  case MODULE_MLP:
    return take_integer(r, argument[0], "`hidden`", 1, LIMIT_SIZE, &m->hidden) &
           (!argument[1] || take_activation(r, argument[1], &m->activation)) &
           (!argument[2] || take_truth(r, argument[2], "`bias`", &m->bias));
  case MODULE_DECODER_LAYER: return !argument[0] || take_model(r, argument[0], &m->model);
  case MODULE_ATTENTION:
    return take_integer(r, argument[0], "`heads`", 1, LIMIT_SIZE, &m->heads) &
           (!argument[1] || take_truth(r, argument[1], "`bias`", &m->bias));
  case MODULE_LAYER_NORM: m->eps = 1e-5; return take_eps(r, argument[0], &m->eps);
  case MODULE_RMS_NORM: m->eps = 1e-6; return take_eps(r, argument[0], &m->eps);
  case MODULE_ACTIVATION: {
    bool exact = false;
    if (argument[0] && !take_truth(r, argument[0], "`exact`", &exact)) return false;
    if (exact) m->activation = ACTIVATION_GELU_ERF;
    return true;
  }
  case MODULE_RESIDUAL:
    if (!build_chain(r, inner, (ast_value *)argument[0])) return false;
    m->inner = (chain){inner->modules, inner->count};
    return true;
  }
  return false;
}

static bool add_module(resolver *r, builder *b, const struct module_row *row, ast_name callee,
                       const ast_arguments *arguments, span place) {
  const ast_value *argument[SIGNATURE_PARAMETERS];
  if (!bind_arguments(r, &row->signature, callee, arguments, argument)) return false;
  module m = {.kind = row->kind, .place = place, .bias = true, .activation = row->activation, .model = -1};
  builder inner = {.depth = b->depth + 1};
  if (row->kind == MODULE_RESIDUAL && inner.depth > LIMIT_RESIDUAL) {
    report(r->d, ERROR_LIMIT_CHAIN, place, "residuals are nested more than %d deep", LIMIT_RESIDUAL);
    return false;
  }
  if (!take_arguments(r, &m, argument, &inner)) return false;
  return append(r, b, &m, 1, 1 + inner.total, place);
}

static bool unknown_module(resolver *r, ast_name name) {
  diagnostic *item = report(r->d, ERROR_UNKNOWN_MODULE, name.place, "there is no edge module `%s`", name.text);
  if (!item->label_count) return false; // reported in an earlier round
  nearest n = {.wanted = name.text};
  for (size_t i = 0; i < LENGTH(rows); ++i) nearest_try(&n, rows[i].signature.name);
  nearest_try(&n, "identity");
  symbols_nearest(r, &n, 1u << SYMBOL_EDGE);
  if (n.best) report_help(r->d, item, "a module or edge that is close: `%s`", n.best);
  else
    report_help(r->d, item,
                "the modules are identity, linear, mlp, decoder_layer, attention, layer_norm, rms_norm, gelu, silu, "
                "relu and residual");
  return false;
}

static bool add_declared(resolver *r, builder *b, const symbol *s, const ast_arguments *arguments, span place) {
  r->variables += s->local;
  if (arguments) {
    report(r->d, ERROR_ARGUMENT, place, "`%s` is a declared edge, which takes no arguments", s->name);
    return false;
  }
  if (!s->edge || s->edge->broken) return false;
  if (b->depth + s->edge->depth > LIMIT_RESIDUAL) {
    report(r->d, ERROR_LIMIT_CHAIN, place, "residuals are nested more than %d deep", LIMIT_RESIDUAL);
    return false;
  }
  return append(r, b, s->edge->chain.modules, s->edge->chain.count, s->edge->total, place);
}

static bool build_chain(resolver *r, builder *b, ast_value *v) {
  if (!spend(r, 1, v->place)) return false;
  if (v->kind == VALUE_BINARY && v->operation.op == OPERATOR_THEN) {
    bool left = build_chain(r, b, v->operation.left);
    return build_chain(r, b, v->operation.right) && left;
  }
  ast_name callee;
  const ast_arguments *arguments;
  if (!callee_of(v, &callee, &arguments)) {
    diagnostic *item =
        report(r->d, ERROR_TYPE, v->place, "an edge is a chain of modules, such as `decoder_layer then linear`");
    report_label(r->d, item, "this is a value");
    return false;
  }
  symbol *s = symbol_find(r, callee.text);
  if (s && s->kind == SYMBOL_EDGE) return add_declared(r, b, s, arguments, v->place);
  if (!strcmp(callee.text, "identity")) {
    static const signature identity = {"identity", 0, {NULL}};
    const ast_value *none[SIGNATURE_PARAMETERS];
    return bind_arguments(r, &identity, callee, arguments, none);
  }
  const struct module_row *row = find_row(callee.text);
  if (row) return add_module(r, b, row, callee, arguments, v->place);
  if (!s) return unknown_module(r, callee);
  diagnostic *item = report(r->d, ERROR_WRONG_KIND, v->place, "`%s` is %s, not an edge", s->name, symbol_kind_text(s));
  report_also(r->d, item, r->file, s->place, "declared here");
  return false;
}

static int residual_depth(const chain *c) {
  int depth = 0;
  for (int i = 0; i < c->count; ++i) {
    if (c->modules[i].kind != MODULE_RESIDUAL) continue;
    int inner = 1 + residual_depth(&c->modules[i].inner);
    if (inner > depth) depth = inner;
  }
  return depth;
}

edge_template *edge_evaluate(resolver *r, ast_value *v) {
  if (v->kind == VALUE_NAME) {
    symbol *s = symbol_find(r, v->string.text);
    if (s && s->kind == SYMBOL_EDGE && s->edge) return s->edge;
  }
  if (v->resolved) return v->resolved;
  int64_t variables = r->variables;
  builder b = {0};
  edge_template *edge = ARENA_NEW(r->arena, edge_template);
  bool ok = build_chain(r, &b, v);
  *edge = (edge_template){.place = v->place, .chain = {b.modules, b.count}, .total = b.total, .broken = !ok};
  edge->depth = residual_depth(&edge->chain);
  if (variables == r->variables) v->resolved = edge; // nothing of a loop in it: the same in every round
  return edge;
}
