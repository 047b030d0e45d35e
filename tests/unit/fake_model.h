// The model of the devices without kernels, on plain memory: loss = scale Σ (w[id] - label)² over counted labels,
// AdamW, and logits that tell which tokens a cache holds.
#ifndef LMN_FAKE_MODEL_H
#define LMN_FAKE_MODEL_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

enum { FAKE_VOCABULARY = 11, FAKE_BATCH = 2, FAKE_LENGTH = 4, FAKE_ROWS = 3, FAKE_CAPACITY = 16 };

// The gradient is added; NULL: none is wanted.
static inline void fake_model_loss(const float *w, const int32_t *ids, const int32_t *labels, float scale,
                                   int64_t tokens, float *gradient, float *loss) {
  float sum = 0;
  for (int64_t i = 0; i < tokens; ++i) {
    if (labels[i] < 0) continue;
    float apart = w[ids[i]] - (float)labels[i];
    sum += apart * apart;
    if (gradient) gradient[ids[i]] += 2 * scale * apart;
  }
  *loss = sum * scale;
}

static inline void fake_model_update(const float *s, const float *g, float *w, float *m, float *v, float *norm) {
  float sum = 0;
  for (int i = 0; i < FAKE_VOCABULARY; ++i) sum += g[i] * g[i];
  for (int i = 0; i < FAKE_VOCABULARY; ++i) {
    m[i] = s[1] * m[i] + (1 - s[1]) * g[i];
    v[i] = s[2] * v[i] + (1 - s[2]) * g[i] * g[i];
    w[i] -= s[0] * (m[i] / s[5] / (sqrtf(v[i] / s[6]) + s[3]) + s[4] * w[i]);
  }
  *norm = sqrtf(sum);
}

// logits[b, v] = Σ over the positions i of the cache of (i + 1) (id + 1), plus v where v is the last id.
static inline void fake_model_extend(const int32_t *ids, const int32_t *lengths, const int32_t *counts, float *cache,
                                     float *logits, int64_t batch, int64_t length, int64_t capacity) {
  for (int64_t b = 0; b < batch; ++b) {
    float *row = cache + b * capacity, sum = 0;
    if (lengths[b] + length > capacity) abort();
    for (int64_t i = 0; i < length; ++i) row[lengths[b] + i] = (float)ids[b * length + i];
    int32_t end = lengths[b] + counts[b];
    for (int32_t i = 0; i < end; ++i) sum += (float)(i + 1) * (row[i] + 1);
    for (int v = 0; v < FAKE_VOCABULARY; ++v)
      logits[b * FAKE_VOCABULARY + v] = sum + (v == (int)row[end - 1] ? (float)v : 0);
  }
}

#endif
