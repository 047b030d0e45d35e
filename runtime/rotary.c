// The rotary tables, as transformers computes them: every step in float32.
#include "runtime/network.h"

#include <math.h>

enum { ROTARY_DEFAULT = 1, ROTARY_LINEAR, ROTARY_LLAMA3 };

// modeling_rope_utils' _compute_llama3_parameters: long waves are slowed by `factor`, short ones kept, those between
// are mixed.
static float llama3_frequency(const plan_rotary *r, float frequency) {
  float low = (float)r->low_frequency_factor, high = (float)r->high_frequency_factor,
        length = (float)r->original_length;
  float wave = (float)(2 * M_PI) / frequency;
  if (wave > length / low) return frequency / (float)r->factor;
  if (wave < length / high) return frequency;
  float smooth = (length / wave - low) / (high - low);
  return (1 - smooth) * (frequency / (float)r->factor) + smooth * frequency;
}

static float rotary_frequency(const plan_rotary *r, int64_t pair) {
  float frequency = 1.0f / powf((float)r->theta, (float)(2 * pair) / (float)r->dim);
  if (r->kind == ROTARY_LINEAR) return frequency / (float)r->factor;
  if (r->kind == ROTARY_LLAMA3) return llama3_frequency(r, frequency);
  return frequency;
}

void network_fill_rotary(const plan *p, char *constants) {
  for (int i = 0; i < p->rotary_count; ++i) {
    const plan_rotary *r = &p->rotary[i];
    float *table = (float *)(constants + r->offset);
    int64_t half = r->dim / 2;
    for (int64_t pair = 0; pair < half; ++pair) {
      float frequency = rotary_frequency(r, pair);
      for (int64_t t = 0; t < r->length; ++t) {
        float angle = (float)t * frequency;
        table[t * r->dim + pair] = cosf(angle);
        table[t * r->dim + half + pair] = sinf(angle);
      }
    }
  }
}
