// A string or a regular expression to look for. Tokenizer files write their expressions for Oniguruma; PCRE2 reads them
// as they are, but for \s and \w, which mean a little more or less to it and are written out.
#include "runtime/tokenizer_parts.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

const char qwen2_words[] = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| "
                           "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const char gpt2_words[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

// What \s and \w mean to the tokenizers: White_Space; Alphabetic, marks, decimal numbers, connectors and joiners. Both
// as a class's inside.
#define SPACES                                                                                                         \
  "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"
#define WORD                                                                                                           \
  "\\p{L}\\p{M}\\p{Nl}\\p{Nd}\\p{Pc}\\x{200c}\\x{200d}\\x{24b6}-\\x{24e9}\\x{1f130}-\\x{1f149}\\x{1f150}-\\x{1f169}"   \
  "\\x{1f170}-\\x{1f189}"

static void write_out_escape(char escape, bool in_class, text *out) {
  const char *inside = escape == 's' || escape == 'S' ? SPACES : escape == 'w' || escape == 'W' ? WORD : NULL;
  bool negated = escape == 'S' || escape == 'W';
  if (!inside || (negated && in_class)) text_printf(out, "\\%c", escape);
  else if (in_class) text_add(out, inside);
  else text_printf(out, "[%s%s]", negated ? "^" : "", inside);
}

static void write_out_classes(const char *expression, size_t length, text *out) {
  bool in_class = false;
  for (size_t i = 0; i < length; ++i) {
    char c = expression[i];
    if (c == '\\' && i + 1 < length) {
      write_out_escape(expression[++i], in_class, out);
      continue;
    }
    if (c == '[' && !in_class) {
      in_class = true;
      // a ']' directly after '[' or '[^' is an ordinary character
      size_t next = i + 1 + (i + 1 < length && expression[i + 1] == '^');
      if (next < length && expression[next] == ']') {
        text_add_bytes(out, expression + i, next - i + 1);
        i = next;
        continue;
      }
    } else if (c == ']') in_class = false;
    text_add_bytes(out, &c, 1);
  }
}

// PCRE2's memory, which like ours does not return NULL.
static void *own_alloc(size_t bytes, void *unused) { return (void)unused, memory_alloc(bytes); }
static void own_free(void *memory, void *unused) { (void)unused, free(memory); }
static pcre2_general_context *own_memory;
static pcre2_compile_context *own_compiler;
static pthread_once_t own_once = PTHREAD_ONCE_INIT;
static void make_own(void) {
  own_memory = pcre2_general_context_create(own_alloc, own_free, NULL);
  own_compiler = pcre2_compile_context_create(own_memory);
}

bool pattern_compile(pattern *p, const char *expression, size_t length, lmn_error *error) {
  text translated = {0};
  write_out_classes(expression, length, &translated);
  pthread_once(&own_once, make_own);
  int code;
  PCRE2_SIZE offset;
  p->code = pcre2_compile((PCRE2_SPTR)(translated.data ? translated.data : ""), translated.length,
                          PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &code, &offset, own_compiler);
  text_free(&translated);
  if (!p->code) {
    char message[256];
    pcre2_get_error_message(code, (PCRE2_UCHAR *)message, sizeof message);
    return fail(error, "the regular expression \"%.*s\" cannot be compiled: %s", (int)(length < 200 ? length : 200),
                expression, message);
  }
  pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE); // without it the interpreter runs, slower
  return true;
}

static void prepare(pattern_work *work) {
  if (work->match) return;
  pthread_once(&own_once, make_own);
  work->match = pcre2_match_data_create(1, own_memory);
  work->context = pcre2_match_context_create(own_memory);
  work->stack = pcre2_jit_stack_create(32 << 10, 4 << 20, own_memory);
  if (work->stack) pcre2_jit_stack_assign(work->context, NULL, work->stack);
}

int pattern_next(const pattern *p, pattern_work *work, const char *text, size_t length, size_t from, size_t *start,
                 size_t *end, lmn_error *error) {
  if (!p->code) {
    const char *found = from <= length ? memmem(text + from, length - from, p->string, p->length) : NULL;
    if (!found) return 0;
    *start = (size_t)(found - text), *end = *start + p->length;
    return 1;
  }
  prepare(work);
  int result = pcre2_match(p->code, (PCRE2_SPTR)text, length, from, PCRE2_NO_UTF_CHECK, work->match, work->context);
  if (result == PCRE2_ERROR_JIT_STACKLIMIT)
    result = pcre2_match(p->code, (PCRE2_SPTR)text, length, from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, work->match,
                         work->context);
  if (result == PCRE2_ERROR_NOMATCH) return 0;
  if (result < 0) {
    char message[256];
    pcre2_get_error_message(result, (PCRE2_UCHAR *)message, sizeof message);
    fail(error, "the tokenizer's regular expression gave up at byte %zu of a text: %s", from, message);
    return -1;
  }
  PCRE2_SIZE *place = pcre2_get_ovector_pointer(work->match);
  // \K may put the start behind the end or before `from`; neither makes a piece
  *start = place[0] < from ? from : place[0], *end = place[1] < *start ? *start : place[1];
  return 1;
}

bool pattern_replace(const pattern *p, pattern_work *work, const char *in, size_t length, const char *content,
                     size_t content_length, text *out, lmn_error *error) {
  size_t done = 0, from = 0, start, end;
  int found = 0;
  while (from <= length && (found = pattern_next(p, work, in, length, from, &start, &end, error)) == 1) {
    text_add_bytes(out, in + done, start - done);
    text_add_bytes(out, content, content_length);
    done = end;
    from = end > start ? end : end + (end < length ? (size_t)utf8_character(in + end, length - end) : 1);
  }
  text_add_bytes(out, in + done, length - done);
  return found >= 0;
}

void pattern_work_free(pattern_work *work) {
  pcre2_match_data_free(work->match);
  pcre2_match_context_free(work->context);
  pcre2_jit_stack_free(work->stack);
  *work = (pattern_work){0};
}
