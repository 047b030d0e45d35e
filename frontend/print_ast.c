// --emit=ast: the file as it was parsed, one statement a line, every value fully bracketed.
#include "frontend/ast.h"

#include <inttypes.h>
#include <stdlib.h>

static void print_value(const ast_value *v, text *out);

static void print_string(const char *string, text *out) {
  text_add(out, "\"");
  for (const char *p = string; *p; ++p) {
    if (*p == '\n') text_add(out, "\\n");
    else if (*p == '\t') text_add(out, "\\t");
    else if (*p == '"' || *p == '\\') text_printf(out, "\\%c", *p);
    else text_add_bytes(out, p, 1);
  }
  text_add(out, "\"");
}

static void print_arguments(const ast_arguments *list, text *out) {
  for (const ast_argument *a = list->first; a; a = a->next) {
    if (a->name.text) text_printf(out, "%s = ", a->name.text);
    print_value(a->value, out);
    if (a->next) text_add(out, ", ");
  }
}

// The shortest text that reads back as the same real, and as a real.
static void print_real(double real, text *out) {
  char digits[40];
  for (int precision = 1; precision <= 17; ++precision) {
    snprintf(digits, sizeof digits, "%.*e", precision - 1, real);
    if (strtod(digits, NULL) == real) break;
  }
  text_add(out, digits);
}

static void print_value(const ast_value *v, text *out) {
  switch (v->kind) {
  case VALUE_INT: text_printf(out, "%" PRId64, v->integer); break;
  case VALUE_REAL: print_real(v->real, out); break;
  case VALUE_STRING: print_string(v->string.text, out); break;
  case VALUE_BOOL: text_add(out, v->truth ? "true" : "false"); break;
  case VALUE_NAME: text_add(out, v->string.text); break;
  case VALUE_LIST:
    text_add(out, "[");
    print_arguments(&v->list, out);
    text_add(out, "]");
    break;
  case VALUE_CALL:
    text_printf(out, "%s(", v->call.callee.text);
    print_arguments(&v->call.arguments, out);
    text_add(out, ")");
    break;
  case VALUE_INDEX:
    print_value(v->operation.left, out);
    text_add(out, "[");
    print_value(v->operation.right, out);
    text_add(out, "]");
    break;
  case VALUE_UNARY:
    text_printf(out, v->operation.op == OPERATOR_NOT ? "(%s " : "(%s", operator_text(v->operation.op));
    print_value(v->operation.right, out);
    text_add(out, ")");
    break;
  case VALUE_BINARY:
    text_add(out, "(");
    print_value(v->operation.left, out);
    text_printf(out, " %s ", operator_text(v->operation.op));
    print_value(v->operation.right, out);
    text_add(out, ")");
    break;
  }
}

static void print_options(const ast_arguments *options, text *out) {
  if (!options->count) return;
  text_add(out, " [");
  print_arguments(options, out);
  text_add(out, "]");
}

static void print_nodes(const ast_nodes *side, text *out) {
  if (side->braces) text_add(out, "{");
  for (const ast_node *node = side->first; node; node = node->next) {
    text_add(out, node->name.text);
    for (const ast_index *index = node->indices; index; index = index->next) {
      text_add(out, "[");
      print_value(index->at, out);
      if (index->end) text_add(out, "..");
      if (index->end) print_value(index->end, out);
      text_add(out, "]");
    }
    print_options(&node->options, out);
    if (node->next) text_add(out, ", ");
  }
  if (side->braces) text_add(out, "}");
  print_options(&side->options, out);
}

static void indent(int depth, text *out) { text_printf(out, "%*s", 2 * depth, ""); }

static void print_settings(const ast_arguments *settings, int depth, text *out) {
  for (const ast_argument *a = settings->first; a; a = a->next) {
    indent(depth, out);
    text_printf(out, "%s = ", a->name.text);
    print_value(a->value, out);
    text_add(out, ";\n");
  }
}

static void print_block(const ast_block *block, int depth, text *out);

static void print_braces(const ast_block *block, int depth, text *out) {
  text_add(out, " {\n");
  print_block(block, depth + 1, out);
  indent(depth, out);
  text_add(out, "}\n");
}

static void print_train(const ast_statement *s, int depth, text *out) {
  text_add(out, "train {\n");
  print_settings(&s->settings, depth + 1, out);
  for (const ast_phase *phase = s->phases; phase; phase = phase->next) {
    indent(depth + 1, out);
    text_printf(out, "phase %s {\n", phase->name.text);
    print_settings(&phase->settings, depth + 2, out);
    indent(depth + 1, out);
    text_add(out, "}\n");
  }
  indent(depth, out);
  text_add(out, "}\n");
}

static void print_declaration(const ast_statement *s, const char *keyword, text *out) {
  text_printf(out, "%s %s = ", keyword, s->name.text);
  print_value(s->value, out);
  print_options(&s->options, out);
  text_add(out, ";\n");
}

static void print_vertex(const ast_statement *s, text *out) {
  text_printf(out, "vertex %s", s->name.text);
  for (const ast_dimension *dimension = s->dimensions; dimension; dimension = dimension->next) {
    text_add(out, "[");
    print_arguments(&dimension->values, out);
    text_add(out, "]");
  }
  text_printf(out, " : %s", s->model.text);
  print_options(&s->options, out);
  text_add(out, ";\n");
}

static void print_statement(const ast_statement *s, int depth, text *out) {
  indent(depth, out);
  switch (s->kind) {
  case STATEMENT_PARAM: print_declaration(s, "param", out); break;
  case STATEMENT_MODEL: print_declaration(s, "model", out); break;
  case STATEMENT_EDGE: print_declaration(s, "edge", out); break;
  case STATEMENT_DEFAULT: print_declaration(s, "default", out); break;
  case STATEMENT_VERTEX: print_vertex(s, out); break;
  case STATEMENT_CONNECT:
    for (const ast_nodes *side = s->nodes; side; side = side->next) {
      print_nodes(side, out);
      text_add(out, side->next ? " -> " : ";\n");
    }
    break;
  case STATEMENT_FOR:
    text_printf(out, "for %s in ", s->name.text);
    print_value(s->value, out);
    text_add(out, "..");
    print_value(s->end, out);
    print_braces(&s->body, depth, out);
    break;
  case STATEMENT_IF:
    text_add(out, "if ");
    print_value(s->value, out);
    print_braces(&s->body, depth, out);
    if (!s->otherwise.first) break;
    indent(depth, out);
    text_add(out, "else");
    print_braces(&s->otherwise, depth, out);
    break;
  case STATEMENT_TRAIN: print_train(s, depth, out); break;
  }
}

static void print_block(const ast_block *block, int depth, text *out) {
  for (const ast_statement *s = block->first; s; s = s->next) print_statement(s, depth, out);
}

void ast_print(const ast_network *network, text *out) {
  text_printf(out, "network %s", network->name.text);
  print_braces(&network->body, 0, out);
}
