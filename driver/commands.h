// The commands of lmnc. arguments[0] is the command's name; the result is the exit status: 0, 1 for an error of the
// network or of the work, 2 for wrong arguments.
#ifndef LMN_DRIVER_COMMANDS_H
#define LMN_DRIVER_COMMANDS_H

typedef struct command {
  const char *name, *about;
  int (*run)(int argument_count, char **arguments);
} command;
extern const command commands[];
extern const int command_count;
extern const char program_about[], program_examples[]; // a sentence; lines

int command_check(int argument_count, char **arguments);
int command_fmt(int argument_count, char **arguments);
int command_graph(int argument_count, char **arguments);
int command_explain(int argument_count, char **arguments); // lmnc --explain E0404
int command_summary(int argument_count, char **arguments);
int command_compile(int argument_count, char **arguments);
int command_tune(int argument_count, char **arguments);
int command_train(int argument_count, char **arguments);
int command_sweep(int argument_count, char **arguments);
int command_eval(int argument_count, char **arguments);
int command_generate(int argument_count, char **arguments);
int command_bench(int argument_count, char **arguments);
int command_trace(int argument_count, char **arguments);
int command_export(int argument_count, char **arguments);
int command_tokenizer(int argument_count, char **arguments);
int command_completion(int argument_count, char **arguments);
int command_man(int argument_count, char **arguments);

#endif
