// Tiles of a network's products that were chosen by measuring on a GPU: a file of JSON, which `lmnc tune` and `lmn-run
// tune` write and compiling reads.
#ifndef LMN_TILES_H
#define LMN_TILES_H

#include "runtime/base.h"

typedef struct tiles_product {
  const char *product, *tiles, *usual; // "8192x576x1536 nt bf16", "192x1 1x1"; usual: what is taken without measuring
  double seconds, usual_seconds;
} tiles_product;

typedef struct tiles_file {
  const char *gpu, *architecture;
  tiles_product *items;
  int count, capacity;
} tiles_file;

bool tiles_read(arena *a, const char *path, tiles_file *f, lmn_error *error);
bool tiles_write(const tiles_file *f, const char *path, lmn_error *error); // with its folder
void tiles_free(tiles_file *f);
const tiles_product *tiles_find(const tiles_file *f, const char *product); // NULL: it was not measured
void tiles_set(tiles_file *f, tiles_product product);                      // in the place of an earlier one
// Where the tiles for a GPU are kept in the folder of the cache: "…/tiles-sm_90a-NVIDIA-H200.json".
void tiles_path(text *path, const char *cache, const char *architecture, const char *gpu);

#endif
