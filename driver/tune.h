// Measuring tiles: an artifact of products, each with several tiles (compile_trials), is timed on a GPU. lmnc and
// lmn-run have it.
#ifndef LMN_DRIVER_TUNE_H
#define LMN_DRIVER_TUNE_H

#include "runtime/tiles.h"

typedef struct tune_options {
  const char *trials; // the artifact
  const char *output; // the file of tiles; NULL: the one of this GPU in the folder `cache`
  const char *cache;
  int64_t gpu;
  bool json;
} tune_options;

// Times all, adds what it finds to the file, and prints it.
bool tune_artifact(const tune_options *o, lmn_error *error);
int tune_run_command(int argument_count, char **arguments); // of lmn-run
// The file of tiles for the GPU of this machine, in the arena; NULL: there is none, or no GPU.
const char *tune_kept(arena *a, const char *cache, const char *architecture);

#endif
