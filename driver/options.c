#include "driver/options.h"
#include "frontend/diagnostic.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

const char *options_program = "lmnc";

void program_begin(void) {
  signal(SIGXFSZ, SIG_IGN); // a limit on file sizes is then an error of the write, as a full disk is
}

int program_end(int status) {
  if (fflush(stdout) == 0 && !ferror(stdout)) return status;
  fprintf(stderr, "error: standard output: cannot be written: %s\n", strerror(errno));
  return status ? status : 1;
}

static void print_option(const command_option *o) {
  char left[80];
  snprintf(left, sizeof left, "%c%c%s--%s%s%s", o->letter ? '-' : ' ', o->letter ? o->letter : ' ',
           o->letter ? ", " : "  ", o->name, o->argument ? " " : "", o->argument ? o->argument : "");
  bool wide = strlen(left) > 30;
  printf("  %-30s%s%*s %s\n", left, wide ? "\n" : "", wide ? 32 : 0, "", o->help);
}

static void print_help(const command_usage *u) {
  printf("%s\n\nusage: %s %s %s [options]\n\noptions:\n", u->about, options_program, u->name, u->operand);
  for (int i = 0; i < u->option_count; ++i)
    if (u->options[i].help) print_option(&u->options[i]);
  print_option(&(command_option){.name = "help", .letter = 'h', .help = "this text"});
  printf("\nexample:\n  %s %s %s\n", options_program, u->name, u->example);
}

static options_result wrong(const command_usage *u, const char *format, ...) PRINTF_LIKE(2, 3);
static options_result wrong(const command_usage *u, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fputs("error: ", stderr);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fprintf(stderr, "\nSee %s %s --help.\n", options_program, u->name);
  return OPTIONS_WRONG;
}

static options_result unknown(const command_usage *u, const char *seen) {
  size_t length = strcspn(seen, "=");
  char name[64];
  snprintf(name, sizeof name, "%.*s", (int)(length < 60 ? length : 60), seen);
  nearest n = {.wanted = name + strspn(name, "-")};
  for (int i = 0; i < u->option_count; ++i)
    if (u->options[i].help) nearest_try(&n, u->options[i].name);
  nearest_try(&n, "help");
  if (n.best) return wrong(u, "%s has no option %s; did you mean --%s?", u->name, name, n.best);
  return wrong(u, "%s has no option %s", u->name, name);
}

static options_result take_define(const command_usage *u, define_list *list, char *value) {
  char *equals = strchr(value, '=');
  if (!equals || equals == value) return wrong(u, "-D %s: it must be NAME=VALUE", value);
  *equals = 0; // in the argument itself, which lives as long as the program
  GROW(list->items, list->count, list->capacity);
  list->items[list->count++] = (define){value, equals + 1};
  return OPTIONS_RUN;
}

// The option's name as the language spells it, "evaluate_every"; kept for the rest of the program.
static const char *spelled(const char *name) {
  static char names[32][32];
  static size_t count;
  char wanted[32];
  snprintf(wanted, sizeof wanted, "%s", name);
  for (char *p = wanted; *p; ++p)
    if (*p == '-') *p = '_';
  for (size_t i = 0; i < count; ++i)
    if (!strcmp(names[i], wanted)) return names[i];
  if (count == LENGTH(names)) return name; // more settings than the language has
  return memcpy(names[count++], wanted, sizeof wanted);
}

static void take_setting(define_list *list, const char *name, const char *value) {
  GROW(list->items, list->count, list->capacity);
  list->items[list->count++] = (define){spelled(name), value};
}

static options_result take_count(const command_usage *u, const command_option *o, const char *value) {
  char *end;
  errno = 0;
  long long count = strtoll(value, &end, 10);
  if (errno || end == value || *end || count < 0) return wrong(u, "--%s %s: it must be a number", o->name, value);
  *(int64_t *)o->to = count;
  return OPTIONS_RUN;
}

static options_result take_real(const command_usage *u, const command_option *o, const char *value) {
  char *end;
  *(double *)o->to = strtod(value, &end);
  return end == value || *end ? wrong(u, "--%s %s: it must be a number", o->name, value) : OPTIONS_RUN;
}

// "800M", "1.5G", "2GiB", or bytes.
static options_result take_bytes(const command_usage *u, const command_option *o, const char *value) {
  static const char units[] = "KMGT";
  char *end;
  double size = strtod(value, &end);
  const char *unit = *end ? strchr(units, *end >= 'a' ? *end - 32 : *end) : NULL;
  if (unit) {
    size *= (double)((int64_t)1 << 10 * (unit - units + 1));
    end += 1 + strspn(end + 1, "i");
  }
  if (*end == 'B') ++end;
  if (end == value || *end || !(size > 0) || size > 1e18)
    return wrong(u, "--%s %s: it must be a size, such as 800M or 1.5G", o->name, value);
  *(int64_t *)o->to = (int64_t)size;
  return OPTIONS_RUN;
}

static options_result take(const command_usage *u, const command_option *o, char *value) {
  switch (o->value) {
  case OPTION_FLAG: *(bool *)o->to = true; break;
  case OPTION_TEXT: *(const char **)o->to = value; break;
  case OPTION_COUNT: return take_count(u, o, value);
  case OPTION_REAL: return take_real(u, o, value);
  case OPTION_BYTES: return take_bytes(u, o, value);
  case OPTION_DEFINE: return take_define(u, o->to, value);
  case OPTION_SETTING: take_setting(o->to, o->name, value); break;
  case OPTION_TEXTS: {
    text_list *list = o->to;
    GROW(list->items, list->count, list->capacity);
    list->items[list->count++] = value;
    break;
  }
  }
  return OPTIONS_RUN;
}

#define FIRST_LONG 256 // getopt_long's value of option i is FIRST_LONG + i
#define HELP_LONG 255

static options_result parse_options(const command_usage *u, int argument_count, char **arguments,
                                    const struct option *table, const char *letters) {
  optind = 0; // a fresh start, GNU's way
  opterr = 0;
  for (int value; (value = getopt_long(argument_count, arguments, letters, table, NULL)) != -1;) {
    const char *seen = arguments[optind > 1 ? optind - 1 : 1];
    char letter[3] = {'-', (char)optopt, 0};
    if (value == ':') return wrong(u, "%s needs a value", optopt && optopt < HELP_LONG ? letter : seen);
    if (value == '?') return unknown(u, optopt && optopt < HELP_LONG ? letter : seen);
    if (value == HELP_LONG || value == 'h') {
      print_help(u);
      return OPTIONS_DONE;
    }
    int at = value - FIRST_LONG;
    for (int i = 0; value < FIRST_LONG && i < u->option_count; ++i)
      if (u->options[i].letter == value) at = i;
    options_result result = take(u, &u->options[at], optarg);
    if (result != OPTIONS_RUN) return result;
  }
  return OPTIONS_RUN;
}

static usage_reader *reading; // while a table is only read
static void *read_to;

void options_read(int (*run)(int argument_count, char **arguments), const char *name, usage_reader *reader, void *to) {
  reading = reader;
  read_to = to;
  run(1, (char *[]){(char *)name, NULL});
  reading = NULL;
}

options_result options_parse_several(const command_usage *u, int argument_count, char **arguments, int *first) {
  if (reading) {
    reading(u, read_to);
    return OPTIONS_DONE;
  }
  struct option *table = memory_zero(sizeof *table * (size_t)(u->option_count + 2));
  text letters = {0};
  text_add(&letters, ":h");
  for (int i = 0; i < u->option_count; ++i) {
    const command_option *o = &u->options[i];
    bool valued = o->value != OPTION_FLAG;
    table[i] = (struct option){o->name, valued ? required_argument : no_argument, NULL, FIRST_LONG + i};
    if (o->letter) text_printf(&letters, "%c%s", o->letter, valued ? ":" : "");
  }
  table[u->option_count] = (struct option){"help", no_argument, NULL, HELP_LONG};
  options_result result = parse_options(u, argument_count, arguments, table, letters.data);
  free(table);
  text_free(&letters);
  if (result != OPTIONS_RUN) return result;
  *first = optind;
  return optind < argument_count ? OPTIONS_RUN : wrong(u, "%s needs its %s", u->name, u->operand);
}

options_result options_parse(const command_usage *u, int argument_count, char **arguments, const char **operand) {
  int first;
  options_result result = options_parse_several(u, argument_count, arguments, &first);
  if (result != OPTIONS_RUN) return result;
  if (first + 1 < argument_count)
    return wrong(u, "%s takes one %s; what is \"%s\"?", u->name, u->operand, arguments[first + 1]);
  *operand = arguments[first];
  return OPTIONS_RUN;
}

void options_quote(const char *argument, text *out) {
  static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./=,:+@%";
  text_add(out, " ");
  if (*argument && !argument[strspn(argument, plain)]) {
    text_add(out, argument);
    return;
  }
  text_add(out, "'");
  for (const char *p = argument; *p; ++p) *p == '\'' ? text_add(out, "'\\''") : text_add_bytes(out, p, 1);
  text_add(out, "'");
}

void define_list_free(define_list *list) {
  free(list->items);
  *list = (define_list){0};
}

void text_list_free(text_list *list) {
  free(list->items);
  *list = (text_list){0};
}
