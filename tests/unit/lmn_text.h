// For tests of the frontend: networks given as texts.
#ifndef LMN_TEST_TEXT_H
#define LMN_TEST_TEXT_H

#include "frontend/graph.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define QWEN "model m = \"" LMN_TESTS "/golden/single-qwen/qwen\"; "           // hidden 32
#define LLAMA "model l = \"" LMN_TESTS "/golden/tree-residual-llama/llama\"; " // hidden 40
#define GPT2 "model g = \"" LMN_TESTS "/golden/paper-121-gpt2/gpt2\"; "        // hidden 48
#define NET(body) "network n { " QWEN body " }"

typedef struct written {
  char path[64];
} written;

static inline written write_text(const char *bytes, size_t length) {
  written w = {"/tmp/lmn-test-XXXXXX"};
  int descriptor = mkstemp(w.path);
  assert_true(descriptor >= 0);
  assert_int_equal(write(descriptor, bytes, length), (ssize_t)length);
  close(descriptor);
  return w;
}

static inline graph *read_with(arena *a, const char *network, const define *defines, int define_count,
                               const define *overrides, int override_count, text *messages) {
  written w = write_text(network, strlen(network));
  graph *g = graph_read(a, w.path, defines, define_count, overrides, override_count, messages);
  unlink(w.path);
  return g;
}

// A network that must be right.
static inline graph *read_right(arena *a, const char *network) {
  text messages = {0};
  graph *g = read_with(a, network, NULL, 0, NULL, 0, &messages);
  if (!g) fail_msg("%s\n%s", network, messages.data);
  text_free(&messages);
  return g;
}

// A network that must fail with a message that contains `expected`.
static inline void read_wrong(const char *network, const char *expected) {
  arena *a = arena_create();
  text messages = {0};
  assert_null(read_with(a, network, NULL, 0, NULL, 0, &messages));
  if (!strstr(messages.data, expected)) fail_msg("%s\nexpected: %s\nsaw: %s", network, expected, messages.data);
  text_free(&messages);
  arena_destroy(a);
}

#endif
