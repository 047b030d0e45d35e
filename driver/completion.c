// lmnc completion: scripts that complete commands, options and their values, from the tables that the commands parse
// their options with. What an option's value is follows from what --help calls it: FILE, FOLDER, PASS, or a|b|c.
#include "driver/commands.h"
#include "driver/options.h"
#include "frontend/diagnostic.h"
#include "passes/passes.h"

#include <stdlib.h>
#include <string.h>

typedef enum {
  VALUE_NONE,
  VALUE_ANY,
  VALUE_FILE,
  VALUE_FOLDER,
  VALUE_NETWORK,
  VALUE_DEFINITION,
  VALUE_WORDS
} value_kind;

typedef struct value {
  value_kind kind;
  const char *words; // VALUE_WORDS: separated by blanks
} value;

typedef struct writer {
  arena *arena;
  text *out;
  const char *passes, *optimisations, *commands, *codes;
} writer;

static const char *words_of(arena *a, const char *choices) {
  char *words = arena_string(a, choices);
  for (char *p = words; *p; ++p)
    if (*p == '|') *p = ' ';
  return words;
}

// Of an option; of a command's operand without a name.
static value value_of(const writer *w, const char *name, const char *argument) {
  static const char *const files[] = {"FILE", "TEXT.txt"};
  if (!argument) return (value){VALUE_NONE, NULL};
  if (strchr(argument, '|')) return (value){VALUE_WORDS, words_of(w->arena, argument)};
  if (!strcmp(argument, "PASS"))
    return (value){VALUE_WORDS, strcmp(name, "disable-pass") ? w->passes : w->optimisations};
  if (!strcmp(argument, "PAGE")) return (value){VALUE_WORDS, w->commands};
  if (!strcmp(argument, "FOLDER")) return (value){VALUE_FOLDER, NULL};
  if (!strcmp(argument, "NAME=VALUE")) return (value){VALUE_DEFINITION, NULL};
  if (!strncmp(argument, "NET", 3)) return (value){VALUE_NETWORK, NULL};
  for (size_t i = 0; i < LENGTH(files); ++i)
    if (!strcmp(argument, files[i])) return (value){VALUE_FILE, NULL};
  return (value){VALUE_ANY, NULL};
}

static bool is_repeatable(const command_option *o) { return o->value == OPTION_TEXTS || o->value == OPTION_DEFINE; }

// A text inside of single quotes of any shell, with a backslash before each of `special`.
static const char *quoted(const writer *w, const char *string, const char *special, const char *quote) {
  text t = {0};
  for (const char *p = string; *p; ++p) {
    if (*p == '\'') text_add(&t, quote);
    else if (strchr(special, *p)) text_printf(&t, "\\%c", *p);
    else text_add_bytes(&t, p, 1);
  }
  const char *copy = arena_copy(w->arena, t.data ? t.data : "", t.length);
  text_free(&t);
  return copy;
}
#define POSIX_QUOTE "'\\''"

// ---- bash ----

static void add_bash_value(text *out, value v) {
  switch (v.kind) {
  case VALUE_NONE: break;
  case VALUE_ANY: text_add(out, "return 0"); break;
  case VALUE_FILE: text_add(out, "_lmnc_files; return 0"); break;
  case VALUE_FOLDER: text_add(out, "_lmnc_files -d; return 0"); break;
  case VALUE_NETWORK: text_add(out, "_lmnc_networks; return 0"); break;
  case VALUE_DEFINITION: text_add(out, "_lmnc_params; return 0"); break;
  case VALUE_WORDS: text_printf(out, "_lmnc_words '%s'; return 0", v.words); break;
  }
}

static void add_bash_command(const command_usage *u, void *to) {
  writer *w = to;
  text all = {0};
  text_printf(w->out, "  %s)\n    case $previous in\n", u->name);
  for (int i = 0; i < u->option_count; ++i) {
    const command_option *o = &u->options[i];
    if (!o->help) continue;
    text_printf(&all, "--%s ", o->name);
    if (!o->argument) continue;
    if (o->letter) text_printf(w->out, "    -%c | --%s) ", o->letter, o->name);
    else text_printf(w->out, "    --%s) ", o->name);
    add_bash_value(w->out, value_of(w, o->name, o->argument));
    text_add(w->out, " ;;\n");
  }
  text_add(&all, "--help");
  text_printf(w->out, "    esac\n    [[ $current == -* ]] && _lmnc_words '%s' && return 0\n    ", all.data);
  add_bash_value(w->out, value_of(w, "", u->operand));
  text_add(w->out, "\n    ;;\n");
  text_free(&all);
}

static const char bash_start[] =
    "# bash completion for lmnc\n\n"
    "_lmnc_words() { COMPREPLY=($(compgen -W \"$1\" -- \"$current\")); }\n\n"
    "_lmnc_files() { # compgen's option: -d, folders alone\n"
    "  local IFS=$'\\n'\n"
    "  compopt -o filenames 2>/dev/null\n"
    "  COMPREPLY=($(compgen \"${1:--f}\" -- \"$current\"))\n"
    "}\n\n"
    "_lmnc_networks() {\n"
    "  local IFS=$'\\n'\n"
    "  compopt -o filenames 2>/dev/null\n"
    "  COMPREPLY=($(compgen -f -X '!*.lmn' -- \"$current\") $(compgen -d -- \"$current\"))\n"
    "}\n\n"
    "_lmnc_params() { # of the network on the command line\n"
    "  local word names=\n"
    "  for word in \"${words[@]}\"; do\n"
    "    [[ $word == *.lmn && -r $word ]] &&\n"
    "      names+=\" $(sed -n 's/^[[:space:]]*param[[:space:]]*\\([A-Za-z_0-9]*\\).*/\\1=/p' \"$word\")\"\n"
    "  done\n"
    "  compopt -o nospace 2>/dev/null\n"
    "  _lmnc_words \"$names\"\n"
    "}\n\n"
    "_lmnc() {\n"
    "  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} words=(\"${COMP_WORDS[@]}\")\n"
    "  COMPREPLY=()\n";

static void add_bash(writer *w) {
  text_add(w->out, bash_start);
  text_printf(w->out,
              "  if ((COMP_CWORD == 1)); then\n    _lmnc_words '%s --explain --help --version'\n    return 0\n  fi\n"
              "  case ${COMP_WORDS[1]} in\n  --explain) _lmnc_words '%s' ;;\n",
              w->commands, w->codes);
  for (int i = 0; i < command_count; ++i) options_read(commands[i].run, commands[i].name, add_bash_command, w);
  text_add(w->out, "  esac\n}\n\ncomplete -F _lmnc lmnc\n");
}

// ---- zsh ----

static const char *zsh_action(const writer *w, value v) {
  switch (v.kind) {
  case VALUE_FILE: return "_files";
  case VALUE_FOLDER: return "_files -/";
  case VALUE_NETWORK: return "_files -g \"*.lmn\"";
  case VALUE_WORDS: return arena_printf(w->arena, "(%s)", v.words);
  default: return " ";
  }
}

static void add_zsh_command(const command_usage *u, void *to) {
  writer *w = to;
  text_printf(w->out, "      %s)\n        _arguments -s", u->name);
  for (int i = 0; i < u->option_count; ++i) {
    const command_option *o = &u->options[i];
    if (!o->help) continue;
    const char *help = quoted(w, o->help, "[]:\\", POSIX_QUOTE), *kept = "";
    if (is_repeatable(o)) kept = "*";
    else if (o->letter) kept = arena_printf(w->arena, "(--%s -%c)", o->name, o->letter);
    text value_text = {0};
    if (o->argument)
      text_printf(&value_text, ":%s:%s", quoted(w, o->argument, ":\\", POSIX_QUOTE),
                  zsh_action(w, value_of(w, o->name, o->argument)));
    const char *tail = value_text.data ? value_text.data : "";
    text_printf(w->out, " \\\n          '%s--%s[%s]%s'", kept, o->name, help, tail);
    if (o->letter) text_printf(w->out, " \\\n          '%s-%c[%s]%s'", kept, o->letter, help, tail);
    text_free(&value_text);
  }
  text_printf(w->out, " \\\n          '(-)--help[help]' \\\n          '*:%s:%s'\n        ;;\n", u->operand,
              zsh_action(w, value_of(w, "", u->operand)));
}

static void add_zsh(writer *w) {
  text_add(w->out,
           "#compdef lmnc\n# zsh completion for lmnc\n\n_lmnc() {\n  local state line\n  local -a commands=(\n");
  for (int i = 0; i < command_count; ++i)
    text_printf(w->out, "    '%s:%s'\n", commands[i].name, quoted(w, commands[i].about, ":\\", POSIX_QUOTE));
  text_printf(w->out,
              "  )\n  _arguments -C '(- *)--help[the commands]' '(- *)--version[the version]' \\\n"
              "    '--explain[what an error means]:code:(%s)' '1:command:->command' '*::argument:->argument'\n"
              "  case $state in\n  command) _describe command commands ;;\n  argument)\n    case $line[1] in\n",
              w->codes);
  for (int i = 0; i < command_count; ++i) options_read(commands[i].run, commands[i].name, add_zsh_command, w);
  text_add(w->out, "    esac\n    ;;\n  esac\n}\n\nif [ \"$funcstack[1]\" = _lmnc ]; then _lmnc \"$@\"; else compdef "
                   "_lmnc lmnc; fi\n");
}

// ---- fish ----

static const char *fish_value(const writer *w, value v) {
  switch (v.kind) {
  case VALUE_NONE: return "";
  case VALUE_FILE: return " -r -F";
  case VALUE_FOLDER: return " -x -a '(__fish_complete_directories)'";
  case VALUE_WORDS: return arena_printf(w->arena, " -x -a '%s'", v.words);
  default: return " -x";
  }
}

static void add_fish_command(const command_usage *u, void *to) {
  writer *w = to;
  const char *start = arena_printf(w->arena, "complete -c lmnc -n '__fish_seen_subcommand_from %s'", u->name);
  for (int i = 0; i < u->option_count; ++i) {
    const command_option *o = &u->options[i];
    if (!o->help) continue;
    text_printf(w->out, "%s -l %s", start, o->name);
    if (o->letter) text_printf(w->out, " -s %c", o->letter);
    text_printf(w->out, "%s -d '%s'\n", fish_value(w, value_of(w, o->name, o->argument)),
                quoted(w, o->help, "\\", "\\'"));
  }
  value v = value_of(w, "", u->operand);
  if (v.kind == VALUE_NETWORK) text_printf(w->out, "%s -a '(__fish_complete_suffix .lmn)'\n", start);
  else if (v.kind == VALUE_WORDS) text_printf(w->out, "%s -a '%s'\n", start, v.words);
  else if (v.kind == VALUE_FILE) text_printf(w->out, "%s -F\n", start);
}

static void add_fish(writer *w) {
  text_add(w->out, "# fish completion for lmnc\n\ncomplete -c lmnc -f\n");
  for (int i = 0; i < command_count; ++i)
    text_printf(w->out, "complete -c lmnc -n __fish_use_subcommand -a %s -d '%s'\n", commands[i].name,
                quoted(w, commands[i].about, "\\", "\\'"));
  text_printf(w->out,
              "complete -c lmnc -n __fish_use_subcommand -l explain -x -a '%s' -d 'what an error means'\n"
              "complete -c lmnc -n __fish_use_subcommand -l version -d 'the version'\n"
              "complete -c lmnc -l help -s h -d 'help'\n",
              w->codes);
  for (int i = 0; i < command_count; ++i) options_read(commands[i].run, commands[i].name, add_fish_command, w);
}

// ---- the command ----

static const char *joined(arena *a, text *words) {
  const char *copy = words->length ? arena_copy(a, words->data, words->length - 1) : ""; // without the last blank
  text_free(words);
  return copy;
}

static writer make_writer(arena *a, text *out) {
  text names = {0}, codes = {0}, all = {0}, optimisations = {0};
  for (int i = 0; i < command_count; ++i) text_printf(&names, "%s ", commands[i].name);
  for (size_t i = 0; i < ERROR_CODES; ++i) text_printf(&codes, "%s ", error_entries[i].code);
  for (int i = 0; i < pass_count; ++i) text_printf(&all, "%s ", passes[i].name);
  for (int i = 0; i < pass_count; ++i)
    if (passes[i].optimisation) text_printf(&optimisations, "%s ", passes[i].name);
  return (writer){a, out, joined(a, &all), joined(a, &optimisations), joined(a, &names), joined(a, &codes)};
}

int command_completion(int argument_count, char **arguments) {
  const command_usage usage = {"completion",
                               "Prints a script that completes lmnc's commands and options in a shell.",
                               "bash|zsh|fish",
                               "bash > ~/.local/share/bash-completion/completions/lmnc",
                               NULL,
                               0};
  static const struct {
    const char *name;
    void (*add)(writer *w);
  } shells[] = {{"bash", add_bash}, {"zsh", add_zsh}, {"fish", add_fish}};
  const char *shell;
  options_result result = options_parse(&usage, argument_count, arguments, &shell);
  if (result != OPTIONS_RUN) return result == OPTIONS_DONE ? 0 : 2;
  size_t at = 0;
  while (at < LENGTH(shells) && strcmp(shells[at].name, shell)) ++at;
  if (at == LENGTH(shells)) {
    fprintf(stderr, "error: there is no completion for \"%s\"; it is for bash, zsh or fish\n", shell);
    return 2;
  }
  text out = {0};
  arena *a = arena_create();
  writer w = make_writer(a, &out);
  shells[at].add(&w);
  bool ok = fputs(out.data, stdout) >= 0;
  text_free(&out);
  arena_destroy(a);
  return ok ? 0 : 1;
}
