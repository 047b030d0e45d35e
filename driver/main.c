// lmnc: the command named by the first argument.
#include "driver/commands.h"
#include "driver/run_options.h"
#include "frontend/diagnostic.h"
#include "ir/ir.h"

#include <stdio.h>
#include <string.h>

const char program_about[] = "lmnc compiles, trains and runs networks of language models, each a .lmn file.";
const char program_examples[] =
    "lmnc check net.lmn\n"
    "lmnc train net.lmn --data train.csv --prompt '{mr} =>' --completion ' {ref}' -o run\n"
    "lmnc generate net.lmn --init run/parameters.safetensors --prompt 'name[The Eagle] =>'\n";

const command commands[] = {
    {"check", "every error of a network", command_check},
    {"summary", "nodes, shapes, parameters, work, memory", command_summary},
    {"fmt", "networks in the one layout", command_fmt},
    {"graph", "a drawing, as SVG, DOT or Mermaid", command_graph},
    {"compile", "kernels and a plan, for lmn-run", command_compile},
    {"tune", "the fastest tiles of products on a GPU, by measuring", command_tune},
    {"train", "train a network, phase by phase", command_train},
    {"sweep", "train a network at many values of its params, and compare", command_sweep},
    {"eval", "loss, perplexity or accuracy on data", command_eval},
    {"generate", "go on from prompts", command_generate},
    {"trace", "one batch: every node's value, logits, loss, gradients", command_trace},
    {"bench", "time and memory of training, decoding and prefill", command_bench},
    {"export", "a trained model as a Hugging Face directory", command_export},
    {"tokenizer", "train a tokenizer on text", command_tokenizer},
    {"completion", "completion for bash, zsh or fish", command_completion},
    {"man", "manual pages", command_man},
};
const int command_count = LENGTH(commands);

// Those that lmn-run has too.
static int run_shared(int argument_count, char **arguments) {
  return run_command_named(arguments[0], argument_count, arguments);
}
int command_train(int argument_count, char **arguments) { return run_shared(argument_count, arguments); }
int command_eval(int argument_count, char **arguments) { return run_shared(argument_count, arguments); }
int command_generate(int argument_count, char **arguments) { return run_shared(argument_count, arguments); }
int command_bench(int argument_count, char **arguments) { return run_shared(argument_count, arguments); }
int command_trace(int argument_count, char **arguments) { return run_shared(argument_count, arguments); }

static void print_usage(FILE *out) {
  fprintf(out, "%s\n\nusage: lmnc COMMAND NET [options]\n\ncommands (each has --help with an example):\n",
          program_about);
  for (int i = 0; i < command_count; ++i) fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].about);
  fputs("\nlmnc --explain CODE says more about an error of a network.\n\nexamples:\n", out);
  for (const char *line = program_examples; *line; line += strcspn(line, "\n") + 1)
    fprintf(out, "  %.*s\n", (int)strcspn(line, "\n"), line);
}

static int unknown(const char *name) {
  nearest n = {.wanted = name};
  for (int i = 0; i < command_count; ++i) nearest_try(&n, commands[i].name);
  fprintf(stderr, "error: there is no command \"%s\"", name);
  if (n.best) fprintf(stderr, "; did you mean %s?", n.best);
  fputs("\nlmnc --help lists them.\n", stderr);
  return 2;
}

static int run_named(int argc, char **argv) {
  if (argc < 2) {
    print_usage(stderr);
    return 2;
  }
  const char *name = argv[1];
  if (!strcmp(name, "--help") || !strcmp(name, "-h") || !strcmp(name, "help")) {
    print_usage(stdout);
    return 0;
  }
  if (!strcmp(name, "--explain")) return command_explain(argc - 1, argv + 1);
  if (!strcmp(name, "--version")) {
    printf("lmnc %s\n", LMN_VERSION);
    return 0;
  }
  for (int i = 0; i < command_count; ++i)
    if (!strcmp(commands[i].name, name)) return commands[i].run(argc - 1, argv + 1);
  return unknown(name);
}

int main(int argc, char **argv) {
  program_begin();
  ir_guard_memory();
  return program_end(run_named(argc, argv));
}
