#include "runtime/sample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

bool sample_check(const sample_options *o, lmn_error *error) {
  if (!(o->temperature >= 0) || isinf(o->temperature))
    return fail(error, "temperature is %g; it must be 0 (greedy) or more", o->temperature);
  if (o->top_k < 0) return fail(error, "top-k is %lld; it must be 0 (all tokens) or more", (long long)o->top_k);
  if (!(o->top_p > 0 && o->top_p <= 1))
    return fail(error, "top-p is %g; it must be above 0 and at most 1 (all tokens)", o->top_p);
  return true;
}

random_stream sample_stream(uint64_t seed, int64_t row) {
  char name[40];
  snprintf(name, sizeof name, "sample row %lld", (long long)row);
  return random_named(seed, name);
}

static int32_t highest(const float *logits, int64_t vocabulary) {
  int64_t best = -1;
  for (int64_t i = 0; i < vocabulary; ++i)
    if (!isnan(logits[i]) && (best < 0 || logits[i] > logits[best])) best = i;
  return (int32_t)best;
}

typedef struct choice {
  double weight; // probability, not normalized
  float logit;
  int32_t id;
} choice;

static bool above(const choice *a, const choice *b) {
  return a->logit != b->logit ? a->logit > b->logit : a->id < b->id;
}

static int descending(const void *left, const void *right) {
  return above(left, right) ? -1 : above(right, left) ? 1 : 0;
}

// Puts the `count` highest first, in no order (quickselect with a middle pivot, all keys different).
static void select_highest(choice *c, int64_t length, int64_t count) {
  int64_t low = 0, high = length - 1;
  while (low < high) {
    choice pivot = c[low + (high - low) / 2];
    int64_t i = low, j = high;
    while (i <= j) {
      while (above(&c[i], &pivot)) ++i;
      while (above(&pivot, &c[j])) --j;
      if (i > j) break;
      choice swap = c[i];
      c[i++] = c[j];
      c[j--] = swap;
    }
    if (count <= j) high = j;
    else if (count > i) low = i;
    else return;
  }
}

// How many of the choices, the highest first, it takes to reach top_p. They are sorted as far as needed.
static int64_t nucleus(choice *c, int64_t count, double total, double top_p) {
  double sum = 0;
  for (int64_t sorted = 0, step = 256; sorted < count; step *= 8) {
    int64_t end = count - sorted < step ? count : sorted + step;
    select_highest(c + sorted, count - sorted, end - sorted);
    qsort(c + sorted, (size_t)(end - sorted), sizeof *c, descending);
    for (; sorted < end; ++sorted) {
      sum += c[sorted].weight;
      if (sum >= top_p * total) return sorted + 1;
    }
  }
  return count;
}

int32_t sample_token(const sample_options *o, random_stream *stream, const float *logits, int64_t vocabulary) {
  int32_t best = highest(logits, vocabulary);
  double uniform = o->temperature > 0 ? random_uniform(stream) : 0; // one draw a token, whatever the logits are
  if (o->temperature == 0 || best < 0 || isinf(logits[best])) return best;
  choice *c = memory_alloc((size_t)vocabulary * sizeof *c);
  int64_t count = 0;
  for (int64_t i = 0; i < vocabulary; ++i) {
    if (isnan(logits[i])) continue;
    c[count++] = (choice){exp(((double)logits[i] - (double)logits[best]) / o->temperature), logits[i], (int32_t)i};
  }
  if (o->top_k > 0 && o->top_k < count) {
    select_highest(c, count, o->top_k);
    count = o->top_k;
  }
  double total = 0, at = 0;
  qsort(c, o->top_k > 0 ? (size_t)count : 0, sizeof *c,
        descending); // a sum whose order does not depend on the selection
  for (int64_t i = 0; i < count; ++i) total += c[i].weight;
  if (o->top_p < 1) {
    count = nucleus(c, count, total, o->top_p);
    total = 0;
    for (int64_t i = 0; i < count; ++i) total += c[i].weight;
  }
  int32_t id = best;
  for (int64_t i = 0; i < count; ++i) {
    if (c[i].weight > 0) id = c[i].id; // of rounding at the very end, the last possible one
    at += c[i].weight;
    if (at > uniform * total) break;
  }
  free(c);
  return id;
}

void stop_open(stop_matcher *m, const char *const *stops, int count) {
  *m = (stop_matcher){.stops = memory_zero(sizeof *m->stops * (size_t)(count + 1))};
  for (int i = 0; i < count; ++i)
    if (stops[i][0]) m->stops[m->count++] = memory_string(stops[i]);
}

void stop_close(stop_matcher *m) {
  for (int i = 0; i < m->count; ++i) free(m->stops[i]);
  free(m->stops);
  text_free(&m->held);
  *m = (stop_matcher){0};
}

// Whether a stop string stands at held[at], or (*partial) may yet come to stand there.
static bool stop_at(const stop_matcher *m, size_t at, bool *partial) {
  size_t rest = m->held.length - at;
  for (int i = 0; i < m->count; ++i) {
    size_t length = strlen(m->stops[i]), compared = length < rest ? length : rest;
    if (memcmp(m->stops[i], m->held.data + at, compared)) continue;
    if (length <= rest) return true;
    *partial = true;
  }
  return false;
}

bool stop_push(stop_matcher *m, const char *bytes, size_t length, text *out) {
  if (m->stopped) return true;
  text_add_bytes(&m->held, bytes, length);
  size_t at = 0;
  for (bool partial = false; at < m->held.length; ++at) {
    m->stopped = stop_at(m, at, &partial);
    if (m->stopped || partial) break;
  }
  text_add_bytes(out, m->held.data, at);
  memmove(m->held.data, m->held.data + at, m->held.length - at);
  m->held.length = m->stopped ? 0 : m->held.length - at;
  return m->stopped;
}

void stop_finish(stop_matcher *m, text *out) {
  size_t at = 0;
  for (bool partial; at < m->held.length && !m->stopped; at += !m->stopped) m->stopped = stop_at(m, at, &partial);
  text_add_bytes(out, m->held.data, at);
  m->held.length = 0;
}
