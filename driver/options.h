// The options of one command, as a table: where each goes, and what --help says about it.
#ifndef LMN_DRIVER_OPTIONS_H
#define LMN_DRIVER_OPTIONS_H

#include "frontend/graph.h"

typedef struct define_list { // -D name=value, or settings of `train` such as --steps 100
  define *items;
  int count, capacity;
} define_list;

typedef struct text_list {
  const char **items;
  int count, capacity;
} text_list;

typedef enum {
  OPTION_FLAG,    // bool
  OPTION_TEXT,    // const char *
  OPTION_COUNT,   // int64_t, not negative
  OPTION_REAL,    // double
  OPTION_BYTES,   // int64_t: a number, or one with K, M, G behind it (powers of 1024)
  OPTION_TEXTS,   // text_list: repeatable
  OPTION_DEFINE,  // define_list: NAME=VALUE, repeatable
  OPTION_SETTING, // define_list: the option's own name, with _ for -, and its value
} option_value;

typedef struct command_option {
  const char *name;
  char letter;          // 0: none
  const char *argument; // what --help calls the value; NULL: a flag
  const char *help;     // NULL: not in --help
  option_value value;
  void *to;
} command_option;

typedef struct command_usage {
  const char *name, *about, *operand, *example; // operand: "NET"; example: what follows "lmnc NAME "
  const command_option *options;
  int option_count;
} command_usage;
// What main does first and last. end: the status, 1 where what was printed did not arrive (a full disk).
void program_begin(void);
int program_end(int status);

extern const char *options_program; // what --help and messages call the program: "lmnc" unless set

typedef enum {
  OPTIONS_RUN,
  OPTIONS_DONE, // --help was printed
  OPTIONS_WRONG // the message was printed: exit with 2
} options_result;

// Fills in what the table points to and the one operand. Texts point into `arguments`.
options_result options_parse(const command_usage *usage, int argument_count, char **arguments, const char **operand);
// The same for one operand or more: arguments[*first] and those after it.
options_result options_parse_several(const command_usage *usage, int argument_count, char **arguments, int *first);
// Gives a command's table to `reader` instead of running the command: man pages and completion are made of it. The
// table lives as long as the call.
typedef void usage_reader(const command_usage *usage, void *to);
void options_read(int (*run)(int argument_count, char **arguments), const char *name, usage_reader *reader, void *to);
// A blank and the argument, in quotes where a shell needs them.
void options_quote(const char *argument, text *out);
void define_list_free(define_list *list);
void text_list_free(text_list *list);

#endif
