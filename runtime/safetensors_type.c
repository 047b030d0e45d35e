#include "runtime/safetensors_type.h"

#include <string.h>

static const struct {
  const char *name;
  size_t size;
} types[] = {
    [STORED_F64] = {"F64", 8}, [STORED_F32] = {"F32", 4},   [STORED_F16] = {"F16", 2}, [STORED_BF16] = {"BF16", 2},
    [STORED_I64] = {"I64", 8}, [STORED_I32] = {"I32", 4},   [STORED_I16] = {"I16", 2}, [STORED_I8] = {"I8", 1},
    [STORED_U8] = {"U8", 1},   [STORED_BOOL] = {"BOOL", 1}, [STORED_OTHER] = {"?", 0},
};

stored_type stored_type_named(const char *name) {
  stored_type type = 0;
  while (type < STORED_OTHER && strcmp(types[type].name, name)) ++type;
  return type;
}

const char *stored_type_name(stored_type type) { return types[type].name; }
size_t stored_type_size(stored_type type) { return types[type].size; }

static float float_of(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

// Exact for every half, subnormals, infinities and NaNs too; free of float32 subnormals, which a thread may be told to
// flush.
static float float_of_half(uint16_t half) {
  uint32_t sign = (uint32_t)(half & 0x8000) << 16, rest = (uint32_t)(half & 0x7fff) << 13, bits;
  const uint32_t least_normal = 113u << 23; // 2^-14
  float small = float_of(least_normal + rest) - float_of(least_normal);
  memcpy(&bits, &small, sizeof bits);
  uint32_t large = rest + (rest >= 0x7c00u << 13 ? 224u << 23 : 112u << 23);
  return float_of(sign | (rest < 0x400u << 13 ? bits : large));
}

#define CONVERT(type, expression)                                                                                      \
  for (int64_t i = 0; i < count; ++i) {                                                                                \
    type value;                                                                                                        \
    memcpy(&value, data + (size_t)i * sizeof value, sizeof value);                                                     \
    out[i] = expression;                                                                                               \
  }                                                                                                                    \
  return true

bool stored_to_floats(stored_type type, const unsigned char *data, int64_t count, float *out) {
  switch (type) {
  case STORED_F32:
    if (count) memcpy(out, data, (size_t)count * sizeof *out);
    return true;
  case STORED_BF16: CONVERT(uint16_t, float_of((uint32_t)value << 16));
  case STORED_F16: CONVERT(uint16_t, float_of_half(value));
  case STORED_F64: CONVERT(double, (float)value);
  case STORED_I64: CONVERT(int64_t, (float)value);
  case STORED_I32: CONVERT(int32_t, (float)value);
  case STORED_I16: CONVERT(int16_t, (float)value);
  case STORED_I8: CONVERT(int8_t, (float)value);
  case STORED_U8:
  case STORED_BOOL: CONVERT(uint8_t, (float)value);
  case STORED_OTHER: break;
  }
  return false;
}

static int64_t integer_at(stored_type type, const unsigned char *data, int64_t index) {
  int64_t wide;
  int32_t word;
  int16_t half;
  switch (type) {
  case STORED_I64: return memcpy(&wide, data + index * 8, 8), wide;
  case STORED_I32: return memcpy(&word, data + index * 4, 4), word;
  case STORED_I16: return memcpy(&half, data + index * 2, 2), half;
  case STORED_I8: return (int8_t)data[index];
  default: return data[index];
  }
}

int64_t stored_to_integers(stored_type type, const unsigned char *data, int64_t count, int32_t *out) {
  if (type < STORED_I64 || type > STORED_BOOL) return -1;
  for (int64_t i = 0; i < count; ++i) {
    int64_t value = integer_at(type, data, i);
    if (value < INT32_MIN || value > INT32_MAX) return i;
    out[i] = (int32_t)value;
  }
  return count;
}

void floats_to_bf16(const float *from, int64_t count, uint16_t *to) {
  for (int64_t i = 0; i < count; ++i) {
    uint32_t bits;
    memcpy(&bits, &from[i], sizeof bits);
    bool nan = (bits & 0x7fffffff) > 0x7f800000;
    to[i] = (uint16_t)(nan ? bits >> 16 | 0x40 : (bits + 0x7fff + (bits >> 16 & 1)) >> 16);
  }
}
