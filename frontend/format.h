// The text of a .lmn file in the one layout that docs/language.md describes, made from the lexemes: no token and no
// comment is lost or moved past another.
#ifndef LMN_FORMAT_H
#define LMN_FORMAT_H

#include "frontend/ast.h"

// Formats d->source. False with reports where it does not parse.
bool format_source(diagnostics *d, text *out);

// ---- inside: format.c lays out blocks and statements, format_wrap.c the lexemes of one statement ----

#define FORMAT_WIDTH 120         // of a line without its trailing comment
#define FORMAT_COMMENT_COLUMN 45 // where trailing comments stand, counted from 0
#define FORMAT_INDENT 2
#define FORMAT_HANG 4 // more for the further lines of a statement

typedef enum {
  ROLE_PLAIN,
  ROLE_OPEN,     // ( [ and the { of a set
  ROLE_CLOSE,    // their ends
  ROLE_BLOCK,    // { of a block
  ROLE_END,      // } of a block
  ROLE_INLINE,   // a comment with more of the statement behind it on its line
  ROLE_BREAKING, // a comment that ends its line, or has several
} lexeme_role;

typedef struct format_lexeme {
  lexeme_role role;
  int match;              // of a bracket: the other one
  int next_breaking;      // the first breaking comment from here on; the count of lexemes where there is none
  int64_t flat, flat_end; // where it starts and ends with all lexemes in one line; breaking comments have no width
  int newlines;           // before it in the source
  bool space, starts;     // a space before it; a line may start with it
} format_lexeme;

typedef struct format_line {
  size_t start, end; // in `code`
  int width;         // in characters
  int comments[2];   // the trailing comments: from, to
  bool blank;        // a blank line before it
} format_line;

typedef struct formatter {
  const source *source;
  const lexeme *lexemes;
  format_lexeme *notes; // of each lexeme
  int count;
  text code; // all lines, without line ends and trailing comments
  format_line *lines;
  int line_count, line_capacity;
  int column, margin; // of the current line; margin: of a statement's further lines
  bool fresh, blank;  // nothing but indentation is in the line; a blank line goes before it
  bool broken;        // a line must begin before the next lexeme …
  int broken_column;  // … at this column
  int pad_at, pad;    // blanks before this lexeme, for alignment
} formatter;

// The first lexeme from `i` on that is no comment; `count` where there is none.
int format_token(const formatter *f, int i);
void format_annotate(formatter *f);
// The lexemes from..to in as many lines as they need, or all in one; starting in the current line.
void format_wrapped(formatter *f, int from, int to);
void format_flat(formatter *f, int from, int to);
// A breaking comment: behind the code of the current line, or in lines of its own; what follows starts at `column`.
void format_breaking(formatter *f, int i, int column);

void format_line_start(formatter *f, int column);
void format_line_end(formatter *f);
// Adds a comment; its further lines move as its first one does. line_start: where in `out` the line starts.
void format_comment(const formatter *f, int i, size_t line_start, text *out);

#endif
