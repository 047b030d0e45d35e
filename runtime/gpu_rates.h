// What GPUs can do at most, as their maker publishes it: what a profile compares with.
#ifndef LMN_GPU_RATES_H
#define LMN_GPU_RATES_H

typedef struct gpu_rates {
  const char *name; // as the driver says it
  double bf16, f32; // TFLOP/s: of tensor cores with float32 sums, without sparsity; of the float32 units
  double memory;    // GB/s
} gpu_rates;
const gpu_rates *gpu_rates_of(const char *name); // NULL: not known

#endif
