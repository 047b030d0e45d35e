// lmnc --explain: what an error code means and what helps.
#include "driver/commands.h"
#include "frontend/diagnostic.h"

static void print_example(const char *name, const char *example) {
  if (!example) return;
  printf("\n%s:\n\n  ", name);
  for (const char *p = example; *p; ++p) printf(*p == '\n' ? "\n  " : "%c", *p);
  puts("");
}

int command_explain(int argument_count, char **arguments) {
  if (argument_count < 2) {
    puts("usage: lmnc --explain CODE\n\ncodes:");
    for (size_t i = 0; i < ERROR_CODES; ++i) printf("  %s  %s\n", error_entries[i].code, error_entries[i].title);
    return 0;
  }
  const error_entry *entry = error_find(arguments[1]);
  if (!entry) {
    fprintf(stderr, "error: there is no error code \"%s\"; lmnc --explain lists them\n", arguments[1]);
    return 2;
  }
  printf("%s: %s\n\n%s\n", entry->code, entry->title, entry->explanation);
  print_example("wrong", entry->wrong);
  print_example("right", entry->right);
  return 0;
}
