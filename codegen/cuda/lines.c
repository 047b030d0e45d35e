// Where the lines of a kernel's text come from, as #line directives: those of a .cuh file from that file, those that an
// emitter wrote from the place in the .lmn file that the kernel was first written for.
//
// In the text that names a kernel the place is left open ("#line PLACE"), so that networks share what is the same.
#include "codegen/cuda/internal.h"

#include <stdlib.h>
#include <string.h>

const char cuda_line_of_place[] = "#line PLACE\n";

// "gemm net.lmn:7:3" or, of an op without a place, "gemm": the file, *length characters of it, and the line. NULL:
// none.
static const char *place_of(const char *what, int *length, long *line) {
  const char *file = strchr(what, ' '), *column = strrchr(what, ':'), *colon = column;
  while (colon && colon > what && *--colon != ':') {
  }
  if (!file || !colon || colon <= ++file) return NULL;
  *length = (int)(colon - file);
  *line = strtol(colon + 1, NULL, 10);
  // What a directive could not hold as it is.
  for (const char *c = file; c < colon; ++c)
    if (*c == '"' || *c == '\\' || (unsigned char)*c < ' ') return NULL;
  return *line > 0 ? file : NULL;
}

static bool begins(const char *line, const char *with) { return !strncmp(line, with, strlen(with)); }

void cuda_add_lines(const cuda_kernel *k, bool each, text *out) {
  text directive = {0};
  int length = 0;
  long number = 0;
  const char *file = place_of(k->what, &length, &number);
  if (file) text_printf(&directive, "#line %ld \"%.*s\"\n", number, length, file);
  else text_printf(&directive, "#line 1 \"%s.cu\"\n", k->name);
  bool own = true; // written by an emitter
  for (const char *at = k->source; *at;) {
    size_t bytes = strcspn(at, "\n");
    bytes += at[bytes] == '\n';
    bool open = begins(at, cuda_line_of_place), closed = !open && begins(at, "#line ");
    own = open || (own && !closed);
    bool empty = open && begins(at + bytes + strspn(at + bytes, "\n"), "#line "); // another begins at once
    if ((open && !empty) || (each && own && !open && bytes > 1)) text_add(out, directive.data);
    if (!open) text_add_bytes(out, at, bytes);
    at += bytes;
  }
  text_free(&directive);
}
