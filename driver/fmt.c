// lmnc fmt: networks in the one layout.
#include "driver/commands.h"
#include "driver/options.h"
#include "frontend/format.h"
#include "frontend/resolve.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct text_line {
  const char *bytes; // with its line end
  size_t length;
} text_line;

typedef struct text_lines {
  text_line *items;
  int count, capacity;
} text_lines;

static text_lines split(const char *data, size_t length) {
  text_lines lines = {0};
  for (const char *at = data, *end = data + length; at < end;) {
    const char *next = memchr(at, '\n', (size_t)(end - at));
    next = next ? next + 1 : end;
    GROW(lines.items, lines.count, lines.capacity);
    lines.items[lines.count++] = (text_line){at, (size_t)(next - at)};
    at = next;
  }
  return lines;
}

static bool same(const text_line *a, const text_line *b) {
  return a->length == b->length && !memcmp(a->bytes, b->bytes, a->length);
}

static void print_lines(arena *a, char sign, const text_lines *lines, int from, int to) {
  for (int i = from; i < to; ++i) {
    size_t length = lines->items[i].length;
    if (length && lines->items[i].bytes[length - 1] == '\n') --length;
    printf("%c%s\n", sign, text_shown(a, lines->items[i].bytes, length));
  }
}

// Moves to the nearest lines after `*i` and `*k` that are the same; to both ends where there are none near.
static void find_same(const text_lines *was, const text_lines *is, int *i, int *k) {
  enum { NEAR = 400 };
  for (int distance = 1; distance < NEAR; ++distance)
    for (int skip = 0; skip <= distance; ++skip) {
      int x = *i + skip, y = *k + distance - skip;
      if (x >= was->count || y >= is->count || !same(&was->items[x], &is->items[y])) continue;
      *i = x, *k = y;
      return;
    }
  *i = was->count, *k = is->count;
}

static void print_difference(arena *a, const source *s, const text *formatted) {
  text_lines was = split(s->data, s->length), is = split(formatted->data, formatted->length);
  printf("--- %s\n+++ %s (formatted)\n", s->shown, s->shown);
  for (int i = 0, k = 0; i < was.count || k < is.count;) {
    if (i < was.count && k < is.count && same(&was.items[i], &is.items[k])) {
      ++i, ++k;
      continue;
    }
    int i_end = i, k_end = k;
    find_same(&was, &is, &i_end, &k_end);
    printf("@@ -%d,%d +%d,%d @@\n", i + (i_end > i), i_end - i, k + (k_end > k), k_end - k);
    print_lines(a, '-', &was, i, i_end);
    print_lines(a, '+', &is, k, k_end);
    i = i_end, k = k_end;
  }
  free(was.items);
  free(is.items);
}

static bool read_standard_input(text *data, lmn_error *error) {
  char block[1 << 14];
  for (size_t got; (got = fread(block, 1, sizeof block, stdin)) > 0;) {
    text_add_bytes(data, block, got);
    if (data->length > LIMIT_FILE) return fail(error, "the standard input has more than %d bytes", LIMIT_FILE);
  }
  return !ferror(stdin) || fail(error, "the standard input cannot be read");
}

// The file is where links lead to, and keeps its mode.
static bool write_formatted(const char *path, const text *formatted, lmn_error *error) {
  char *real = realpath(path, NULL);
  struct stat status;
  bool known = real && !stat(real, &status);
  bool ok = file_write(real ? real : path, formatted->data, formatted->length, error);
  if (ok && known) chmod(real, status.st_mode & 07777);
  free(real);
  return ok;
}

// 0, or 1 with a message.
static int format_one(const char *path, bool check) {
  bool standard = !strcmp(path, "-");
  diagnostics d = {.arena = arena_create()};
  lmn_error error = {0};
  text input = {0}, formatted = {0}, messages = {0};
  if (!standard) source_read(&d, path);
  else if (read_standard_input(&input, &error))
    d.source = source_create(d.arena, "-", input.data ? input.data : "", input.length, 0);
  bool ok = d.source && !d.count && format_source(&d, &formatted);
  bool changed =
      ok && (formatted.length != d.source->length || memcmp(formatted.data, d.source->data, formatted.length));
  if (changed && check) print_difference(d.arena, d.source, &formatted), ok = false;
  else if (ok && !check && standard)
    ok = (fwrite(formatted.data, 1, formatted.length, stdout) == formatted.length && !fflush(stdout)) ||
         fail(&error, "the standard output cannot be written");
  else if (changed) ok = write_formatted(path, &formatted, &error);
  if (d.count) diagnostics_print(&d, &messages);
  if (messages.data) fputs(messages.data, stderr);
  if (error.text[0]) fprintf(stderr, "error: %s\n", error.text);
  text_free(&input);
  text_free(&formatted);
  text_free(&messages);
  arena_destroy(d.arena);
  return ok ? 0 : 1;
}

int command_fmt(int argument_count, char **arguments) {
  bool check = false;
  const command_option options[] = {
      {"check", 0, NULL, "write nothing: print what would change, and fail if anything would", OPTION_FLAG, &check},
  };
  const command_usage usage = {
      "fmt",    "Formats networks in place; with - instead of a file, from standard input to output.",
      "NET...", "net.lmn others/*.lmn",
      options,  (int)LENGTH(options)};
  int first;
  options_result result = options_parse_several(&usage, argument_count, arguments, &first);
  if (result != OPTIONS_RUN) return result == OPTIONS_DONE ? 0 : 2;
  int status = 0;
  for (int i = first; i < argument_count; ++i) status |= format_one(arguments[i], check);
  return status;
}
