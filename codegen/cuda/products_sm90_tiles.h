// The tiles of a product for sm_90a, and how its shared memory is laid out.
#ifndef LMN_CUDA_PRODUCTS_SM90_TILES_H
#define LMN_CUDA_PRODUCTS_SM90_TILES_H

#include "codegen/cuda/products.h"

#include <string.h>

enum {
  PROCESSORS = 132, // of an H100 or H200; with fewer the last blocks wait for their turn
  STEP = 64         // of k a stage
};

typedef struct choice {
  int width, blocks; // of a tile: columns; 64 rows each, of a consumer
  bool ping_pong;    // a tile of its own for each consumer
  int cluster_m, cluster_n;
  bool staged, split; // results through shared memory; tiles that are too few cut along k
  int stages, chunk, buffers;
} choice;

static inline bool is_bf16(const char *type) { return !strcmp(type, "bf16"); }

static inline int rows_of(const choice *c) { return 64 * c->blocks * (c->ping_pong ? 1 : 2); }

static inline int clusters_of(const choice *c) { return PROCESSORS / (c->cluster_m * c->cluster_n); }

// By the product's shape, or those of the text `tiles` where it is not NULL; width 0: there are none.
choice choose_tiles(const product *p, bool staged, const char *tiles);
int64_t tiles_of(const product *p, const choice *c);
// Steps of k of one tile, where all groups have as many pieces.
int64_t steps_of(const product *p);
// Tiles that are cut, and the bytes of their parts; see gemm_sm90_order.cuh.
int64_t tiles_cut(const product *p, const choice *c, int64_t *bytes);
int64_t shared_bytes(const product *p, const choice *c);

#endif
