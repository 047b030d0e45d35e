// Blocks and statements of a .lmn file as `lmnc fmt` writes them: indentation, blank lines, what is aligned with its
// neighbours, and trailing comments in one column.
#include "frontend/format.h"
#include "frontend/parser.h"

#include <stdlib.h>

// ---- statements ----

typedef enum { STATEMENT_OTHER, STATEMENT_DECLARES, STATEMENT_SETS, STATEMENT_PHASE } aligned_kind;

typedef struct statement {
  int from, to; // its lexemes
  aligned_kind kind;
  int pad_at, width; // what comes before this lexeme has this width, and is padded to that of its neighbours
  bool flat, apart;  // in one line, with its blocks; not aligned with what stands above
} statement;

typedef struct statement_list {
  statement *items;
  int count, capacity;
} statement_list;

// The end of the statement that starts at `from`: behind its `;`, or the last of its blocks.
static int statement_end(const formatter *f, int from) {
  for (int i = from;; ++i) {
    if (f->notes[i].role == ROLE_OPEN) i = f->notes[i].match;
    else if (f->lexemes[i].kind == SEMICOLON) return i + 1;
    if (f->notes[i].role != ROLE_BLOCK) continue;
    i = f->notes[i].match;
    int next = format_token(f, i + 1);
    if (next == f->count || f->lexemes[next].kind != ELSE) return i + 1;
  }
}

// What has blocks and is written in one line stays in one, if it fits.
static bool is_flat(const formatter *f, int from, int to, int indent) {
  bool one_line = f->lexemes[from].place.line == f->lexemes[to - 1].place.end_line;
  return one_line && f->notes[to - 1].role == ROLE_END &&
         indent + f->notes[to - 1].flat_end - f->notes[from].flat <= FORMAT_WIDTH;
}

static statement describe(const formatter *f, int from, int to, int indent) {
  statement s = {.from = from, .to = to, .flat = is_flat(f, from, to, indent)};
  int kind = f->lexemes[from].kind, second = format_token(f, from + 1), third = format_token(f, second + 1);
  if (f->lexemes[second].kind == ASSIGN) s.kind = STATEMENT_SETS, s.pad_at = second;
  else if (kind == MODEL || kind == VERTEX || kind == EDGE) s.kind = STATEMENT_DECLARES, s.pad_at = second;
  else if (kind == PHASE && s.flat) s.kind = STATEMENT_PHASE, s.pad_at = third;
  if (s.kind) s.width = (int)(f->notes[s.pad_at].flat - f->notes[from].flat);
  return s;
}

// Neighbours of one kind without a blank line between them are aligned.
static void align(statement *items, int count) {
  for (int i = 0, next; i < count; i = next) {
    int width = items[i].width;
    for (next = i + 1; next < count && items[next].kind == items[i].kind && !items[next].apart; ++next)
      if (items[next].width > width) width = items[next].width;
    for (int k = i; k < next; ++k) items[k].width = width - items[k].width; // from now on: the blanks that are missing
  }
}

static void put_block(formatter *f, int from, int to, int indent);

// The block that opens at `open`, up to its `}` and comments behind it; the lexeme after them.
static int put_braces(formatter *f, int open, int to, int indent) {
  int close = f->notes[open].match;
  if (close > open + 1) {
    put_block(f, open + 1, close, indent + FORMAT_INDENT);
    f->broken = true;
    f->broken_column = indent;
  }
  format_flat(f, close, close + 1);
  int i = close + 1;
  for (; i < to && f->notes[i].role == ROLE_BREAKING; ++i) format_breaking(f, i, indent);
  return i;
}

static void put_statement(formatter *f, const statement *s, int indent) {
  f->pad_at = s->pad_at;
  f->pad = s->kind ? s->width : 0;
  f->margin = indent + FORMAT_HANG;
  if (s->flat) {
    format_flat(f, s->from, s->to);
    return;
  }
  int from = s->from;
  for (int i = from; i < s->to; ++i) {
    if (f->notes[i].role == ROLE_OPEN) i = f->notes[i].match;
    if (f->notes[i].role != ROLE_BLOCK) continue;
    format_wrapped(f, from, i + 1);
    from = put_braces(f, i, s->to, indent);
    f->margin = indent + FORMAT_HANG;
    i = from - 1;
  }
  format_wrapped(f, from, s->to);
}

// ---- blocks ----

// A comment that belongs to no statement: it ends its line, or the block ends behind it.
static bool stands_alone(const formatter *f, int i, int to) {
  return f->notes[i].role == ROLE_BREAKING || format_token(f, i) >= to;
}

static statement_list find_statements(const formatter *f, int from, int to, int indent) {
  statement_list list = {0};
  bool apart = false;
  for (int i = from; i < to;) {
    apart |= f->notes[i].newlines > 1;
    if (stands_alone(f, i, to)) {
      ++i;
      continue;
    }
    statement s = describe(f, i, statement_end(f, i), indent);
    s.apart = apart;
    apart = false;
    GROW(list.items, list.count, list.capacity);
    list.items[list.count++] = s;
    i = s.to;
  }
  align(list.items, list.count);
  return list;
}

static void put_block(formatter *f, int from, int to, int indent) {
  statement_list list = find_statements(f, from, to, indent);
  const statement *next = list.items;
  for (int i = from; i < to;) {
    bool alone = stands_alone(f, i, to);
    if (!alone || f->notes[i].newlines > 0) {
      f->broken = true;
      f->broken_column = indent;
      f->blank = i > from && f->notes[i].newlines > 1;
    }
    if (alone) {
      format_breaking(f, i++, indent);
      continue;
    }
    put_statement(f, next, indent);
    i = next++->to;
  }
  free(list.items);
}

// ---- the whole ----

// Trailing comments of lines that follow each other stand at one column.
static int comment_column(const format_line *lines, int *count) {
  enum { LONG = FORMAT_WIDTH * 2 / 3 }; // a longer line's comment does not move its neighbours'
  int column = FORMAT_COMMENT_COLUMN, i = 0;
  if (lines[0].width >= LONG) return *count = 1, lines[0].width + 1;
  for (; i < *count && lines[i].comments[1] && lines[i].width < LONG && !(i && lines[i].blank); ++i)
    if (lines[i].width + 1 > column) column = lines[i].width + 1;
  *count = i;
  return column;
}

static void print_line(const formatter *f, const format_line *line, int column, text *out) {
  if (line->blank) text_add(out, "\n");
  size_t start = out->length;
  text_add_bytes(out, f->code.data + line->start, line->end - line->start);
  for (int k = line->width; line->comments[1] && k < column; ++k) text_add(out, " ");
  for (int i = line->comments[0]; i < line->comments[1]; ++i) {
    if (i > line->comments[0]) text_add(out, " ");
    format_comment(f, i, start, out);
  }
  text_add(out, "\n");
}

static void print_lines(const formatter *f, text *out) {
  for (int i = 0; i < f->line_count;) {
    int count = f->line_count - i, column = 0;
    if (f->lines[i].comments[1]) column = comment_column(&f->lines[i], &count);
    else count = 1;
    for (; count > 0; --count) print_line(f, &f->lines[i++], column, out);
  }
}

bool format_source(diagnostics *d, text *out) {
  lexeme_list list = {0};
  ast_network *network = parse_lexemes(d, &list);
  diagnostics_sort(d);
  if (network) {
    formatter f = {.source = d->source, .lexemes = list.items, .count = list.count, .pad_at = -1};
    f.notes = ARENA_ARRAY(d->arena, format_lexeme, list.count);
    format_annotate(&f);
    put_block(&f, 0, list.count, 0);
    format_line_end(&f);
    print_lines(&f, out);
    text_free(&f.code);
    free(f.lines);
  }
  free(list.items);
  return network != NULL;
}
