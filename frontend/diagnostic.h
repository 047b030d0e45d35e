// Messages about a .lmn file, collected, sorted by place and printed as rustc prints them:
//
//   error[E0107]: there is no edge module `liner`
//     --> net.lmn:7:18
//      |
//    7 |   edge message = liner;
//      |                  ^^^^^
//      = help: a module of a similar name is `linear`
#ifndef LMN_DIAGNOSTIC_H
#define LMN_DIAGNOSTIC_H

#include "frontend/graph.h"

typedef enum {
#define ERROR(name, code, title, explanation, wrong, right) name,
#include "frontend/errors.def"
#undef ERROR
  ERROR_CODES
} error_code;

typedef struct error_entry {
  const char *code, *title, *explanation, *wrong, *right; // the last two are examples, or NULL
} error_entry;
extern const error_entry error_entries[ERROR_CODES];
// The row of a code such as "E0107" (any case, the E may be left out); NULL: there is none.
const error_entry *error_find(const char *code);

// A text that messages point into: the file, or one argument of the command line.
typedef struct source {
  const char *name, *data;
  const char *shown; // the name, as messages print it
  size_t length;
  int order;     // of the messages of different sources
  size_t *lines; // where each line starts, filled by source_create
  int line_count;
} source;
source *source_create(arena *a, const char *name, const char *data, size_t length, int order);

// What comes from a file or the command line may be any bytes: control characters become blanks and broken UTF-8
// U+FFFD, so that it can be printed and put into JSON.
const char *text_shown(arena *a, const char *bytes, size_t length);

typedef struct label {
  const source *source;
  span place;
  const char *text; // NULL: carets alone
} label;

#define DIAGNOSTIC_LABELS 3
typedef struct diagnostic {
  error_code code;
  const char *message, *help;
  label labels[DIAGNOSTIC_LABELS]; // the first is the primary one
  int label_count;
} diagnostic;

#define DIAGNOSTIC_LIMIT 100
typedef struct diagnostics {
  arena *arena;
  const source *source; // what places refer to now
  diagnostic *items[DIAGNOSTIC_LIMIT];
  int count;
  bool more; // the limit was reached
} diagnostics;

// Adds an error; one that was already reported with this code at this place (a loop's next round) is left out. The
// result takes labels and help, also where it was left out; it is never NULL.
diagnostic *report(diagnostics *d, error_code code, span place, const char *format, ...) PRINTF_LIKE(4, 5);
// Whether report would leave it out: worth asking before a message that takes work, once for each of a million arrows.
bool is_reported(const diagnostics *d, error_code code, span place);
void report_label(diagnostics *d, diagnostic *item, const char *format, ...)
    PRINTF_LIKE(3, 4); // beside the primary carets
void report_also(diagnostics *d, diagnostic *item, const source *where, span place, const char *format, ...)
    PRINTF_LIKE(5, 6);
void report_help(diagnostics *d, diagnostic *item, const char *format, ...) PRINTF_LIKE(3, 4);

void diagnostics_sort(diagnostics *d);
void diagnostics_print(const diagnostics *d, text *out);
span span_join(span first, span last);

// The candidate nearest to a mistyped name, by edit distance; best stays NULL where none is close.
typedef struct nearest {
  const char *wanted, *best;
  int distance;
} nearest;
void nearest_try(nearest *n, const char *candidate);

#endif
