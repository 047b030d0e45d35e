// The parsed file, as written: names, loops and params are still there. Everything lives in one arena.
#ifndef LMN_AST_H
#define LMN_AST_H

#include "frontend/diagnostic.h"

#define AST_DEPTH_LIMIT 200 // of brackets, of blocks, and of operators on each other

typedef enum {
  VALUE_INT,
  VALUE_REAL,
  VALUE_STRING,
  VALUE_BOOL,
  VALUE_LIST,
  VALUE_NAME,
  VALUE_CALL,
  VALUE_INDEX,
  VALUE_UNARY,
  VALUE_BINARY
} ast_value_kind;

typedef enum {
  OPERATOR_THEN,
  OPERATOR_OR,
  OPERATOR_AND,
  OPERATOR_NOT,
  OPERATOR_EQUAL,
  OPERATOR_UNEQUAL,
  OPERATOR_LESS,
  OPERATOR_LESS_EQUAL,
  OPERATOR_GREATER,
  OPERATOR_GREATER_EQUAL,
  OPERATOR_ADD,
  OPERATOR_SUBTRACT,
  OPERATOR_MULTIPLY,
  OPERATOR_DIVIDE,
  OPERATOR_REMAINDER,
  OPERATOR_NEGATE
} ast_operator;
const char *operator_text(ast_operator op);

typedef struct ast_name {
  const char *text;
  span place;
} ast_name;

typedef struct ast_value ast_value;

// Arguments of a call, elements of a list (without names), options, settings.
typedef struct ast_argument {
  ast_name name; // text NULL: by position
  ast_value *value;
  struct ast_argument *next;
} ast_argument;
typedef struct ast_arguments {
  ast_argument *first, *last;
  int count;
} ast_arguments;

struct ast_value {
  ast_value_kind kind;
  int depth;
  span place;
  union {
    int64_t integer;
    double real;
    bool truth;
    struct {
      const char *text;
    } string; // VALUE_STRING (escapes done), VALUE_NAME
    struct {
      ast_name callee;
      ast_arguments arguments;
    } call;
    ast_arguments list;
    struct {
      ast_operator op;
      ast_value *left, *right;
    } operation; // unary: right; VALUE_INDEX: left[right]
  };
  void *resolved; // an edge chain without params in it, evaluated once (see chain.c)
};

typedef struct ast_index { // [at] or [at..end]
  ast_value *at, *end;
  span place;
  struct ast_index *next;
} ast_index;

typedef struct ast_node {
  ast_name name;
  ast_index *indices, *last_index;
  ast_arguments options;
  span options_place, place;
  bool has_options;
  int depth;
  struct ast_node *next, *last_in_set;
} ast_node;

typedef struct ast_nodes { // one side of an arrow
  ast_node *first;
  ast_arguments options; // after the braces
  span options_place, place;
  bool has_options, braces;
  struct ast_nodes *next, *last_in_arrows;
} ast_nodes;

typedef struct ast_dimension {
  ast_arguments values;
  span place;
  struct ast_dimension *next, *last;
} ast_dimension;

typedef struct ast_phase {
  ast_name name;
  ast_arguments settings;
  struct ast_phase *next;
} ast_phase;

typedef enum {
  STATEMENT_PARAM,
  STATEMENT_MODEL,
  STATEMENT_VERTEX,
  STATEMENT_EDGE,
  STATEMENT_DEFAULT,
  STATEMENT_CONNECT,
  STATEMENT_FOR,
  STATEMENT_IF,
  STATEMENT_TRAIN
} ast_statement_kind;

typedef struct ast_statement ast_statement;
typedef struct ast_block {
  ast_statement *first, *last;
  int depth;
} ast_block;

struct ast_statement {
  ast_statement_kind kind;
  span place;             // of the keyword, or of the whole connection
  ast_name name;          // declared name, default's name, loop variable
  ast_value *value, *end; // param, edge, default, if; for: value .. end; model: the path
  ast_name model;         // of a vertex
  ast_arguments options;
  ast_dimension *dimensions;
  ast_nodes *nodes;
  ast_block body, otherwise;
  ast_arguments settings;
  ast_phase *phases, *last_phase;
  ast_statement *next;
};

typedef struct ast_network {
  ast_name name;
  ast_block body;
} ast_network;

// The tokens and comments of a file in their order, for `lmnc fmt`.
typedef struct lexeme {
  int kind; // the parser's token, or LEXEME_COMMENT
  span place;
  size_t offset, length; // in the source
} lexeme;
typedef struct lexeme_list {
  lexeme *items; // malloc'ed
  int count, capacity;
} lexeme_list;
#define LEXEME_COMMENT (-1)

// The state of one parse, shared by scanner and parser.
typedef struct parse_state {
  arena *arena;
  diagnostics *diagnostics;
  int start_token;  // what to parse: START_NETWORK or START_VALUE, given once
  int line, column; // of the next byte
  int open;         // brackets not closed yet, and where they stand
  span brackets[AST_DEPTH_LIMIT + 1];
  span last, before;           // the newest token and the one before it
  int braces, braces_at_error; // how many `{` and `}` were read, for recovery
  text string;                 // a string literal being read
  span string_place;
  lexeme_list *lexemes; // NULL: not kept
  ast_network *network;
  ast_value *value;
  bool argument;        // one value of the command line
  bool failed, stopped; // stopped: a limit was reached, the rest is not read
} parse_state;

// The whole file, or the value from `offset` on of an argument of the command line (places refer to d->source). NULL:
// there was an error.
ast_network *parse_network(diagnostics *d);
ast_network *parse_lexemes(diagnostics *d, lexeme_list *lexemes); // the same, and keeps the lexemes; free their items
ast_value *parse_value(diagnostics *d, const char *data, size_t length, size_t offset);

void ast_print(const ast_network *network, text *out);

// For the parser's actions.
ast_value *ast_make(parse_state *p, ast_value_kind kind, span place);
ast_value *ast_name_value(parse_state *p, ast_name name);
ast_value *ast_binary(parse_state *p, ast_operator op, ast_value *left, ast_value *right);
ast_value *ast_unary(parse_state *p, ast_operator op, ast_value *right, span place);
ast_value *ast_index_value(parse_state *p, ast_value *left, ast_value *right, span place);
ast_value *ast_call(parse_state *p, ast_name callee, ast_arguments arguments, span place);
ast_value *ast_list(parse_state *p, ast_arguments elements, span place);
void ast_append(parse_state *p, ast_arguments *list, ast_name name, ast_value *value);
ast_node *ast_node_make(parse_state *p, ast_name name);
void ast_node_index(parse_state *p, ast_node *node, ast_value *at, ast_value *end, span place);
void ast_node_options(parse_state *p, ast_node *node, ast_arguments options, span place);
ast_node *ast_set_add(ast_node *set, ast_node *node);
ast_nodes *ast_nodes_make(parse_state *p, ast_node *first, span place, bool braces);
ast_nodes *ast_arrow_add(ast_nodes *arrows, ast_nodes *nodes);
ast_dimension *ast_dimension_add(parse_state *p, ast_dimension *dimensions, ast_arguments values, span place);
void ast_phase_add(parse_state *p, ast_statement *train, ast_name name, ast_arguments settings);
ast_statement *ast_statement_make(parse_state *p, ast_statement_kind kind, span place);
void ast_block_add(ast_block *block, ast_statement *statement);

#endif
