#include "driver/run_options.h"

#include <stdlib.h>
#include <string.h>

typedef struct run_option {
  int commands;
  const char *name;
  char letter;          // 0: none
  const char *argument; // NULL: a flag
  const char *help;
  option_value value;
  size_t offset;
} run_option;

#define AT(member) offsetof(run_options, member)
// COMPILED: needs the compiler, so that lmn-run has it not.
enum {
  RUN_FIT = RUN_TRAIN | RUN_SWEEP,
  RUN_DATA = RUN_FIT | RUN_EVAL,
  COMPILED = 64,
  RUN_ALL = RUN_DATA | RUN_GENERATE | RUN_TRACE | RUN_BENCH
};

// clang-format off
static const run_option options[] = {
  {RUN_FIT, "phase", 0, "NAME", "train this phase only (repeatable)", OPTION_TEXTS, AT(phases)},
  {RUN_EVAL | RUN_TRACE, "phase", 0, "NAME", "with the settings of this phase; default: the first", OPTION_TEXTS, AT(phases)},
  {RUN_DATA, "data", 0, "FILE", "text, .csv, .tsv or .jsonl; a folder, a glob, several with commas", OPTION_TEXT, AT(data)},
  {RUN_FIT, "validation", 0, "FILE", "data to measure the loss on, in between and at the end", OPTION_TEXT, AT(validation)},
  {RUN_SWEEP, "test", 0, "FILE", "data to compare the points by; default: the validation data", OPTION_TEXT, AT(test)},
  {RUN_DATA, "prompt", 0, "TEMPLATE", "over named columns, \"{mr} =>\"", OPTION_TEXT, AT(prompt)},
  {RUN_DATA, "completion", 0, "TEMPLATE", "what the loss is on, \" {ref}\"; of a classifier: the class", OPTION_TEXT, AT(completion)},
  {RUN_DATA, "text", 0, "COLUMN", "the column of plain text; default: text", OPTION_TEXT, AT(text)},
  {RUN_DATA, "pack", 0, NULL, "several rows in one sequence, which do not see each other", OPTION_FLAG, AT(pack)},
  {RUN_TRAIN, "output", 'o', "FOLDER", "log.jsonl, checkpoints/, parameters.safetensors; default: run", OPTION_TEXT, AT(output)},
  {RUN_TRAIN, "resume", 0, NULL, "go on where the run in that folder was stopped", OPTION_FLAG, AT(resume)},
  {RUN_SWEEP, "output", 'o', "FOLDER", "a folder a point and seed, tables and plots; default: sweep", OPTION_TEXT, AT(output)},
  {RUN_SWEEP, "seeds", 0, "N", "each point with the seeds 0 … N - 1, or with those of a list: 3,5,8", OPTION_TEXT, AT(seeds)},
  {RUN_SWEEP, "dry-run", 0, NULL, "list the points with parameters, work, memory and time; train nothing", OPTION_FLAG, AT(dry_run)},
  {RUN_SWEEP, "keep", 0, NULL, "keep the checkpoints of what is finished, not its parameters only", OPTION_FLAG, AT(keep)},
  {RUN_DATA, "batch", 'B', "N", "sequences in a batch", OPTION_SETTING, AT(settings)},
  {RUN_DATA, "length", 'T', "N", "tokens in a sequence", OPTION_SETTING, AT(settings)},
  {RUN_FIT, "steps", 0, "N", "optimizer steps of a phase", OPTION_SETTING, AT(settings)},
  {RUN_FIT, "epochs", 0, "N", "rounds through the data; default: 1 where no steps are said", OPTION_SETTING, AT(settings)},
  {RUN_FIT, "accumulate", 0, "N", "batches in an optimizer step", OPTION_SETTING, AT(settings)},
  {RUN_FIT, "clip", 0, "NORM", "largest norm of the gradient", OPTION_SETTING, AT(settings)},
  {RUN_FIT | RUN_TRACE | COMPILED, "optimizer", 0, "ADAMW", "'adamw(lr = 1e-4, betas = [0.9, 0.95], weight_decay = 0.01)'", OPTION_SETTING, AT(settings)},
  {RUN_FIT | COMPILED, "schedule", 0, "KIND", "'cosine(warmup = 100)', constant, linear", OPTION_SETTING, AT(settings)},
  {RUN_DATA | RUN_TRACE | COMPILED, "loss", 0, "LOSS", "'cross_entropy(label_smoothing = 0.1)'", OPTION_SETTING, AT(settings)},
  {RUN_FIT | RUN_TRACE | COMPILED, "freeze", 0, "NAMES", "models, edges, or names of these: not trained", OPTION_SETTING, AT(settings)},
  {RUN_TRAIN, "seed", 0, "N", "of new parameters and of the data's order", OPTION_SETTING, AT(settings)},
  {RUN_FIT, "evaluate-every", 0, "N", "steps between two validations", OPTION_SETTING, AT(settings)},
  {RUN_FIT, "save-every", 0, "N", "steps between two checkpoints; default: 10 minutes", OPTION_SETTING, AT(settings)},
  {RUN_GENERATE, "prompt", 0, "TEXT", "what to go on from (repeatable); default: the empty text", OPTION_TEXTS, AT(prompts)},
  {RUN_GENERATE, "prompts", 0, "FILE", "one prompt a line", OPTION_TEXT, AT(prompts_file)},
  {RUN_GENERATE, "max-tokens", 'n', "N", "tokens at most; default: 128", OPTION_COUNT, AT(max_tokens)},
  {RUN_GENERATE, "temperature", 0, "X", "0: always the likeliest token (the default)", OPTION_REAL, AT(sample.temperature)},
  {RUN_GENERATE, "top-k", 0, "N", "draw from the N likeliest", OPTION_COUNT, AT(sample.top_k)},
  {RUN_GENERATE, "top-p", 0, "X", "draw from the likeliest that have this probability together", OPTION_REAL, AT(sample.top_p)},
  {RUN_GENERATE, "stop", 0, "TEXT", "end before this text (repeatable)", OPTION_TEXTS, AT(stops)},
  {RUN_GENERATE, "seed", 0, "N", "of the sampling", OPTION_COUNT, AT(seed)},
  {RUN_GENERATE, "batch", 'B', "N", "prompts at once; default: up to 8", OPTION_COUNT, AT(batch)},
  {RUN_GENERATE, "ids", 0, NULL, "prompts and output are token ids", OPTION_FLAG, AT(ids)},
  {RUN_GENERATE, "raw", 0, NULL, "no BOS before the prompt", OPTION_FLAG, AT(raw)},
  {RUN_GENERATE, "echo", 0, NULL, "print the prompt before its continuation", OPTION_FLAG, AT(echo)},
  {RUN_GENERATE, "special", 0, NULL, "print special tokens too", OPTION_FLAG, AT(special)},
  {RUN_TRACE, "batch", 0, "FILE", "safetensors with input_ids [B, T], labels, last; or several batches, [N, B, T]", OPTION_TEXT, AT(batch_file)},
  {RUN_TRACE, "grad", 0, NULL, "every trained parameter's gradient", OPTION_FLAG, AT(gradients)},
  {RUN_TRACE, "steps", 0, "N", "optimizer steps: losses, parameters after them", OPTION_COUNT, AT(steps)},
  {RUN_TRACE, "greedy", 0, "N", "tokens after the first 4 of row 0, through the KV cache", OPTION_COUNT, AT(greedy)},
  {RUN_TRACE, "output", 'o', "FILE", "safetensors to write", OPTION_TEXT, AT(output)},
  {RUN_BENCH, "mode", 0, "train|edges|decode|prefill", "edges: train with frozen models", OPTION_TEXT, AT(mode)},
  {RUN_BENCH, "batch", 'B', "N", "sequences; default: 4", OPTION_COUNT, AT(batch)},
  {RUN_BENCH, "length", 'T', "N", "tokens in a sequence, or in the cache; default: 128", OPTION_COUNT, AT(length)},
  {RUN_BENCH, "repeat", 'n', "N", "timed runs, after 2 others; the median is given; default: 5", OPTION_COUNT, AT(repeats)},
  {RUN_TRAIN | RUN_BENCH, "profile", 0, NULL, "also where the time goes: by kernel, by node, on stderr", OPTION_FLAG, AT(profile)},
  {RUN_TRAIN | RUN_BENCH, "trace-file", 0, "FILE", "write these times as a Chrome trace, for ui.perfetto.dev", OPTION_TEXT, AT(trace_file)},
  {RUN_BENCH, "discard", 0, "", NULL, OPTION_FLAG, AT(discard)}, // between two processes of bench: the artifact is removed once it is open
  {RUN_ALL & ~RUN_BENCH, "init", 0, "FILE", "safetensors that replaces parameters by name", OPTION_TEXT, AT(init)},
  {RUN_ALL | COMPILED, "random-weights", 0, NULL, "the models have a config.json only", OPTION_FLAG, AT(source.random_weights)},
  {(RUN_ALL & ~RUN_SWEEP) | COMPILED, "define", 'D', "NAME=VALUE", "set a param of the .lmn file (repeatable)", OPTION_DEFINE, AT(defines)},
  {RUN_SWEEP | COMPILED, "define", 'D', "NAME=VALUES", "set a param; commas separate points (repeatable: all combinations)", OPTION_DEFINE, AT(defines)},
  {RUN_ALL | COMPILED, "disable-pass", 0, "PASS", "compile without this optimisation (repeatable)", OPTION_TEXTS, AT(disabled)},
  {RUN_FIT | RUN_TRACE | RUN_BENCH | COMPILED, "memory-limit", 0, "SIZE", "of a training step, such as 800M or 1.5G: what does not fit is computed again", OPTION_BYTES, AT(source.memory_limit)},
  {RUN_FIT | RUN_TRACE | RUN_BENCH | COMPILED, "recompute", 0, "WHAT", "compute again instead of keeping: rows, feed-forward, layers, layers-2, -4, -8", OPTION_TEXT, AT(source.recompute)},
  {(RUN_ALL & ~RUN_SWEEP) | COMPILED, "target", 0, "TARGET", "cpu (the default), or the GPU here: sm_80, sm_89, sm_90a", OPTION_TEXT, AT(source.target)},
  {(RUN_ALL & ~RUN_SWEEP) | COMPILED, "precision", 0, "TYPE", "f32, or bf16 for GPUs, theirs unless told otherwise", OPTION_TEXT, AT(source.precision)},
  {RUN_ALL, "threads", 0, "N", "of the CPU; default: LMN_THREADS, or all cores", OPTION_COUNT, AT(threads)},
  {RUN_ALL, "device", 0, "N", "which GPU, where the network is compiled for one; default: 0", OPTION_COUNT, AT(gpu)},
  {RUN_FIT | RUN_EVAL | RUN_GENERATE, "json", 0, NULL, "the result as JSON", OPTION_FLAG, AT(json)},
};

static const struct {
  run_usage usage;
  int (*run)(const run_options *o);
} commands[] = {
  {{RUN_TRAIN, "train", "Trains a network, phase by phase.",
   " --data train.csv --validation dev.csv --prompt '{mr} =>' --completion ' {ref}' --steps 500 -o run"}, train_command},
  {{RUN_EVAL, "eval", "Measures the mean loss and the perplexity (of a classifier: the accuracy) on data.",
   " --init run/parameters.safetensors --data dev.csv --prompt '{mr} =>' --completion ' {ref}'"}, eval_command},
  {{RUN_GENERATE, "generate", "Goes on from prompts.",
   " --init run/parameters.safetensors --prompt 'Once upon a time' --max-tokens 100"}, generate_command},
  {{RUN_TRACE, "trace", "Runs one batch and writes every node's value, logits, loss and, as asked, gradients, steps and greedy tokens.",
   " --init init.safetensors --batch batch.safetensors --grad --steps 3 --greedy 16 -o trace.safetensors"}, trace_command},
  {{RUN_BENCH, "bench", "Measures time and memory: one line of JSON.",
   " --mode train -B 4 -T 128"}, bench_command},
};
// clang-format on

// ---- parsing ------------------------------------------------------------------------------------

static bool has_compiler(void) { return !strcmp(options_program, "lmnc"); }

// The command's own rows of the table, pointing into *o.
static int rows_for(run_command command, run_options *o, command_option rows[LENGTH(options)]) {
  int count = 0;
  for (size_t i = 0; i < LENGTH(options); ++i) {
    const run_option *row = &options[i];
    if (!(row->commands & command) || ((row->commands & COMPILED) && !has_compiler())) continue;
    rows[count++] =
        (command_option){row->name, row->letter, row->argument, row->help, row->value, (char *)o + row->offset};
  }
  return count;
}

// getopt moves the arguments about, and options are cut out of them; the line that says how to go on must show them as
// they were.
static char **copy_arguments(const run_options *o) {
  char **copies = memory_zero((size_t)(o->argument_count + 1) * sizeof *copies);
  for (int i = 0; i < o->argument_count; ++i) copies[i] = memory_string(o->arguments[i]);
  return copies;
}

static options_result parse(const run_usage *u, run_options *o) {
  command_option rows[LENGTH(options)];
  const char *net = has_compiler() ? "net.lmn" : "net.lmnx";
  char example[512];
  snprintf(example, sizeof example, "%s%s", net, u->example);
  const command_usage usage = {.name = u->name,
                               .about = u->about,
                               .operand = has_compiler() ? "NET" : net,
                               .example = example,
                               .options = rows,
                               .option_count = rows_for(u->command, o, rows)};
  o->copies = copy_arguments(o);
  char **moved = memory_alloc((size_t)(o->argument_count + 1) * sizeof *moved);
  memcpy(moved, o->copies, (size_t)(o->argument_count + 1) * sizeof *moved);
  options_result result = options_parse(&usage, o->argument_count, moved, &o->source.net);
  free(moved);
  return result;
}

static void set_defaults(run_command command, run_options *o) {
  o->max_tokens = 128;
  o->repeats = 5;
  o->sample.top_p = 1;
  if (command == RUN_BENCH) o->batch = 4, o->length = 128;
}

// Of a setting given twice the last counts.
static void drop_repeats(define_list *list) {
  int kept = 0;
  for (int i = 0; i < list->count; ++i) {
    bool again = false;
    for (int k = i + 1; k < list->count; ++k) again |= !strcmp(list->items[i].name, list->items[k].name);
    if (!again) list->items[kept++] = list->items[i];
  }
  list->count = kept;
}

static void complete(run_options *o) {
  drop_repeats(&o->settings);
  o->source.defines = o->defines.items;
  o->source.define_count = o->defines.count;
  o->source.settings = o->settings.items;
  o->source.setting_count = o->settings.count;
  o->source.disabled = o->disabled.items;
  o->source.disabled_count = o->disabled.count;
  o->source.options.threads = (int)(o->threads < 4096 ? o->threads : 4096);
  o->source.options.gpu = (int)(o->gpu < INT32_MAX ? o->gpu : INT32_MAX);
  o->sample.seed = (uint64_t)o->seed;
}

options_result run_options_parse(const run_usage *usage, int argument_count, char **arguments, run_options *o) {
  *o = (run_options){.arguments = arguments, .argument_count = argument_count};
  set_defaults(usage->command, o);
  options_result result = parse(usage, o);
  complete(o);
  return result;
}

void run_options_free(run_options *o) {
  define_list_free(&o->defines);
  define_list_free(&o->settings);
  text_list_free(&o->disabled);
  text_list_free(&o->phases);
  text_list_free(&o->prompts);
  text_list_free(&o->stops);
  for (int i = 0; o->copies && i < o->argument_count; ++i) free(o->copies[i]);
  free(o->copies);
}

// ---- what the commands share --------------------------------------------------------------------

int run_failed(const lmn_error *error) {
  if (error->text[0]) fprintf(stderr, "error: %s\n", error->text);
  return 1;
}

bool run_command_known(const char *name) {
  for (size_t i = 0; i < LENGTH(commands); ++i)
    if (!strcmp(commands[i].usage.name, name)) return true;
  return false;
}

void run_print_command(const run_options *o, FILE *out) {
  text command = {0};
  text_add(&command, options_program);
  for (int i = 0; i < o->argument_count; ++i) options_quote(o->arguments[i], &command);
  fputs(command.data, out);
  text_free(&command);
}

int run_command_named(const char *name, int argument_count, char **arguments) {
  for (size_t i = 0; i < LENGTH(commands); ++i) {
    if (strcmp(commands[i].usage.name, name)) continue;
    run_options o;
    options_result result = run_options_parse(&commands[i].usage, argument_count, arguments, &o);
    int status = result == OPTIONS_RUN ? commands[i].run(&o) : result == OPTIONS_DONE ? 0 : 2;
    run_options_free(&o);
    return status;
  }
  return -1;
}

bool run_show_profile(const run_options *o, const profile *p, bool ok, lmn_error *error) {
  if (!ok || !p) return ok;
  if (o->profile) profile_print(p, stderr);
  return !o->trace_file || profile_trace(p, o->trace_file, error);
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
