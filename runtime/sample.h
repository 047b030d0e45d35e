// Choosing the next token from logits, and stopping at strings.
#ifndef LMN_SAMPLE_H
#define LMN_SAMPLE_H

#include "runtime/base.h"

typedef struct sample_options {
  double temperature; // 0: greedy
  int64_t top_k;      // 0: all
  double top_p;       // 1: all
  uint64_t seed;
} sample_options;

// The random stream of one row of a batch: what a prompt draws does not depend on its neighbours.
random_stream sample_stream(uint64_t seed, int64_t row);
// The id drawn from logits [V]; greedy: the highest, the lowest id of equals. Otherwise as transformers does: logits
// over temperature, then only the top_k highest, then the fewest whose probability reaches top_p, at least one.
// Logits that are NaN are never drawn; -1 if all are NaN.
int32_t sample_token(const sample_options *options, random_stream *stream, const float *logits, int64_t vocabulary);
// Says which option is out of range: temperature < 0, top_k < 0, top_p outside (0, 1].
bool sample_check(const sample_options *options, lmn_error *error);

// Stop strings over a text that arrives in pieces: what may be the start of a stop string is held back, and from its
// first byte on nothing is given out.
typedef struct stop_matcher {
  char **stops; // none empty
  int count;
  text held;
  bool stopped;
} stop_matcher;
void stop_open(stop_matcher *m, const char *const *stops, int count); // empty strings are ignored
// Appends what is certain to *out. true: a stop string has come; everything later is dropped.
bool stop_push(stop_matcher *m, const char *bytes, size_t length, text *out);
// The text has ended: gives out what was held back, up to a stop string if it has one (then m->stopped).
void stop_finish(stop_matcher *m, text *out);
void stop_close(stop_matcher *m);

#endif
