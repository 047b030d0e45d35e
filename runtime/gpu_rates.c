#include "runtime/gpu_rates.h"

#include "runtime/base.h"

#include <string.h>

static const gpu_rates table[] = {
    {"NVIDIA H200", 989.4, 66.9, 4800},           {"NVIDIA H200 NVL", 835.5, 60, 4800},
    {"NVIDIA H100 80GB HBM3", 989.4, 66.9, 3350}, {"NVIDIA H100 NVL", 835.5, 60, 3938},
    {"NVIDIA H100 PCIe", 756, 51.2, 2039},        {"NVIDIA A100-SXM4-80GB", 312, 19.5, 2039},
    {"NVIDIA A100-SXM4-40GB", 312, 19.5, 1555},   {"NVIDIA A100 80GB PCIe", 312, 19.5, 1935},
    {"NVIDIA A100-PCIE-40GB", 312, 19.5, 1555},   {"NVIDIA GeForce RTX 4090", 165.2, 82.6, 1008},
};

const gpu_rates *gpu_rates_of(const char *name) {
  for (size_t i = 0; i < LENGTH(table); ++i)
    if (!strcmp(table[i].name, name)) return &table[i];
  return NULL;
}
