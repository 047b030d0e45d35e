// The tiles of a product for sm_90a, and how its shared memory is laid out.
#ifndef LMN_CUDA_PRODUCTS_SM90_TILES_H
#define LMN_CUDA_PRODUCTS_SM90_TILES_H

#include "codegen/cuda/products.h"

#include <string.h>

enum {
  PROCESSORS = 132, // of an H100 or H200; with fewer the last blocks wait for their turn
  STEP = 64,        // of k a stage
  ARRIVALS = 1024,  // counts of a kernel that cuts tiles; see gemm_sm90.cuh
  SHORTEST = 8      // steps of a part of a tile that is cut, about
};

typedef struct choice {
  int width, blocks; // of a tile: columns; 64 rows each, of a consumer
  int consumers;     // warpgroups that multiply
  bool ping_pong;    // a tile of its own for each of two
  int cluster_m, cluster_n;
  int cluster_k; // blocks of a cluster that cut one tile along k; then it is of no other tile
  bool split;    // tiles that are too few for all blocks are cut along k
  bool staged;   // results through shared memory
  int stages, chunk, buffers;
  int part_blocks; // 64 rows each, of a buffer; 0: as many as a consumer has
  bool one_ring;   // of buffers, for both consumers of ping-pong
} choice;

static inline bool is_bf16(const char *type) { return !strcmp(type, "bf16"); }

static inline int rows_of(const choice *c) { return 64 * c->blocks * (c->ping_pong ? 1 : c->consumers); }

static inline int cluster_of(const choice *c) { return c->cluster_m * c->cluster_n * c->cluster_k; }

// Clusters that work at one time.
int clusters_of(const choice *c);

// Tiles as text: "WIDTHxBLOCKS[p|t] MxN[xK][c]", as "192x2p 2x1": p of ping-pong, t of three consumers, M and N of the
// cluster, K of its blocks that cut a tile along k, c of tiles cut along k whose parts meet in memory.
const char *tiles_text(arena *a, const choice *c);
// The tiles of the text `tiles`, or, where it is NULL, those that seem fastest; width 0: there are none that suit.
choice choose_tiles(const product *p, bool staged, const char *tiles);
// Those that may be as fast, the first of them being what seems fastest; returns how many.
enum { TILES_TRIED = 100 };
int tiles_worth_trying(const product *p, bool staged, choice tried[TILES_TRIED]);
// What a product is in a file of measured tiles.
const char *product_key(arena *a, const product *p, const char *shape, bool staged);
int64_t tiles_of(const product *p, const choice *c);
// Steps of k of one tile, where all groups have as many pieces.
int64_t steps_of(const product *p);
// Bytes of the parts of tiles that are cut; see gemm_sm90_order.cuh.
int64_t parts_bytes(const product *p, const choice *c);
int64_t shared_bytes(const product *p, const choice *c);

#endif
