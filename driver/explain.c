// lmnc --explain: what an error code means and what helps.
#include "driver/commands.h"
#include "frontend/diagnostic.h"

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
  return 0;
}
