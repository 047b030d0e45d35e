// The grammar of .lmn (docs/language.md), free of conflicts. The actions only build the AST; what it means is resolve's.
%require "3.8"
%expect 0
%define api.pure full
%define api.location.type {span}
%define parse.error custom
%define parse.lac full
%locations
%lex-param { yyscan_t scanner }
%parse-param { parse_state *p } { yyscan_t scanner }
%initial-action { @$ = (span){1, 1, 1, 1}; }

%code requires {
#include "frontend/ast.h"
#ifndef YY_TYPEDEF_YY_SCANNER_T
#define YY_TYPEDEF_YY_SCANNER_T
typedef void *yyscan_t;
#endif
}

%code {
#include <stdlib.h>
#include <string.h>
#define YYMALLOC memory_alloc
#define YYFREE free
int yylex(YYSTYPE *value, YYLTYPE *place, yyscan_t scanner);
static void yyerror(YYLTYPE *place, parse_state *p, yyscan_t scanner, const char *message);

#define YYLLOC_DEFAULT(current, right, count)                                                                          \
  do {                                                                                                                 \
    if (count) (current) = span_join(YYRHSLOC(right, 1), YYRHSLOC(right, count));                                      \
    else {                                                                                                             \
      span after = YYRHSLOC(right, 0);                                                                                 \
      (current) = (span){after.end_line, after.end_column, after.end_line, after.end_column};                          \
    }                                                                                                                  \
  } while (0)

static void recovered(parse_state *p, int braces);

static const ast_name nameless;
}

%union {
  ast_name name;
  int64_t integer;
  double real;
  bool truth;
  ast_value *value;
  ast_arguments arguments;
  ast_node *node;
  ast_nodes *nodes;
  ast_dimension *dimensions;
  ast_statement *statement;
  ast_block block;
  struct { ast_value *first, *end; } range;
}

// The names are what messages say; those of more than one word stand for many texts.
%token END 0 "the end of the file"
%token START_NETWORK "a file" START_VALUE "an argument"
%token <name> NETWORK "network" PARAM "param" MODEL "model" VERTEX "vertex" EDGE "edge" DEFAULT "default" TRAIN "train" PHASE "phase"
%token <name> ID "a name" STRING "a string"
%token <integer> INT "an integer"
%token <real> REAL "a number"
%token <truth> TRUTH "true"
%token FOR "for" IN "in" IF "if" ELSE "else" THEN "then" OR "or" AND "and" NOT "not"
%token ARROW "->" DOTS ".." EQUAL "==" UNEQUAL "!=" LESS "<" LESS_EQUAL "<=" GREATER ">" GREATER_EQUAL ">="
%token PLUS "+" MINUS "-" TIMES "*" DIVIDE "/" REMAINDER "%" OPEN_BRACE "{" CLOSE_BRACE "}" OPEN_BRACKET "[" CLOSE_BRACKET "]"
%token OPEN_PARENTHESIS "(" CLOSE_PARENTHESIS ")" ASSIGN "=" COMMA "," SEMICOLON ";" COLON ":"

%left "then"
%left "or"
%left "and"
%precedence "not"
%nonassoc "==" "!=" "<" "<=" ">" ">="
%left "+" "-"
%left "*" "/" "%"
%precedence NEGATE

%type <value> value primary
%type <arguments> settings elements elements1 arguments arguments1 options options1 optional_options
%type <range> range
%type <name> name
%type <node> node set
%type <nodes> nodes arrows
%type <dimensions> dimensions
%type <statement> statement conditional train
%type <block> statements block

%%

input
  : START_NETWORK network
  | START_VALUE value                    { p->value = $2; }
  ;

network
  : "network" ID "{" statements "}"        { p->network = ARENA_NEW(p->arena, ast_network); *p->network = (ast_network){$2, $4}; }
  | "network" ID "{" statements error "}"  { recovered(p, 1); }
  ;

statements
  : %empty                               { $$ = (ast_block){0}; }
  | statements statement                 { $$ = $1; ast_block_add(&$$, $2); }
  ;

block
  : "{" statements "}"                   { $$ = $2; }
  | "{" statements error "}"             { $$ = $2; recovered(p, 1); }
  ;

statement
  : "param" ID "=" value ";"               { $$ = ast_statement_make(p, STATEMENT_PARAM, @1); $$->name = $2; $$->value = $4; }
  | "model" ID "=" STRING optional_options ";" {
      $$ = ast_statement_make(p, STATEMENT_MODEL, @1);
      $$->name = $2;
      $$->value = ast_make(p, VALUE_STRING, @4);
      $$->value->string.text = $4.text;
      $$->options = $5;
    }
  | "model" ID "=" ID optional_options ";" {
      $$ = ast_statement_make(p, STATEMENT_MODEL, @1);
      $$->name = $2;
      $$->value = ast_name_value(p, $4);
      $$->options = $5;
    }
  | "vertex" ID dimensions ":" ID optional_options ";" {
      $$ = ast_statement_make(p, STATEMENT_VERTEX, @1);
      $$->name = $2;
      $$->dimensions = $3;
      $$->model = $5;
      $$->options = $6;
    }
  | "edge" ID "=" value ";"                { $$ = ast_statement_make(p, STATEMENT_EDGE, @1); $$->name = $2; $$->value = $4; }
  | "default" name "=" value ";"           { $$ = ast_statement_make(p, STATEMENT_DEFAULT, @1); $$->name = $2; $$->value = $4; }
  | arrows ";"                           { $$ = ast_statement_make(p, STATEMENT_CONNECT, @1); $$->nodes = $1; }
  | "for" ID "in" range block {
      $$ = ast_statement_make(p, STATEMENT_FOR, @1);
      $$->name = $2;
      $$->value = $4.first;
      $$->end = $4.end;
      $$->body = $5;
    }
  | conditional
  | "train" "{" train "}"                  { $$ = $3; $$->place = @1; }
  | "train" "{" train error "}"            { $$ = $3; $$->place = @1; recovered(p, 1); }
  | error ";"                            { $$ = NULL; recovered(p, 0); }
  ;

conditional
  : "if" value block {
      $$ = ast_statement_make(p, STATEMENT_IF, @1);
      $$->value = $2;
      $$->body = $3;
    }
  | "if" value block "else" block {
      $$ = ast_statement_make(p, STATEMENT_IF, @1);
      $$->value = $2;
      $$->body = $3;
      $$->otherwise = $5;
    }
  | "if" value block "else" conditional {
      $$ = ast_statement_make(p, STATEMENT_IF, @1);
      $$->value = $2;
      $$->body = $3;
      ast_block_add(&$$->otherwise, $5);
    }
  ;

train
  : %empty                               { $$ = ast_statement_make(p, STATEMENT_TRAIN, @$); }
  | train name "=" value ";"             { $$ = $1; ast_append(p, &$$->settings, $2, $4); }
  | train "phase" name "{" settings "}"    { $$ = $1; ast_phase_add(p, $$, $3, $5); }
  | train "phase" name "{" settings error "}" { $$ = $1; ast_phase_add(p, $$, $3, $5); recovered(p, 1); }
  | train error ";"                      { $$ = $1; recovered(p, 0); }
  ;

settings
  : %empty                               { $$ = (ast_arguments){0}; }
  | settings name "=" value ";"          { $$ = $1; ast_append(p, &$$, $2, $4); }
  | settings error ";"                   { $$ = $1; recovered(p, 0); }
  ;

dimensions
  : %empty                               { $$ = NULL; }
  | dimensions "[" elements1 "]"         { $$ = ast_dimension_add(p, $1, $3, @$); }
  ;

arrows
  : nodes                                { $$ = $1; }
  | arrows "->" nodes                   { $$ = ast_arrow_add($1, $3); }
  ;

nodes
  : node                                 { $$ = ast_nodes_make(p, $1, $1->place, false); }
  | "{" set "}" optional_options {
      $$ = ast_nodes_make(p, $2, span_join(@1, @3), true);
      $$->options = $4;
      $$->has_options = $4.count > 0;
      $$->options_place = @4;
    }
  ;

set
  : node                                 { $$ = $1; $$->last_in_set = $1; }
  | set node                             { $$ = ast_set_add($1, $2); }
  | set "," node                         { $$ = ast_set_add($1, $3); }
  ;

node
  : ID                                   { $$ = ast_node_make(p, $1); }
  | node "[" value "]"                   { $$ = $1; ast_node_index(p, $$, $3, NULL, span_join(@2, @4)); }
  | node "[" range "]"                   { $$ = $1; ast_node_index(p, $$, $3.first, $3.end, span_join(@2, @4)); }
  | node options                         { $$ = $1; ast_node_options(p, $$, $2, @2); }
  ;

range
  : value ".." value                     { $$.first = $1; $$.end = $3; }
  ;

optional_options
  : %empty                               { $$ = (ast_arguments){0}; }
  | options
  ;

options
  : "[" options1 "]"                     { $$ = $2; }
  ;

options1
  : name "=" value                       { $$ = (ast_arguments){0}; ast_append(p, &$$, $1, $3); }
  | options1 "," name "=" value          { $$ = $1; ast_append(p, &$$, $3, $5); }
  ;

name
  : ID | "edge" | "model" | "vertex" | "param" | "default" | "train" | "phase" | "network"
  ;

value
  : primary
  | "-" value %prec NEGATE               { $$ = ast_unary(p, OPERATOR_NEGATE, $2, @$); }
  | "not" value                            { $$ = ast_unary(p, OPERATOR_NOT, $2, @$); }
  | value "then" value                     { $$ = ast_binary(p, OPERATOR_THEN, $1, $3); }
  | value "or" value                       { $$ = ast_binary(p, OPERATOR_OR, $1, $3); }
  | value "and" value                      { $$ = ast_binary(p, OPERATOR_AND, $1, $3); }
  | value "==" value                    { $$ = ast_binary(p, OPERATOR_EQUAL, $1, $3); }
  | value "!=" value                  { $$ = ast_binary(p, OPERATOR_UNEQUAL, $1, $3); }
  | value "<" value                      { $$ = ast_binary(p, OPERATOR_LESS, $1, $3); }
  | value "<=" value               { $$ = ast_binary(p, OPERATOR_LESS_EQUAL, $1, $3); }
  | value ">" value                      { $$ = ast_binary(p, OPERATOR_GREATER, $1, $3); }
  | value ">=" value            { $$ = ast_binary(p, OPERATOR_GREATER_EQUAL, $1, $3); }
  | value "+" value                      { $$ = ast_binary(p, OPERATOR_ADD, $1, $3); }
  | value "-" value                      { $$ = ast_binary(p, OPERATOR_SUBTRACT, $1, $3); }
  | value "*" value                      { $$ = ast_binary(p, OPERATOR_MULTIPLY, $1, $3); }
  | value "/" value                      { $$ = ast_binary(p, OPERATOR_DIVIDE, $1, $3); }
  | value "%" value                      { $$ = ast_binary(p, OPERATOR_REMAINDER, $1, $3); }
  ;

primary
  : INT                                  { $$ = ast_make(p, VALUE_INT, @$); $$->integer = $1; }
  | REAL                                 { $$ = ast_make(p, VALUE_REAL, @$); $$->real = $1; }
  | STRING                               { $$ = ast_make(p, VALUE_STRING, @$); $$->string.text = $1.text; }
  | TRUTH                                { $$ = ast_make(p, VALUE_BOOL, @$); $$->truth = $1; }
  | "[" elements "]"                     { $$ = ast_list(p, $2, @$); }
  | ID                                   { $$ = ast_name_value(p, $1); }
  | ID "(" arguments ")"                 { $$ = ast_call(p, $1, $3, @$); }
  | primary "[" value "]"                { $$ = ast_index_value(p, $1, $3, @$); }
  | "(" value ")"                        { $$ = $2; }
  ;

elements
  : %empty                               { $$ = (ast_arguments){0}; }
  | elements1
  ;

elements1
  : value                                { $$ = (ast_arguments){0}; ast_append(p, &$$, nameless, $1); }
  | elements1 "," value                  { $$ = $1; ast_append(p, &$$, nameless, $3); }
  ;

arguments
  : %empty                               { $$ = (ast_arguments){0}; }
  | arguments1
  ;

arguments1
  : value                                { $$ = (ast_arguments){0}; ast_append(p, &$$, nameless, $1); }
  | name "=" value                       { $$ = (ast_arguments){0}; ast_append(p, &$$, $1, $3); }
  | arguments1 "," value                 { $$ = $1; ast_append(p, &$$, nameless, $3); }
  | arguments1 "," name "=" value        { $$ = $1; ast_append(p, &$$, $3, $5); }
  ;

%%

static void yyerror(YYLTYPE *place, parse_state *p, yyscan_t scanner, const char *message) {
  (void)scanner, (void)message; // only of a stack of YYMAXDEPTH: syntax errors go to yyreport_syntax_error
  if (!p->stopped) report(p->diagnostics, ERROR_NESTING, *place, "this is nested too deep");
  p->failed = p->stopped = true;
}

// Recovery ended at a `;` or, with one brace more, at a `}`. Where it threw other braces away, what follows cannot be told apart any more:
// nothing more is reported.
static void recovered(parse_state *p, int braces) {
  if (p->braces - p->braces_at_error > braces) p->stopped = true;
}

// What may stand here, as a person would say it: the many tokens that start a value, a statement or a name are one thing each.
typedef struct expectation {
  const char *items[8];
  int count;
  bool semicolon, name;
} expectation;

static void expect_item(expectation *e, const char *item) {
  for (int i = 0; i < e->count; ++i)
    if (!strcmp(e->items[i], item)) return;
  if (e->count < (int)LENGTH(e->items)) e->items[e->count++] = item;
}

static expectation expected(const yypcontext_t *context) {
  yysymbol_kind_t kinds[YYNTOKENS];
  int count = yypcontext_expected_tokens(context, kinds, YYNTOKENS);
  bool seen[YYNTOKENS] = {0};
  for (int i = 0; i < count; ++i) seen[kinds[i]] = true;
  expectation e = {.semicolon = seen[YYSYMBOL_SEMICOLON], .name = seen[YYSYMBOL_ID]};
  bool statement = seen[YYSYMBOL_FOR], value = seen[YYSYMBOL_INT], any_name = seen[YYSYMBOL_EDGE] && !statement;
  for (int i = 0; i < count; ++i) {
    switch (kinds[i]) {
    case YYSYMBOL_START_NETWORK: case YYSYMBOL_START_VALUE: case YYSYMBOL_YYerror: break;
    case YYSYMBOL_FOR: case YYSYMBOL_IF: case YYSYMBOL_TRAIN: case YYSYMBOL_PARAM: case YYSYMBOL_MODEL: case YYSYMBOL_VERTEX:
    case YYSYMBOL_EDGE: case YYSYMBOL_DEFAULT:
      expect_item(&e, statement ? "a statement" : "a name");
      break;
    case YYSYMBOL_NETWORK: case YYSYMBOL_PHASE: expect_item(&e, any_name ? "a name" : yysymbol_name(kinds[i])); break;
    case YYSYMBOL_INT: case YYSYMBOL_REAL: case YYSYMBOL_STRING: case YYSYMBOL_TRUTH: case YYSYMBOL_NOT: case YYSYMBOL_OPEN_PARENTHESIS:
      expect_item(&e, value ? "a value" : yysymbol_name(kinds[i]));
      break;
    case YYSYMBOL_MINUS: if (value) expect_item(&e, "a value"); break;
    case YYSYMBOL_ID: expect_item(&e, statement ? "a statement" : value ? "a value" : "a name"); break;
    case YYSYMBOL_OPEN_BRACE: expect_item(&e, statement ? "a statement" : "{"); break;
    case YYSYMBOL_OPEN_BRACKET:
      if (value) expect_item(&e, "a value");
      else if (!e.semicolon) expect_item(&e, "["); // could always follow too
      break;
    case YYSYMBOL_THEN: case YYSYMBOL_OR: case YYSYMBOL_AND: case YYSYMBOL_EQUAL: case YYSYMBOL_UNEQUAL: case YYSYMBOL_LESS:
    case YYSYMBOL_LESS_EQUAL: case YYSYMBOL_GREATER: case YYSYMBOL_GREATER_EQUAL: case YYSYMBOL_PLUS: case YYSYMBOL_TIMES:
    case YYSYMBOL_DIVIDE: case YYSYMBOL_REMAINDER:
      break; // an operator could always follow: not worth saying
    default: expect_item(&e, yysymbol_name(kinds[i]));
    }
  }
  return e;
}

// The unexpected token as it stands in the file.
static const char *saw(parse_state *p, yysymbol_kind_t kind, span place) {
  if (kind == YYSYMBOL_YYEOF) return p->argument ? "its end" : "the end of the file";
  const source *s = p->diagnostics->source;
  if (place.line > s->line_count) return "the end of the file";
  size_t start = s->lines[place.line - 1] + (size_t)place.column - 1;
  int length = place.end_line == place.line ? place.end_column - place.column : 1;
  if (length > 40) return arena_printf(p->arena, "`%.40s…`", s->data + start);
  return arena_printf(p->arena, "`%.*s`", length, s->data + start);
}

static int yyreport_syntax_error(const yypcontext_t *context, parse_state *p, yyscan_t scanner) {
  (void)scanner;
  p->failed = true;
  p->braces_at_error = p->braces - (yypcontext_token(context) == YYSYMBOL_OPEN_BRACE);
  if (p->stopped || yypcontext_token(context) == YYSYMBOL_YYUNDEF) return 0; // the scanner has said what is wrong
  expectation e = expected(context);
  yysymbol_kind_t kind = yypcontext_token(context);
  span place = *yypcontext_location(context);
  text list = {0};
  for (int i = 0; i < e.count; ++i) {
    const char *item = e.items[i], *before = i == 0 ? "" : i + 1 == e.count ? " or " : ", ";
    if (p->argument && !strcmp(item, yysymbol_name(YYSYMBOL_YYEOF))) item = "its end";
    text_printf(&list, strchr(item, ' ') ? "%s%s" : "%s`%s`", before, item);
  }
  const char *seen = saw(p, kind, place);
  bool forgotten = e.semicolon && (p->before.end_line < place.line || kind == YYSYMBOL_CLOSE_BRACE) && p->before.line;
  span at = place;
  if (forgotten) at = (span){p->before.end_line, p->before.end_column, p->before.end_line, p->before.end_column + 1};
  diagnostic *item = report(p->diagnostics, ERROR_SYNTAX, at, "expected %s, saw %s", list.data ? list.data : "nothing", seen);
  if (forgotten) report_label(p->diagnostics, item, "a `;` is missing here");
  if (kind == YYSYMBOL_YYEOF && p->open > 0)
    report_also(p->diagnostics, item, NULL, p->brackets[p->open - 1], "this is not closed");
  else if (kind >= YYSYMBOL_EQUAL && kind <= YYSYMBOL_GREATER_EQUAL)
    report_help(p->diagnostics, item, "comparisons do not chain: join them with `and`");
  else if (e.name && e.count == 1 && !e.semicolon && seen[1] >= 'a' && seen[1] <= 'z')
    report_help(p->diagnostics, item, "%s is a word of the language and cannot be a name", seen);
  text_free(&list);
  return 0;
}
