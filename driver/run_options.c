#include "driver/run_options.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

typedef enum {
  KIND_FLAG,
  KIND_TEXT,
  KIND_COUNT,
  KIND_REAL,
  KIND_LIST,
  KIND_SETTING,
  KIND_DEFINE,
  KIND_DISABLE
} option_kind;

typedef struct run_option {
  int commands;
  const char *name;
  char letter;          // 0: none
  const char *argument; // NULL: a flag
  const char *help;
  option_kind kind;
  size_t offset;
} run_option;

#define AT(member) offsetof(run_options, member)
// COMPILED: needs the compiler, so that lmn-run has it not.
enum {
  RUN_DATA = RUN_TRAIN | RUN_EVAL,
  COMPILED = 32,
  RUN_ALL = RUN_TRAIN | RUN_EVAL | RUN_GENERATE | RUN_TRACE | RUN_BENCH
};

// clang-format off
static const run_option options[] = {
  {RUN_TRAIN, "phase", 0, "NAME", "train this phase only (repeatable)", KIND_LIST, AT(phases)},
  {RUN_EVAL | RUN_TRACE, "phase", 0, "NAME", "with the settings of this phase; default: the first", KIND_LIST, AT(phases)},
  {RUN_DATA, "data", 0, "FILE", "text, .csv, .tsv or .jsonl; a folder, a glob, several with commas", KIND_TEXT, AT(data)},
  {RUN_TRAIN, "validation", 0, "FILE", "data to measure the loss on, in between and at the end", KIND_TEXT, AT(validation)},
  {RUN_DATA, "prompt", 0, "TEMPLATE", "over named columns, \"{mr} =>\"", KIND_TEXT, AT(prompt)},
  {RUN_DATA, "completion", 0, "TEMPLATE", "what the loss is on, \" {ref}\"; of a classifier: the class", KIND_TEXT, AT(completion)},
  {RUN_DATA, "text", 0, "COLUMN", "the column of plain text; default: text", KIND_TEXT, AT(text)},
  {RUN_DATA, "pack", 0, NULL, "several rows in one sequence, which do not see each other", KIND_FLAG, AT(pack)},
  {RUN_TRAIN, "output", 'o', "FOLDER", "log.jsonl, checkpoints/, parameters.safetensors; default: run", KIND_TEXT, AT(output)},
  {RUN_TRAIN, "resume", 0, NULL, "go on where the run in that folder was stopped", KIND_FLAG, AT(resume)},
  {RUN_DATA, "batch", 'B', "N", "sequences in a batch", KIND_SETTING, 0},
  {RUN_DATA, "length", 'T', "N", "tokens in a sequence", KIND_SETTING, 0},
  {RUN_TRAIN, "steps", 0, "N", "optimizer steps of a phase", KIND_SETTING, 0},
  {RUN_TRAIN, "epochs", 0, "N", "rounds through the data; default: 1 where no steps are said", KIND_SETTING, 0},
  {RUN_TRAIN, "accumulate", 0, "N", "batches in an optimizer step", KIND_SETTING, 0},
  {RUN_TRAIN, "clip", 0, "NORM", "largest norm of the gradient", KIND_SETTING, 0},
  {RUN_TRAIN | RUN_TRACE | COMPILED, "optimizer", 0, "ADAMW", "'adamw(lr = 1e-4, betas = [0.9, 0.95], weight_decay = 0.01)'", KIND_SETTING, 0},
  {RUN_TRAIN | COMPILED, "schedule", 0, "KIND", "'cosine(warmup = 100)', constant, linear", KIND_SETTING, 0},
  {RUN_TRAIN | RUN_EVAL | RUN_TRACE | COMPILED, "loss", 0, "LOSS", "'cross_entropy(label_smoothing = 0.1)'", KIND_SETTING, 0},
  {RUN_TRAIN | RUN_TRACE | COMPILED, "freeze", 0, "NAMES", "models, edges, or names of these: not trained", KIND_SETTING, 0},
  {RUN_TRAIN, "seed", 0, "N", "of new parameters and of the data's order", KIND_SETTING, 0},
  {RUN_TRAIN, "evaluate-every", 0, "N", "steps between two validations", KIND_SETTING, 0},
  {RUN_TRAIN, "save-every", 0, "N", "steps between two checkpoints; default: 10 minutes", KIND_SETTING, 0},
  {RUN_GENERATE, "prompt", 0, "TEXT", "what to go on from (repeatable); default: the empty text", KIND_LIST, AT(prompts)},
  {RUN_GENERATE, "prompts", 0, "FILE", "one prompt a line", KIND_TEXT, AT(prompts_file)},
  {RUN_GENERATE, "max-tokens", 'n', "N", "tokens at most; default: 128", KIND_COUNT, AT(max_tokens)},
  {RUN_GENERATE, "temperature", 0, "X", "0: always the likeliest token (the default)", KIND_REAL, AT(sample.temperature)},
  {RUN_GENERATE, "top-k", 0, "N", "draw from the N likeliest", KIND_COUNT, AT(sample.top_k)},
  {RUN_GENERATE, "top-p", 0, "X", "draw from the likeliest that have this probability together", KIND_REAL, AT(sample.top_p)},
  {RUN_GENERATE, "stop", 0, "TEXT", "end before this text (repeatable)", KIND_LIST, AT(stops)},
  {RUN_GENERATE, "seed", 0, "N", "of the sampling", KIND_COUNT, AT(seed)},
  {RUN_GENERATE, "batch", 'B', "N", "prompts at once; default: up to 8", KIND_COUNT, AT(batch)},
  {RUN_GENERATE, "ids", 0, NULL, "prompts and output are token ids", KIND_FLAG, AT(ids)},
  {RUN_GENERATE, "raw", 0, NULL, "no BOS before the prompt", KIND_FLAG, AT(raw)},
  {RUN_GENERATE, "echo", 0, NULL, "print the prompt before its continuation", KIND_FLAG, AT(echo)},
  {RUN_GENERATE, "special", 0, NULL, "print special tokens too", KIND_FLAG, AT(special)},
  {RUN_TRACE, "batch", 0, "FILE", "safetensors with input_ids [B, T], labels, last", KIND_TEXT, AT(batch_file)},
  {RUN_TRACE, "grad", 0, NULL, "every trained parameter's gradient", KIND_FLAG, AT(gradients)},
  {RUN_TRACE, "steps", 0, "N", "optimizer steps: losses, parameters after them", KIND_COUNT, AT(steps)},
  {RUN_TRACE, "greedy", 0, "N", "tokens after the first 4 of row 0, through the KV cache", KIND_COUNT, AT(greedy)},
  {RUN_TRACE, "output", 'o', "FILE", "safetensors to write", KIND_TEXT, AT(output)},
  {RUN_BENCH, "mode", 0, "MODE", "train (everything), edges (models frozen), decode, prefill", KIND_TEXT, AT(mode)},
  {RUN_BENCH, "batch", 'B', "N", "sequences; default: 4", KIND_COUNT, AT(batch)},
  {RUN_BENCH, "length", 'T', "N", "tokens in a sequence, or in the cache; default: 128", KIND_COUNT, AT(length)},
  {RUN_BENCH, "repeat", 'n', "N", "timed runs, after 2 others; the median is given; default: 5", KIND_COUNT, AT(repeats)},
  {RUN_BENCH, "profile", 0, NULL, "also where the time goes, kernel by kernel, on stderr", KIND_FLAG, AT(profile)},
  {RUN_BENCH, "discard", 0, "", NULL, KIND_FLAG, AT(discard)}, // between two processes of bench: the artifact is removed once it is open
  {RUN_ALL & ~RUN_BENCH, "init", 0, "FILE", "safetensors that replaces parameters by name", KIND_TEXT, AT(init)},
  {RUN_ALL | COMPILED, "random-weights", 0, NULL, "the models have a config.json only", KIND_FLAG, AT(source.random_weights)},
  {RUN_ALL | COMPILED, "define", 'D', "NAME=VALUE", "set a param of the .lmn file (repeatable)", KIND_DEFINE, 0},
  {RUN_ALL | COMPILED, "disable-pass", 0, "PASS", "compile without this optimisation (repeatable)", KIND_DISABLE, AT(disabled)},
  {RUN_ALL, "threads", 0, "N", "default: LMN_THREADS, or all cores", KIND_COUNT, AT(threads)},
  {RUN_TRAIN | RUN_EVAL | RUN_GENERATE, "json", 0, NULL, "the result as JSON", KIND_FLAG, AT(json)},
  {RUN_ALL, "help", 'h', NULL, "this text", KIND_FLAG, 0},
};

static const struct {
  run_command command;
  const char *name, *about, *example;
  int (*run)(const run_options *o);
} commands[] = {
  {RUN_TRAIN, "train", "Trains a network, phase by phase.",
   " --data train.csv --validation dev.csv --prompt '{mr} =>' --completion ' {ref}' --steps 500 -o run", train_command},
  {RUN_EVAL, "eval", "Measures the mean loss and the perplexity (of a classifier: the accuracy) on data.",
   " --init run/parameters.safetensors --data dev.csv --prompt '{mr} =>' --completion ' {ref}'", eval_command},
  {RUN_GENERATE, "generate", "Goes on from prompts.",
   " --init run/parameters.safetensors --prompt 'Once upon a time' --max-tokens 100", generate_command},
  {RUN_TRACE, "trace", "Runs one batch and writes every node's value, logits, loss and, as asked, gradients, steps and greedy tokens.",
   " --init init.safetensors --batch batch.safetensors --grad --steps 3 --greedy 16 -o trace.safetensors", trace_command},
  {RUN_BENCH, "bench", "Measures time and memory: one line of JSON.",
   " --mode train -B 4 -T 128", bench_command},
};
// clang-format on

// ---- help ---------------------------------------------------------------------------------------

static bool has_compiler(const char *program) { return strcmp(program, "lmn-run") != 0; }

static bool offered(const run_option *o, run_command command, const char *program) {
  return (o->commands & command) && (!(o->commands & COMPILED) || has_compiler(program));
}

static void print_help(const char *program, size_t index) {
  run_command command = commands[index].command;
  const char *name = commands[index].name, *net = has_compiler(program) ? "net.lmn" : "net.lmnx";
  printf("%s\n\nusage: %s %s NET [options]\n  NET: %s\n\noptions:\n", commands[index].about, program, name,
         has_compiler(program) ? "a .lmn file, or a network that lmnc has compiled"
                               : "a network that lmnc has compiled");
  for (size_t i = 0; i < LENGTH(options); ++i) {
    const run_option *o = &options[i];
    if (!offered(o, command, program) || !o->help) continue;
    char left[64];
    snprintf(left, sizeof left, "%c%c%s--%s%s%s", o->letter ? '-' : ' ', o->letter ? o->letter : ' ',
             o->letter ? ", " : "  ", o->name, o->argument ? " " : "", o->argument ? o->argument : "");
    printf("  %-30s %s\n", left, o->help);
  }
  printf("\nexample:\n  %s %s %s%s\n", program, name, net, commands[index].example);
}

// ---- values -------------------------------------------------------------------------------------

static void add_item(run_list *list, const char *item) {
  GROW(list->items, list->count, list->capacity);
  list->items[list->count++] = item;
}

static void add_pair(source_option **pairs, int *count, int *capacity, const char *name, const char *value) {
  GROW(*pairs, *count, *capacity);
  (*pairs)[(*count)++] = (source_option){name, value};
}

static bool add_define(run_options *o, char *value, lmn_error *error) {
  char *equals = strchr(value, '=');
  if (!equals || equals == value) return fail(error, "-D %s: it must be NAME=VALUE", value);
  *equals = 0; // in the argument itself: it lives as long as the program
  add_pair(&o->defines, &o->source.define_count, &o->define_capacity, value, equals + 1);
  return true;
}

static const char *const setting_names[][2] = {{"evaluate-every", "evaluate_every"}, {"save-every", "save_every"}};

static void add_setting(run_options *o, const char *name, const char *value) {
  for (size_t i = 0; i < LENGTH(setting_names); ++i)
    if (!strcmp(name, setting_names[i][0])) name = setting_names[i][1];
  for (int i = 0; i < o->source.setting_count; ++i)
    if (!strcmp(o->settings[i].name, name)) {
      o->settings[i].value = value; // the last one counts
      return;
    }
  add_pair(&o->settings, &o->source.setting_count, &o->setting_capacity, name, value);
}

static bool read_count(const char *name, const char *value, int64_t *to, lmn_error *error) {
  char *end;
  errno = 0;
  long long number = strtoll(value, &end, 10);
  if (!*value || *end || errno || number < 0)
    return fail(error, "--%s %s: it must be a number, 0 or more", name, value);
  *to = number;
  return true;
}

static bool read_real(const char *name, const char *value, double *to, lmn_error *error) {
  char *end;
  *to = strtod(value, &end);
  return (*value && !*end) || fail(error, "--%s %s: it must be a number", name, value);
}

static bool take_option(run_options *o, const run_option *option, char *value, lmn_error *error) {
  char *at = (char *)o + option->offset;
  switch (option->kind) {
  case KIND_FLAG: *(bool *)at = true; return true;
  case KIND_TEXT: *(const char **)at = value; return true;
  case KIND_COUNT: return read_count(option->name, value, (int64_t *)at, error);
  case KIND_REAL: return read_real(option->name, value, (double *)at, error);
  case KIND_LIST:
  case KIND_DISABLE: add_item((run_list *)at, value); return true;
  case KIND_SETTING: add_setting(o, option->name, value); return true;
  case KIND_DEFINE: return add_define(o, value, error);
  }
  return false;
}

// ---- parsing ------------------------------------------------------------------------------------

static bool is_flag(const run_option *o) { return o->kind == KIND_FLAG; }

// getopt_long's tables; its value is the option's index + 256, or the letter.
static void make_tables(run_command command, const char *program, struct option *table, char *letters) {
  *letters++ = ':';
  for (size_t i = 0; i < LENGTH(options); ++i) {
    const run_option *o = &options[i];
    if (!offered(o, command, program)) continue;
    *table++ = (struct option){o->name, is_flag(o) ? no_argument : required_argument, NULL, 256 + (int)i};
    if (!o->letter) continue;
    *letters++ = o->letter;
    if (!is_flag(o)) *letters++ = ':';
  }
  *table = (struct option){0};
  *letters = 0;
}

static const run_option *option_of(run_command command, int value) {
  if (value >= 256) return &options[value - 256];
  for (size_t i = 0; i < LENGTH(options); ++i)
    if ((options[i].commands & command) && options[i].letter == value) return &options[i];
  return NULL;
}

static parse_result parse(size_t index, run_options *o, lmn_error *error) {
  run_command command = commands[index].command;
  struct option table[LENGTH(options) + 1];
  char letters[2 * LENGTH(options) + 2];
  make_tables(command, o->program, table, letters);
  optind = 0; // a fresh start, GNU's way
  opterr = 0;
  for (int value; (value = getopt_long(o->argument_count, o->arguments, letters, table, NULL)) != -1;) {
    const char *seen = o->arguments[optind > 0 ? optind - 1 : 0];
    const run_option *option = value == '?' || value == ':' ? NULL : option_of(command, value);
    if (value == ':') fail(error, "%s needs a value", seen);
    else if (!option)
      fail(error, "%s is no option of %s (or not the only one that begins so)", seen, commands[index].name);
    else if (!strcmp(option->name, "help")) {
      print_help(o->program, index);
      return PARSE_DONE;
    } else take_option(o, option, optarg, error);
    if (error->text[0]) return PARSE_WRONG;
  }
  int left = o->argument_count - optind;
  if (left < 1) fail(error, "%s needs a network: %s %s NET", commands[index].name, o->program, commands[index].name);
  else if (left > 1)
    fail(error, "%s takes one network; what is \"%s\"?", commands[index].name, o->arguments[optind + 1]);
  else o->source.net = o->arguments[optind];
  return error->text[0] ? PARSE_WRONG : PARSE_RUN;
}

parse_result run_options_parse(run_command command, const char *program, int argument_count, char **arguments,
                               run_options *o, lmn_error *error) {
  *o = (run_options){.program = program,
                     .arguments = arguments,
                     .argument_count = argument_count,
                     .max_tokens = 128,
                     .repeats = 5,
                     .sample.top_p = 1};
  if (command == RUN_BENCH) o->batch = 4, o->length = 128;
  size_t index = 0;
  while (commands[index].command != command) ++index;
  // "-n" with "--" would be read as a command line; the arguments are permuted in place, which a later "go on with"
  // line must not show.
  o->arguments = memory_alloc((size_t)(argument_count + 1) * sizeof *o->arguments);
  memcpy(o->arguments, arguments, (size_t)(argument_count + 1) * sizeof *o->arguments);
  parse_result result = parse(index, o, error);
  o->source.defines = o->defines;
  o->source.settings = o->settings;
  o->source.disabled = o->disabled.items;
  o->source.disabled_count = o->disabled.count;
  o->source.threads = (int)(o->threads < 4096 ? o->threads : 4096);
  o->sample.seed = (uint64_t)o->seed;
  return result;
}

void run_options_free(run_options *o) {
  free(o->arguments);
  free(o->defines);
  free(o->settings);
  free(o->disabled.items);
  free(o->phases.items);
  free(o->prompts.items);
  free(o->stops.items);
}

// ---- what the commands share --------------------------------------------------------------------

int run_failed(const lmn_error *error) {
  if (error->text[0]) fprintf(stderr, "error: %s\n", error->text);
  return 1;
}

int run_command_named(const char *program, const char *name, int argument_count, char **arguments) {
  for (size_t i = 0; i < LENGTH(commands); ++i) {
    if (strcmp(commands[i].name, name)) continue;
    lmn_error error = {0};
    run_options o;
    parse_result result = run_options_parse(commands[i].command, program, argument_count, arguments, &o, &error);
    int status = result == PARSE_RUN ? commands[i].run(&o) : result == PARSE_DONE ? 0 : 2;
    if (result == PARSE_WRONG) fprintf(stderr, "error: %s\nSee %s %s --help.\n", error.text, program, name);
    run_options_free(&o);
    return status;
  }
  return -1;
}

bool run_source(const run_options *o, network_source *s, lmn_error *error) { return source_open(s, &o->source, error); }

int run_phases(const run_options *o, const network_source *s, int *phases, lmn_error *error) {
  if (s->phase_count < 1) {
    fail(error, "the network has no phase");
    return -1;
  }
  bool *wanted = memory_zero((size_t)s->phase_count);
  int count = 0;
  for (int i = 0; i < o->phases.count; ++i) {
    int phase = source_phase(s, o->phases.items[i], error);
    if (phase < 0) {
      free(wanted);
      return -1;
    }
    wanted[phase] = true;
  }
  for (int i = 0; i < s->phase_count; ++i)
    if (wanted[i] || !o->phases.count) phases[count++] = i;
  free(wanted);
  return count;
}

lmn_network *run_network(const run_options *o, network_source *s, const entry_wanted *wanted, int count,
                         lmn_error *error) {
  lmn_network *n = source_network(s, wanted, count, s->phases[0].seed, error);
  if (!n) return NULL;
  if (!o->init || lmn_replace(n, o->init, error)) return n;
  lmn_close(n);
  return NULL;
}
