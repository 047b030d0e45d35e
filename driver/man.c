// lmnc man: manual pages, from the tables that the commands parse their options with.
#include "driver/commands.h"
#include "driver/options.h"
#include "driver/run_options.h"

#include <ctype.h>
#include <string.h>
#include <utf8proc.h>

// Text as roff takes it: every character is itself, also at a line's start.
static void add(text *out, const char *string) {
  bool start = !out->length || out->data[out->length - 1] == '\n';
  for (const char *p = string; *p;) {
    utf8proc_int32_t point = -1;
    utf8proc_ssize_t size = utf8proc_iterate((const utf8proc_uint8_t *)p, -1, &point);
    if (start && (*p == '.' || *p == '\'')) text_add(out, "\\&");
    if (*p == '\\') text_add(out, "\\e");
    else if (*p == '-') text_add(out, "\\-");
    else if (*p == '\'') text_add(out, "\\(aq");
    else if (*p == '^') text_add(out, "\\(ha");
    else if (*p == '~') text_add(out, "\\(ti");
    else if (*p == '`') text_add(out, "\\(ga");
    else if (point >= 128) text_printf(out, "\\[u%04X]", (unsigned)point);
    else text_add_bytes(out, p, 1);
    start = *p == '\n';
    p += size > 0 ? size : 1;
  }
}

static void add_styled(text *out, char style, const char *string) {
  text_printf(out, "\\f%c", style);
  add(out, string);
  text_add(out, "\\fR");
}

// A sentence as a fragment: "Trains a network." -> "trains a network".
static void add_fragment(text *out, const char *sentence) {
  size_t length = strlen(sentence);
  text fragment = {0};
  text_add_bytes(&fragment, sentence, length - (length && sentence[length - 1] == '.'));
  if (fragment.data && islower((unsigned char)fragment.data[1]))
    fragment.data[0] = (char)tolower((unsigned char)fragment.data[0]);
  add(out, fragment.data ? fragment.data : "");
  text_free(&fragment);
}

static void add_title(text *out, const char *page) {
  text title = {0};
  for (const char *p = page; *p; ++p) text_printf(&title, "%c", toupper((unsigned char)*p));
  text_add(out, ".TH ");
  add(out, title.data);
  text_printf(out, " 1 \"\" \"lmnc %s\" \"lmnc manual\"\n.SH NAME\n", LMN_VERSION);
  add(out, page);
  text_add(out, " \\- ");
  text_free(&title);
}

static void add_options(text *out, const command_usage *u) {
  static const command_option help = {.name = "help", .letter = 'h', .help = "a short form of this page"};
  for (int i = 0; i <= u->option_count; ++i) {
    const command_option *o = i < u->option_count ? &u->options[i] : &help;
    if (!o->help) continue;
    text_add(out, ".TP\n");
    if (o->letter) text_printf(out, "\\fB\\-%c\\fR, ", o->letter);
    text_add(out, "\\fB\\-\\-");
    add(out, o->name);
    text_add(out, "\\fR");
    if (o->argument) text_add(out, " "), add_styled(out, 'I', o->argument);
    text_add(out, "\n");
    add(out, o->help);
    text_add(out, "\n");
  }
}

static void add_synopsis(text *out, const command_usage *u) {
  text_printf(out, "\\fB%s ", options_program);
  add(out, u->name);
  text_add(out, "\\fR ");
  add_styled(out, 'I', u->operand);
  text_add(out, " [options]\n");
}

static void add_example(text *out, const char *lines) {
  text_add(out, ".SH EXAMPLE\n.EX\n");
  add(out, lines);
  text_add(out, ".EE\n");
}

static void add_end(text *out, const char *see) {
  text_add(out,
           ".SH EXIT STATUS\n0: done. 1: an error of the network or of the work. 2: wrong arguments.\n.SH SEE ALSO\n");
  text_add(out, see);
  text_add(out, "\n");
}

static void add_command_page(const command_usage *u, void *to) {
  text *out = to, page = {0}, example = {0};
  text_printf(&page, "%s-%s", options_program, u->name);
  add_title(out, page.data);
  add_fragment(out, u->about);
  text_add(out, "\n.SH SYNOPSIS\n");
  add_synopsis(out, u);
  text_add(out, ".SH DESCRIPTION\n");
  add(out, u->about);
  text_add(out, "\n.SH OPTIONS\n");
  add_options(out, u);
  text_printf(&example, "%s %s %s\n", options_program, u->name, u->example);
  add_example(out, example.data);
  add_end(out, ".BR lmnc (1)");
  text_free(&page);
  text_free(&example);
}

static void add_main_page(text *out) {
  add_title(out, "lmnc");
  add_fragment(out, program_about + strlen("lmnc "));
  text_add(out, "\n.SH SYNOPSIS\n\\fBlmnc\\fR \\fICOMMAND\\fR \\fINET\\fR [options]\n.br\n\\fBlmnc \\-\\-explain\\fR "
                "[\\fICODE\\fR]\n.SH DESCRIPTION\n");
  add(out, program_about);
  text_add(out, "\n.SH COMMANDS\n");
  for (int i = 0; i < command_count; ++i) {
    text_printf(out, ".TP\n.BR lmnc\\-%s (1)\n", commands[i].name);
    add(out, commands[i].about);
    text_add(out, "\n");
  }
  text_add(out,
           ".SH OPTIONS\n.TP\n\\fB\\-\\-explain\\fR [\\fICODE\\fR]\nwhat an error of a network means, with examples; "
           "without a code: all codes\n.TP\n\\fB\\-\\-version\\fR\nthe version\n.TP\n\\fB\\-h\\fR, "
           "\\fB\\-\\-help\\fR\nthe commands\n.SH ENVIRONMENT\n.TP\n.B LMN_MODELS\nfolders where models are looked up, "
           "separated by colons\n.TP\n.B LMN_THREADS\nhow many threads run a network; all cores where it is not "
           "set\n.TP\n.B LMN_CACHE\nthe folder of compiled kernels\n.TP\n.B LMN_CUDA_DRIVER\nanother file than "
           "libcuda.so.1 as "
           "NVIDIA's driver\n.TP\n.B LMN_CUDA_SYNC\n1: wait for every kernel on a GPU, so that one that fails is "
           "named\n.TP\n.B LMN_CUDA_GRAPH\n0: run without CUDA graphs; chain: with graphs whose launches run one after "
           "the other; wide: with launches side by side wherever they can\n");
  add_example(out, program_examples);
  add_end(out, ".BR lmn\\-run (1)");
}

static void add_run_section(const command_usage *u, void *to) {
  text *out = to;
  text_add(out, ".SS ");
  add_synopsis(out, u);
  add(out, u->about);
  text_add(out, "\n");
  add_options(out, u);
}

static int run_shared(int argument_count, char **arguments) {
  return run_command_named(arguments[0], argument_count, arguments);
}

// lmn-run has its commands on one page: they are those of lmnc with fewer options.
static void add_run_page(text *out) {
  const char *kept = options_program;
  options_program = "lmn-run";
  add_title(out, options_program);
  text_add(out,
           "runs networks that lmnc has compiled\n.SH SYNOPSIS\n\\fBlmn\\-run\\fR \\fICOMMAND\\fR \\fInet.lmnx\\fR "
           "[options]\n.SH COMMANDS\n");
  for (int i = 0; i < command_count; ++i)
    if (run_command_known(commands[i].name)) options_read(run_shared, commands[i].name, add_run_section, out);
  options_program = kept;
  add_end(out, ".BR lmnc (1)");
}

static bool add_page(text *out, const char *page) {
  if (!strcmp(page, "lmnc")) return add_main_page(out), true;
  if (!strcmp(page, "lmn-run")) return add_run_page(out), true;
  for (int i = 0; i < command_count; ++i)
    if (!strcmp(commands[i].name, page)) return options_read(commands[i].run, page, add_command_page, out), true;
  return false;
}

static bool write_page(const char *folder, const char *page, lmn_error *error) {
  text out = {0}, path = {0};
  bool whole = !strncmp(page, "lmn", 3);
  add_page(&out, page);
  text_printf(&path, "%s/%s%s.1", folder, whole ? "" : "lmnc-", page);
  bool ok = file_write(path.data, out.data, out.length, error);
  text_free(&out);
  text_free(&path);
  return ok;
}

static bool write_all(const char *folder, lmn_error *error) {
  bool ok = directory_make(folder, error) && write_page(folder, "lmnc", error) && write_page(folder, "lmn-run", error);
  for (int i = 0; ok && i < command_count; ++i) ok = write_page(folder, commands[i].name, error);
  return ok;
}

int command_man(int argument_count, char **arguments) {
  const char *folder = NULL, *page;
  const command_option options[] = {
      {"output", 'o', "FOLDER", "write lmnc.1, lmnc-train.1 and so on there; with the page all", OPTION_TEXT, &folder},
  };
  const command_usage usage = {"man",   "Prints a manual page: of a command, of lmnc or of lmn-run.",
                               "PAGE",  "train | man -l -",
                               options, (int)LENGTH(options)};
  options_result result = options_parse(&usage, argument_count, arguments, &page);
  if (result != OPTIONS_RUN) return result == OPTIONS_DONE ? 0 : 2;
  lmn_error error = {0};
  text out = {0};
  bool all = !strcmp(page, "all"), ok = false;
  if (all != (folder != NULL)) fail(&error, "all pages go to a folder: lmnc man all -o FOLDER");
  else if (all) ok = write_all(folder, &error);
  else if (add_page(&out, page)) ok = fputs(out.data, stdout) >= 0;
  else fail(&error, "there is no page \"%s\"; there is one of lmnc, of lmn-run and of each command", page);
  if (error.text[0]) fprintf(stderr, "error: %s\n", error.text);
  text_free(&out);
  return ok ? 0 : 1;
}
