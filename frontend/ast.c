#include "frontend/ast.h"

#include <string.h>

const char *operator_text(ast_operator op) {
  static const char *const texts[] = {
      "then", "or", "and", "not", "==", "!=", "<", "<=", ">", ">=", "+", "-", "*", "/", "%", "-"};
  return texts[op];
}

static void check_depth(parse_state *p, int depth, span place) {
  if (depth <= AST_DEPTH_LIMIT || p->stopped) return;
  p->failed = p->stopped = true;
  report(p->diagnostics, ERROR_NESTING, place, "this is nested more than %d deep", AST_DEPTH_LIMIT);
}

static int deeper(int depth, const ast_value *value) { return value && value->depth > depth ? value->depth : depth; }

ast_value *ast_make(parse_state *p, ast_value_kind kind, span place) {
  ast_value *value = ARENA_NEW(p->arena, ast_value);
  value->kind = kind;
  value->place = place;
  value->depth = 1;
  return value;
}

ast_value *ast_name_value(parse_state *p, ast_name name) {
  ast_value *value = ast_make(p, VALUE_NAME, name.place);
  value->string.text = name.text;
  return value;
}

static ast_value *ast_operation(parse_state *p, ast_value_kind kind, ast_operator op, ast_value *left, ast_value *right,
                                span place) {
  ast_value *value = ast_make(p, kind, place);
  value->operation.op = op;
  value->operation.left = left;
  value->operation.right = right;
  value->depth = 1 + deeper(deeper(0, left), right);
  check_depth(p, value->depth, place);
  return value;
}

ast_value *ast_binary(parse_state *p, ast_operator op, ast_value *left, ast_value *right) {
  return ast_operation(p, VALUE_BINARY, op, left, right, span_join(left->place, right->place));
}

ast_value *ast_unary(parse_state *p, ast_operator op, ast_value *right, span place) {
  return ast_operation(p, VALUE_UNARY, op, NULL, right, place);
}

ast_value *ast_index_value(parse_state *p, ast_value *left, ast_value *right, span place) {
  return ast_operation(p, VALUE_INDEX, OPERATOR_ADD, left, right, place);
}

static int arguments_depth(const ast_arguments *list) {
  int depth = 0;
  for (const ast_argument *a = list->first; a; a = a->next) depth = deeper(depth, a->value);
  return depth;
}

ast_value *ast_call(parse_state *p, ast_name callee, ast_arguments arguments, span place) {
  ast_value *value = ast_make(p, VALUE_CALL, place);
  value->call.callee = callee;
  value->call.arguments = arguments;
  value->depth = 1 + arguments_depth(&arguments);
  check_depth(p, value->depth, place);
  return value;
}

ast_value *ast_list(parse_state *p, ast_arguments elements, span place) {
  ast_value *value = ast_make(p, VALUE_LIST, place);
  value->list = elements;
  value->depth = 1 + arguments_depth(&elements);
  check_depth(p, value->depth, place);
  return value;
}

void ast_append(parse_state *p, ast_arguments *list, ast_name name, ast_value *value) {
  ast_argument *argument = ARENA_NEW(p->arena, ast_argument);
  argument->name = name;
  argument->value = value;
  if (list->last) list->last->next = argument;
  else list->first = argument;
  list->last = argument;
  ++list->count;
}

ast_node *ast_node_make(parse_state *p, ast_name name) {
  ast_node *node = ARENA_NEW(p->arena, ast_node);
  node->name = name;
  node->place = name.place;
  return node;
}

static void report_options_place(parse_state *p, span place) {
  p->failed = true;
  report(p->diagnostics, ERROR_OPTIONS_PLACE, place, "options stand once, at the end of the statement");
}

void ast_node_index(parse_state *p, ast_node *node, ast_value *at, ast_value *end, span place) {
  if (node->has_options) report_options_place(p, node->options_place);
  ast_index *index = ARENA_NEW(p->arena, ast_index);
  *index = (ast_index){.at = at, .end = end, .place = place};
  if (node->last_index) node->last_index->next = index;
  else node->indices = index;
  node->last_index = index;
  node->place = span_join(node->place, place);
  check_depth(p, ++node->depth, node->place);
}

void ast_node_options(parse_state *p, ast_node *node, ast_arguments options, span place) {
  if (node->has_options) report_options_place(p, place);
  node->options = options;
  node->options_place = place;
  node->has_options = true;
}

ast_node *ast_set_add(ast_node *set, ast_node *node) {
  set->last_in_set->next = node;
  set->last_in_set = node;
  return set;
}

ast_nodes *ast_nodes_make(parse_state *p, ast_node *first, span place, bool braces) {
  ast_nodes *nodes = ARENA_NEW(p->arena, ast_nodes);
  *nodes = (ast_nodes){.first = first, .place = place, .braces = braces};
  nodes->last_in_arrows = nodes;
  return nodes;
}

ast_nodes *ast_arrow_add(ast_nodes *arrows, ast_nodes *nodes) {
  arrows->last_in_arrows->next = nodes;
  arrows->last_in_arrows = nodes;
  return arrows;
}

ast_dimension *ast_dimension_add(parse_state *p, ast_dimension *dimensions, ast_arguments values, span place) {
  ast_dimension *added = ARENA_NEW(p->arena, ast_dimension);
  *added = (ast_dimension){.values = values, .place = place};
  if (!dimensions) return added->last = added;
  dimensions->last->next = added;
  dimensions->last = added;
  return dimensions;
}

void ast_phase_add(parse_state *p, ast_statement *train, ast_name name, ast_arguments settings) {
  ast_phase *phase = ARENA_NEW(p->arena, ast_phase);
  *phase = (ast_phase){.name = name, .settings = settings};
  if (train->last_phase) train->last_phase->next = phase;
  else train->phases = phase;
  train->last_phase = phase;
}

ast_statement *ast_statement_make(parse_state *p, ast_statement_kind kind, span place) {
  ast_statement *statement = ARENA_NEW(p->arena, ast_statement);
  statement->kind = kind;
  statement->place = place;
  return statement;
}

void ast_block_add(ast_block *block, ast_statement *statement) {
  if (!statement) return;
  if (block->last) block->last->next = statement;
  else block->first = statement;
  block->last = statement;
}
