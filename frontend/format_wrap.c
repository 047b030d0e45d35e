// The lexemes of one statement: where spaces go, and where its line is broken if it is too long. A line breaks before
// operators, arrows and options and after commas, at the outermost brackets first; what stands in brackets is aligned
// behind the opening one.
#include "frontend/format.h"
#include "frontend/parser.h"

#include <string.h>

int format_token(const formatter *f, int i) {
  while (i < f->count && f->lexemes[i].kind == LEXEME_COMMENT) ++i;
  return i;
}

// ---- what each lexeme is ----

static bool is_operator(int kind) {
  switch (kind) {
  case THEN:
  case OR:
  case AND:
  case EQUAL:
  case UNEQUAL:
  case LESS:
  case LESS_EQUAL:
  case GREATER:
  case GREATER_EQUAL:
  case PLUS:
  case MINUS:
  case TIMES:
  case DIVIDE:
  case REMAINDER:
  case ARROW: return true;
  default: return false;
  }
}

// Whether a value or a node can end with it: what follows is an index, a call, or an operator of two values.
static bool ends_value(int kind) {
  switch (kind) {
  case ID:
  case INT:
  case REAL:
  case STRING:
  case TRUTH:
  case CLOSE_BRACKET:
  case CLOSE_PARENTHESIS: return true;
  default: return false;
  }
}

static bool is_options(const formatter *f, int open) {
  int name = format_token(f, open + 1), assign = format_token(f, name + 1);
  return f->lexemes[open].kind == OPEN_BRACKET && assign < f->count && f->lexemes[assign].kind == ASSIGN;
}

static bool is_prefix_minus(const formatter *f, int i, int before) {
  return f->lexemes[i].kind == MINUS && !(before >= 0 && ends_value(f->lexemes[before].kind));
}

static void find_comments(formatter *f) {
  bool breaking = true; // what follows: a new line, or a comment that breaks the line
  for (int i = f->count - 1; i >= 0; --i) {
    const lexeme *l = &f->lexemes[i];
    breaking |= l->place.end_line > l->place.line;
    if (l->kind != LEXEME_COMMENT) breaking = false;
    else f->notes[i].role = breaking ? ROLE_BREAKING : ROLE_INLINE;
    f->notes[i].newlines = i ? l->place.line - l[-1].place.end_line : 1;
    breaking |= f->notes[i].newlines > 0;
  }
}

// `before`: the token before it, -1 at the start.
static lexeme_role role_of(const formatter *f, int i, int before) {
  int previous = before < 0 ? 0 : f->lexemes[before].kind;
  switch (f->lexemes[i].kind) {
  case LEXEME_COMMENT: return f->notes[i].role;
  case OPEN_BRACKET:
  case OPEN_PARENTHESIS: return ROLE_OPEN;
  case CLOSE_BRACKET:
  case CLOSE_PARENTHESIS: return ROLE_CLOSE;
  case OPEN_BRACE: {
    bool block_before = previous == OPEN_BRACE || (previous == CLOSE_BRACE && f->notes[before].role == ROLE_END);
    return previous == ARROW || previous == SEMICOLON || block_before ? ROLE_OPEN : ROLE_BLOCK;
  }
  case CLOSE_BRACE: return ROLE_END; // or of a set: the matching one knows
  default: return ROLE_PLAIN;
  }
}

// A space between lexeme i and the one before it; `before` is the token before it.
static bool spaced(const formatter *f, int i, int before) {
  int kind = f->lexemes[i].kind, previous = before < 0 ? 0 : f->lexemes[before].kind;
  lexeme_role left = f->notes[i - 1].role, role = f->notes[i].role;
  if (left == ROLE_OPEN || role == ROLE_CLOSE || kind == COMMA || kind == SEMICOLON) return false;
  if (left == ROLE_BLOCK && role == ROLE_END) return false;
  if (kind == DOTS || f->lexemes[i - 1].kind == DOTS) return false;
  if (kind == OPEN_PARENTHESIS) return previous != ID;
  if (kind == OPEN_BRACKET && ends_value(previous)) return is_options(f, i);
  return true;
}

// Whether a line may start with lexeme i inside of a statement.
static bool may_start(const formatter *f, int i, int before) {
  int kind = f->lexemes[i].kind, previous = before < 0 ? 0 : f->lexemes[before].kind;
  if (previous == COMMA) return true;
  if (is_operator(kind)) return !is_prefix_minus(f, i, before);
  if (kind == OPEN_BRACKET) return is_options(f, i);
  return kind == ID && (previous == ID || previous == CLOSE_BRACKET); // the next node of a set
}

static int64_t width_of(const formatter *f, int i) {
  int64_t width = 0;
  const char *bytes = f->source->data + f->lexemes[i].offset;
  if (f->notes[i].role == ROLE_BREAKING) return 0;
  for (size_t k = 0; k < f->lexemes[i].length; ++k) width += ((unsigned char)bytes[k] & 0xc0) != 0x80;
  return width;
}

static void match_brackets(formatter *f) {
  int open[2 * AST_DEPTH_LIMIT], depth = 0;
  for (int i = 0, before = -1; i < f->count; ++i) {
    format_lexeme *n = &f->notes[i];
    n->role = role_of(f, i, before);
    if (n->role == ROLE_OPEN || n->role == ROLE_BLOCK) open[depth++] = i;
    else if (n->role == ROLE_CLOSE || n->role == ROLE_END) {
      n->match = open[--depth];
      f->notes[n->match].match = i;
      if (f->notes[n->match].role == ROLE_OPEN) n->role = ROLE_CLOSE;
    }
    if (f->lexemes[i].kind != LEXEME_COMMENT) before = i;
  }
}

void format_annotate(formatter *f) {
  find_comments(f);
  match_brackets(f);
  bool prefix = false; // the token before is a minus of one value
  for (int i = 0, before = -1; i < f->count; ++i) {
    const lexeme *l = &f->lexemes[i];
    format_lexeme *n = &f->notes[i];
    n->space = i > 0 && spaced(f, i, before) && !(prefix && before == i - 1);
    n->starts = may_start(f, i, before);
    n->flat = (i ? n[-1].flat_end : 0) + n->space;
    n->flat_end = n->flat + width_of(f, i);
    if (l->kind == LEXEME_COMMENT) continue;
    bool starts = n->starts;
    for (int k = i - 1; starts && k > before && f->notes[k].role == ROLE_INLINE; --k) // what is said about it
      f->notes[k].starts = true, f->notes[k + 1].starts = false;
    prefix = is_prefix_minus(f, i, before);
    before = i;
  }
  for (int i = f->count - 1, next = f->count; i >= 0; --i) {
    if (f->notes[i].role == ROLE_BREAKING) next = i;
    f->notes[i].next_breaking = next;
  }
}

// ---- lines ----

void format_line_start(formatter *f, int column) {
  GROW(f->lines, f->line_count, f->line_capacity);
  f->lines[f->line_count++] = (format_line){.start = f->code.length, .blank = f->blank};
  for (int i = 0; i < column; ++i) text_add(&f->code, " ");
  f->column = column;
  f->fresh = true;
  f->blank = f->broken = false;
}

void format_line_end(formatter *f) {
  format_line *line = &f->lines[f->line_count - 1];
  line->end = f->code.length;
  line->width = f->column;
}

static void line_break(formatter *f, int column) {
  if (f->line_count) format_line_end(f);
  format_line_start(f, column);
}

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\f'; }

void format_comment(const formatter *f, int i, size_t line_start, text *out) {
  const lexeme *l = &f->lexemes[i];
  size_t column = out->length;
  while (column > line_start && out->data[column - 1] != '\n') --column;
  column = out->length - column;
  const char *at = f->source->data + l->offset, *end = at + l->length;
  long shift = (long)column - (l->place.column - 1);
  for (bool first = true; at < end; first = false) {
    const char *next = memchr(at, '\n', (size_t)(end - at));
    const char *stop = next ? next : end;
    while (stop > at && is_blank(stop[-1])) --stop;
    for (long k = shift; !first && k < 0 && at < stop && is_blank(*at); ++k) ++at;
    for (long k = shift; !first && k > 0 && at < stop; --k) text_add(out, " ");
    text_add_bytes(out, at, (size_t)(stop - at));
    if (!next) break;
    text_add(out, "\n");
    at = next + 1;
  }
}

static void put(formatter *f, int i) {
  const lexeme *l = &f->lexemes[i];
  const format_lexeme *n = &f->notes[i];
  if (f->broken) line_break(f, f->broken_column);
  if (!f->fresh && n->space) text_add(&f->code, " "), ++f->column;
  for (int k = 0; i == f->pad_at && k < f->pad; ++k) text_add(&f->code, " "), ++f->column;
  text_add_bytes(&f->code, f->source->data + l->offset, l->length);
  f->column += (int)(n->flat_end - n->flat);
  f->fresh = false;
}

void format_flat(formatter *f, int from, int to) {
  for (int i = from; i < to; ++i) put(f, i);
}

static format_line *last_line(formatter *f) { return &f->lines[f->line_count - 1]; }

void format_breaking(formatter *f, int i, int column) {
  bool joined = i > 0 && !f->notes[i].newlines && f->lexemes[i - 1].kind == LEXEME_COMMENT; // two on one line
  bool behind = !f->notes[i].newlines && !f->fresh;
  if (f->broken && !joined) line_break(f, f->broken_column), behind = false;
  else if (!f->fresh && !behind) line_break(f, column);
  format_line *line = last_line(f);
  if (behind && (!joined || line->comments[1] == i)) {
    if (!joined) line->comments[0] = i;
    line->comments[1] = i + 1;
  } else {
    if (joined) text_add(&f->code, " ");
    format_comment(f, i, line->start, &f->code);
    f->fresh = false;
  }
  f->broken = true;
  f->broken_column = column;
}

// ---- breaking ----

static int item_end(const formatter *f, int from, int to) {
  int i = from;
  do i = f->notes[i].role == ROLE_OPEN ? f->notes[i].match + 1 : i + 1;
  while (i < to && !f->notes[i].starts);
  return i < to ? i : to;
}

// The width of from..to up to a comment that breaks it, and then what sticks to it.
static int64_t needed(const formatter *f, int from, int to, int64_t tail) {
  int stop = f->notes[from].next_breaking;
  if (stop < to) to = stop, tail = 0;
  return to == from ? 0 : f->notes[to - 1].flat_end - f->notes[from].flat + tail;
}

static void put_range(formatter *f, int from, int to, int column, int64_t tail);

// `tail`: the width of what must stand behind it on the same line.
static void put_item(formatter *f, int from, int to, int column, int64_t tail) {
  for (int i = from; i < to; ++i) {
    if (f->notes[i].role == ROLE_BREAKING) {
      format_breaking(f, i, column);
      continue;
    }
    put(f, i);
    if (f->notes[i].role != ROLE_OPEN) continue;
    int match = f->notes[i].match, after = match, opened = f->column - 1;
    while (after + 1 < to && f->notes[after].role != ROLE_OPEN) ++after;
    int64_t behind = needed(f, match, after + 1, after + 1 == to ? tail : 0);
    bool aligned = f->column <= FORMAT_WIDTH / 2;
    put_range(f, i + 1, match, aligned ? f->column : f->margin, behind);
    if (f->broken) f->broken_column = aligned ? opened : f->margin;
    put(f, i = match);
  }
}

static void put_range(formatter *f, int from, int to, int column, int64_t tail) {
  for (int i = from, end; i < to; i = end) {
    end = item_end(f, i, to);
    int64_t behind = end == to ? tail : 0;
    bool comment = f->notes[i].role == ROLE_BREAKING && !f->notes[i].newlines; // stays behind the code
    int64_t width = needed(f, i, end, behind);
    bool helps = f->notes[i].role != ROLE_OPEN || column + width <= FORMAT_WIDTH; // or it is broken inside anyway
    if (i > from && !f->broken && !comment && helps && f->column > column &&
        f->column + f->notes[i].space + width > FORMAT_WIDTH)
      line_break(f, column);
    put_item(f, i, end, column, behind);
  }
}

void format_wrapped(formatter *f, int from, int to) { put_range(f, from, to, f->margin, 0); }
