// Sampling: what is drawn, how often, and where a text stops.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/sample.h"

#include <cmocka.h> // last: it makes a macro of fail

static void test_greedy(void **state) {
  (void)state;
  sample_options o = {.temperature = 0, .top_p = 1};
  random_stream r = sample_stream(1, 0), before = r;
  assert_int_equal(sample_token(&o, &r, (float[]){1, 3, 3, 2}, 4), 1); // the lowest of equals
  assert_int_equal(r.state, before.state);
  assert_int_equal(sample_token(&o, &r, (float[]){NAN, -INFINITY, -5}, 3), 2);
  assert_int_equal(sample_token(&o, &r, (float[]){NAN, NAN}, 2), -1);
  assert_int_equal(sample_token(&o, &r, (float[]){-INFINITY, -INFINITY}, 2), 0);
}

static void frequencies(const sample_options *o, const float *logits, int count, int draws, double *result) {
  random_stream r = sample_stream(o->seed, 0);
  memset(result, 0, sizeof *result * (size_t)count);
  for (int i = 0; i < draws; ++i) {
    int32_t id = sample_token(o, &r, logits, count);
    assert_in_range(id, 0, count - 1);
    result[id] += 1.0 / draws;
  }
}

static void test_distribution(void **state) {
  (void)state;
  float logits[5] = {logf(1), logf(2), logf(4), logf(2), -INFINITY};
  double f[5];
  sample_options o = {.temperature = 1, .top_p = 1, .seed = 5};
  frequencies(&o, logits, 5, 20000, f);
  for (int i = 0; i < 4; ++i) assert_true(fabs(f[i] - exp(logits[i]) / 9) < 0.015);
  assert_true(f[4] == 0);
  o.temperature = 0.5; // squares: 1 4 16 4
  frequencies(&o, logits, 5, 20000, f);
  for (int i = 0; i < 4; ++i) assert_true(fabs(f[i] - exp(2 * logits[i]) / 25) < 0.015);
  o.temperature = 1, o.top_k = 2; // 4 and the first of the twos
  frequencies(&o, logits, 5, 20000, f);
  assert_true(fabs(f[2] - 2.0 / 3) < 0.015 && fabs(f[1] - 1.0 / 3) < 0.015 && f[0] == 0 && f[3] == 0);
  o.top_k = 0, o.top_p = 0.5; // 4/9 is not enough, 6/9 is
  frequencies(&o, logits, 5, 20000, f);
  assert_true(fabs(f[2] - 2.0 / 3) < 0.015 && fabs(f[1] - 1.0 / 3) < 0.015 && f[0] == 0 && f[3] == 0);
  o.top_p = 0.4;
  frequencies(&o, logits, 5, 100, f);
  assert_true(f[2] > 0.99);
  o.top_k = 3, o.top_p = 0.75; // of 4 2 2: 4/8, 6/8 reaches it
  frequencies(&o, logits, 5, 20000, f);
  assert_true(fabs(f[2] - 2.0 / 3) < 0.015 && f[3] == 0);
  o.temperature = 1e-6, o.top_k = 0, o.top_p = 1;
  frequencies(&o, logits, 5, 100, f);
  assert_true(f[2] > 0.99);
}

// A large vocabulary, against probabilities by plain sorting.
static int descending(const void *a, const void *b) { return *(const float *)a < *(const float *)b ? 1 : -1; }

static void test_large(void **state) {
  (void)state;
  enum { V = 50000 };
  float *logits = memory_alloc(V * sizeof *logits), *sorted = memory_alloc(V * sizeof *logits);
  random_stream r = random_named(3, "logits");
  for (int i = 0; i < V; ++i) sorted[i] = logits[i] = (float)random_normal(&r) * 3;
  qsort(sorted, V, sizeof *sorted, descending);
  double total = 0, sum = 0;
  for (int i = 0; i < V; ++i) total += exp(sorted[i]);
  int nucleus = 0;
  while (sum < 0.9 * total) sum += exp(sorted[nucleus++]);
  sample_options o = {.temperature = 1, .top_p = 0.9};
  random_stream draws = sample_stream(1, 2);
  float lowest = INFINITY;
  for (int i = 0; i < 300; ++i) {
    float drawn = logits[sample_token(&o, &draws, logits, V)];
    if (drawn < lowest) lowest = drawn;
  }
  assert_true(nucleus > 300 && lowest >= sorted[nucleus - 1]);
  o.top_k = 1000, o.top_p = 1;
  for (int i = 0; i < 300; ++i) assert_true(logits[sample_token(&o, &draws, logits, V)] >= sorted[999]);
  free(logits);
  free(sorted);
}

static void test_streams(void **state) {
  (void)state;
  random_stream a = sample_stream(7, 3), b = sample_stream(7, 3), c = sample_stream(7, 4), d = sample_stream(8, 3);
  assert_int_equal(a.state, b.state);
  assert_int_not_equal(a.state, c.state);
  assert_int_not_equal(a.state, d.state);
}

static void test_check(void **state) {
  (void)state;
  static const sample_options good = {.temperature = 0.7, .top_k = 40, .top_p = 0.9};
  static const sample_options bad[] = {{.temperature = -1, .top_p = 1},
                                       {.temperature = NAN, .top_p = 1},
                                       {.top_k = -1, .top_p = 1},
                                       {.top_p = 0},
                                       {.top_p = 1.5},
                                       {.top_p = NAN}};
  assert_true(sample_check(&good, NULL));
  for (size_t i = 0; i < LENGTH(bad); ++i) {
    lmn_error error = {0};
    assert_false(sample_check(&bad[i], &error));
    assert_true(error.text[0]);
  }
}

// However the text is cut into pieces, what comes out is the text up to the first stop string.
static void check_stop(const char *in, const char *const *stops, int count, const char *expected, bool stopped) {
  size_t length = strlen(in);
  for (size_t piece = 1; piece <= length; ++piece) {
    stop_matcher m;
    text out = {0};
    text_add(&out, "");
    stop_open(&m, stops, count);
    for (size_t at = 0; at < length; at += piece)
      stop_push(&m, in + at, length - at < piece ? length - at : piece, &out);
    stop_finish(&m, &out);
    assert_string_equal(out.data, expected);
    assert_int_equal(m.stopped, stopped);
    text_free(&out);
    stop_close(&m);
  }
}

static void test_stop(void **state) {
  (void)state;
  check_stop("one\n\ntwo", (const char *[]){"\n\n"}, 1, "one", true);
  check_stop("one\ntwo\n", (const char *[]){"\n\n"}, 1, "one\ntwo\n", false);
  check_stop("aaab", (const char *[]){"aab"}, 1, "a", true);
  check_stop("xabcd", (const char *[]){"cd", "abcx", "bc"}, 3, "xa", true);
  check_stop("zab", (const char *[]){"abc", "b"}, 2, "za", true); // the longer one never came
  check_stop("text", (const char *[]){"", "tt"}, 2, "text", false);
  check_stop("text", NULL, 0, "text", false);
  stop_matcher m; // what cannot be a start is not held back
  text out = {0};
  stop_open(&m, (const char *[]){"###"}, 1);
  assert_false(stop_push(&m, "ab#", 3, &out));
  assert_string_equal(out.data, "ab");
  assert_false(stop_push(&m, "c##", 3, &out));
  assert_string_equal(out.data, "ab#c");
  assert_true(stop_push(&m, "#rest", 5, &out));
  assert_true(stop_push(&m, "more", 4, &out));
  assert_string_equal(out.data, "ab#c");
  text_free(&out);
  stop_close(&m);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_greedy), cmocka_unit_test(test_distribution),
                                     cmocka_unit_test(test_large),  cmocka_unit_test(test_streams),
                                     cmocka_unit_test(test_check),  cmocka_unit_test(test_stop)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
