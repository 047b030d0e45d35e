// The element types of safetensors files and their conversion.
#ifndef LMN_SAFETENSORS_TYPE_H
#define LMN_SAFETENSORS_TYPE_H

#include "runtime/safetensors.h"

stored_type stored_type_named(const char *name); // STORED_OTHER: not read
const char *stored_type_name(stored_type type);
size_t stored_type_size(stored_type type); // 0: STORED_OTHER

// From any alignment. floats: false for STORED_OTHER. integers: the number converted, below `count` where that element
// does not fit 32 bits, -1 where the type is not one of integers.
bool stored_to_floats(stored_type type, const unsigned char *data, int64_t count, float *out);
int64_t stored_to_integers(stored_type type, const unsigned char *data, int64_t count, int32_t *out);

// To the nearest bf16, ties to even; a NaN stays one.
void floats_to_bf16(const float *from, int64_t count, uint16_t *to);

#endif
