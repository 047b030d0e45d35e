#include "frontend/diagnostic.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

const error_entry error_entries[ERROR_CODES] = {
#define ERROR(name, code, title, explanation, wrong, right) {code, title, explanation, wrong, right},
#include "frontend/errors.def"
#undef ERROR
};

const error_entry *error_find(const char *code) {
  const char *number = code + (*code == 'E' || *code == 'e');
  char *end;
  long wanted = strtol(number, &end, 10);
  if (end == number || *end) return NULL;
  for (size_t i = 0; i < ERROR_CODES; ++i)
    if (strtol(error_entries[i].code + 1, NULL, 10) == wanted) return &error_entries[i];
  return NULL;
}

span span_join(span first, span last) { return (span){first.line, first.column, last.end_line, last.end_column}; }

const char *text_shown(arena *a, const char *bytes, size_t length) {
  text clean = {0};
  for (size_t i = 0; i < length;) {
    utf8proc_int32_t point = -1;
    utf8proc_ssize_t size =
        utf8proc_iterate((const utf8proc_uint8_t *)bytes + i, (utf8proc_ssize_t)(length - i), &point);
    if (size <= 0) text_add(&clean, "\xef\xbf\xbd");
    else if (point < 32 || point == 127) text_add(&clean, " ");
    else text_add_bytes(&clean, bytes + i, (size_t)size);
    i += size > 0 ? (size_t)size : 1;
  }
  const char *copy = arena_copy(a, clean.data ? clean.data : "", clean.length);
  text_free(&clean);
  return copy;
}

source *source_create(arena *a, const char *name, const char *data, size_t length, int order) {
  source *s = ARENA_NEW(a, source);
  *s = (source){.name = name,
                .shown = text_shown(a, name, strlen(name)),
                .data = data,
                .length = length,
                .order = order,
                .line_count = 1};
  for (size_t i = 0; i < length; ++i) s->line_count += data[i] == '\n';
  s->lines = ARENA_ARRAY(a, size_t, s->line_count + 1);
  int line = 1;
  for (size_t i = 0; i < length; ++i)
    if (data[i] == '\n') s->lines[line++] = i + 1;
  s->lines[line] = length + 1;
  return s;
}

static const char *arena_vprintf(arena *a, const char *format, va_list arguments) {
  text raw = {0};
  text_vprintf(&raw, format, arguments);
  const char *shown = text_shown(a, raw.data, raw.length);
  text_free(&raw);
  return shown;
}

static bool same_report(const diagnostic *item, error_code code, const source *source, span place) {
  const label *at = &item->labels[0];
  return item->code == code && at->source == source && at->place.line == place.line && at->place.column == place.column;
}

bool is_reported(const diagnostics *d, error_code code, span place) {
  for (int i = 0; i < d->count; ++i)
    if (same_report(d->items[i], code, d->source, place)) return true;
  return false;
}

diagnostic *report(diagnostics *d, error_code code, span place, const char *format, ...) {
  static diagnostic left_out; // takes the labels of a message that is not kept
  if (is_reported(d, code, place)) return &left_out;
  if (d->count == DIAGNOSTIC_LIMIT) {
    d->more = true;
    return &left_out;
  }
  diagnostic *item = d->items[d->count++] = ARENA_NEW(d->arena, diagnostic);
  va_list arguments;
  va_start(arguments, format);
  *item = (diagnostic){.code = code, .message = arena_vprintf(d->arena, format, arguments), .label_count = 1};
  va_end(arguments);
  item->labels[0] = (label){.source = d->source, .place = place};
  return item;
}

void report_label(diagnostics *d, diagnostic *item, const char *format, ...) {
  if (!item->label_count) return;
  va_list arguments;
  va_start(arguments, format);
  item->labels[0].text = arena_vprintf(d->arena, format, arguments);
  va_end(arguments);
}

void report_also(diagnostics *d, diagnostic *item, const source *where, span place, const char *format, ...) {
  if (!item->label_count || item->label_count == DIAGNOSTIC_LABELS) return;
  va_list arguments;
  va_start(arguments, format);
  label also = {
      .source = where ? where : d->source, .place = place, .text = arena_vprintf(d->arena, format, arguments)};
  item->labels[item->label_count++] = also;
  va_end(arguments);
}

void report_help(diagnostics *d, diagnostic *item, const char *format, ...) {
  if (!item->label_count) return;
  va_list arguments;
  va_start(arguments, format);
  const char *help = arena_vprintf(d->arena, format, arguments);
  va_end(arguments);
  item->help = item->help ? arena_printf(d->arena, "%s; %s", item->help, help) : help;
}

static int compare(const void *left, const void *right) {
  const diagnostic *a = *(diagnostic *const *)left, *b = *(diagnostic *const *)right;
  const label *x = &a->labels[0], *y = &b->labels[0];
  if (x->source->order != y->source->order) return x->source->order < y->source->order ? -1 : 1;
  if (x->place.line != y->place.line) return x->place.line < y->place.line ? -1 : 1;
  if (x->place.column != y->place.column) return x->place.column < y->place.column ? -1 : 1;
  return (a->code > b->code) - (a->code < b->code);
}

void diagnostics_sort(diagnostics *d) {
  if (d->count) qsort(d->items, (size_t)d->count, sizeof d->items[0], compare);
}

// A source line as it can be shown: tabs and control characters as one space, broken UTF-8 as U+FFFD. `cells` gets the
// display column of every byte (and of the line's end), so that carets stand under what they mean.
typedef struct shown_line {
  text text;
  int *cells;
  int bytes;
} shown_line;

#define SHOWN_BYTES 8192 // of a line: more is never looked at

static shown_line show_line(const source *s, int line, int from) {
  size_t start = s->lines[line - 1], end = s->lines[line] - 1;
  if (end > s->length) end = s->length;
  size_t skip = (size_t)from < end - start ? (size_t)from : end - start;
  const char *bytes = s->data + start + skip;
  int length = (int)(end - start - skip < SHOWN_BYTES ? end - start - skip : SHOWN_BYTES);
  if (length && bytes[length - 1] == '\r') --length;
  shown_line shown = {.cells = memory_zero(sizeof(int) * (size_t)(length + 1)), .bytes = length};
  int cell = 0;
  for (int i = 0; i < length;) {
    utf8proc_int32_t point = -1;
    utf8proc_ssize_t size = utf8proc_iterate((const utf8proc_uint8_t *)bytes + i, length - i, &point);
    bool broken = size <= 0, control = !broken && (point < 32 || point == 127);
    if (broken) size = 1;
    int width = broken || control ? 1 : utf8proc_charwidth(point);
    for (int k = 0; k < size; ++k) shown.cells[i + k] = cell;
    if (broken) text_add(&shown.text, "\xef\xbf\xbd");
    else if (control) text_add(&shown.text, " ");
    else if (width > 0) text_add_bytes(&shown.text, bytes + i, (size_t)size);
    cell += width > 0 ? width : 0;
    i += (int)size;
  }
  shown.cells[length] = cell;
  if (!shown.text.data) text_add(&shown.text, "");
  return shown;
}

#define SHOWN_WIDTH 120 // bytes of a line around the carets

// Prints one source line and under it the marks of the labels in it.
static void print_line(text *out, const diagnostic *item, const label *const *labels, int count, int gutter) {
  const source *s = labels[0]->source;
  int line = labels[0]->place.line, from = 0;
  int first = labels[0]->place.column - 1;
  if (first > SHOWN_WIDTH) from = first - SHOWN_WIDTH / 2; // a very long line is shown from shortly before the carets
  while (from > 0 && ((unsigned char)s->data[s->lines[line - 1] + (size_t)from] & 0xc0) == 0x80) --from;
  shown_line shown = show_line(s, line, from);
  const char *dots = from ? "…" : "";
  int keep = shown.bytes > 2 * SHOWN_WIDTH ? 2 * SHOWN_WIDTH : shown.bytes;
  while (keep < shown.bytes && keep > 0 && shown.cells[keep] == shown.cells[keep - 1]) --keep;
  bool cut = keep < shown.bytes;
  text_printf(out, "%*d | %s", gutter, line, dots);
  if (cut) { // the first `keep` bytes' cells: print by characters again
    int cells = shown.cells[keep];
    utf8proc_ssize_t size = 0;
    int width = 0;
    for (size_t i = 0; i < shown.text.length && width < cells; i += (size_t)size) {
      utf8proc_int32_t point;
      size = utf8proc_iterate((const utf8proc_uint8_t *)shown.text.data + i, (utf8proc_ssize_t)(shown.text.length - i),
                              &point);
      if (size <= 0) break;
      width += utf8proc_charwidth(point);
      text_add_bytes(out, shown.text.data + i, (size_t)size);
    }
    text_add(out, "…");
  } else {
    text_add(out, shown.text.data);
  }
  while (out->length && out->data[out->length - 1] == ' ') out->data[--out->length] = 0;
  text_add(out, "\n");
  for (int i = 0; i < count; ++i) {
    span p = labels[i]->place;
    int start = p.column - 1 - from, end = p.end_line > p.line ? shown.bytes : p.end_column - 1 - from;
    if (start < 0) start = 0;
    if (start > keep) start = keep;
    if (end > keep) end = keep;
    int cell = shown.cells[start], width = end > start ? shown.cells[end] - cell : 1;
    if (width < 1) width = 1;
    text_printf(out, "%*s | %*s", gutter, "", cell + (from ? 1 : 0), "");
    char mark = labels[i] == &item->labels[0] ? '^' : '-';
    for (int k = 0; k < width; ++k) text_add_bytes(out, &mark, 1);
    if (labels[i]->text) text_printf(out, " %s", labels[i]->text);
    text_add(out, "\n");
  }
  free(shown.cells);
  text_free(&shown.text);
}

static int digits(int number) {
  int count = 1;
  while (number >= 10) number /= 10, ++count;
  return count;
}

// The labels of one source, by line; the primary one first within its line.
static void print_source(text *out, const diagnostic *item, const source *s, int gutter) {
  const label *order[DIAGNOSTIC_LABELS];
  int count = 0;
  for (int i = 0; i < item->label_count; ++i) {
    if (item->labels[i].source != s) continue;
    int at = count++;
    for (; at > 0 && order[at - 1]->place.line > item->labels[i].place.line; --at) order[at] = order[at - 1];
    order[at] = &item->labels[i];
  }
  for (int i = 0, next; i < count; i = next) {
    int line = order[i]->place.line;
    for (next = i + 1; next < count && order[next]->place.line == line;) ++next;
    if (i > 0 && line > order[i - 1]->place.line + 1) text_printf(out, "%*s...\n", gutter - 1, "");
    print_line(out, item, order + i, next - i, gutter);
  }
}

static void print_one(text *out, const diagnostic *item) {
  const label *primary = &item->labels[0];
  text_printf(out, "error[%s]: %s\n", error_entries[item->code].code, item->message);
  int gutter = 1;
  for (int i = 0; i < item->label_count; ++i)
    if (digits(item->labels[i].place.line) > gutter) gutter = digits(item->labels[i].place.line);
  text_printf(out, "%*s--> %s:%d:%d\n", gutter, "", primary->source->shown, primary->place.line, primary->place.column);
  if (primary->source->length) {
    text_printf(out, "%*s |\n", gutter, "");
    print_source(out, item, primary->source, gutter);
  }
  for (int i = 1; i < item->label_count; ++i) {
    const label *other = &item->labels[i];
    if (other->source == primary->source || (i > 1 && item->labels[i - 1].source == other->source)) continue;
    text_printf(out, "%*s::: %s:%d:%d\n", gutter, "", other->source->shown, other->place.line, other->place.column);
    text_printf(out, "%*s |\n", gutter, "");
    print_source(out, item, other->source, gutter);
  }
  if (item->help) text_printf(out, "%*s = help: %s\n", gutter, "", item->help);
}

void diagnostics_print(const diagnostics *d, text *out) {
  for (int i = 0; i < d->count; ++i) {
    if (i) text_add(out, "\n");
    print_one(out, d->items[i]);
  }
  if (d->more) text_printf(out, "\nerror: there are more than %d errors; the rest are left out\n", DIAGNOSTIC_LIMIT);
}
