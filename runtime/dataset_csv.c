// CSV as RFC 4180 has it, with what is common beside it: any line end, quotes within an unquoted field, blank lines.
#include "runtime/dataset_parts.h"

#include <string.h>

static bool at_end(const char *data, size_t length, size_t at, char delimiter) {
  return at == length || data[at] == delimiter || data[at] == '\n' || data[at] == '\r';
}

// A quoted field: up to its closing quote, line ends and all.
static bool read_quoted(const char *data, size_t length, char delimiter, size_t *at, int64_t *line, csv_field *f,
                        lmn_error *error) {
  int64_t opened = *line;
  f->start = ++*at;
  for (;; ++*at) {
    if (*at == length)
      return fail(error,
                  "the double quote opened in line %lld is never closed; close it, or write \"\" for a quote inside a "
                  "quoted field",
                  (long long)opened);
    if (data[*at] == '\n') ++*line;
    if (data[*at] != '"') continue;
    if (*at + 1 == length || data[*at + 1] != '"') break;
    f->escaped = true;
    ++*at;
  }
  f->length = (*at)++ - f->start;
  return at_end(data, length, *at, delimiter) ||
         fail(error,
              "line %lld has text behind the closing quote of a field; write \"\" for a quote inside a quoted field",
              (long long)*line);
}

bool csv_read(const char *data, size_t length, char delimiter, size_t *at, int64_t *line, csv_record *record,
              lmn_error *error) {
  size_t begin = *at;
  record->count = 0;
  for (;;) {
    csv_field f = {.start = *at};
    if (*at < length && data[*at] == '"') {
      if (!read_quoted(data, length, delimiter, at, line, &f, error)) return false;
    } else {
      while (!at_end(data, length, *at, delimiter)) ++*at;
      f.length = *at - f.start;
    }
    GROW(record->fields, record->count, record->capacity);
    record->fields[record->count++] = f;
    if (*at == length || data[*at] != delimiter) break;
    ++*at;
  }
  record->blank = *at == begin;
  if (*at == length) return true;
  if (data[*at] == '\r' && *at + 1 < length && data[*at + 1] == '\n') ++*at;
  ++*at;
  ++*line;
  return true;
}

void csv_value(const char *data, csv_field f, text *out) {
  const char *value = data + f.start;
  if (!f.escaped) {
    text_add_bytes(out, value, f.length);
    return;
  }
  for (size_t i = 0; i < f.length; ++i) {
    if (value[i] == '"') ++i; // the first of two
    text_add_bytes(out, value + i, 1);
  }
}
