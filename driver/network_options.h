// The options of the commands that compile a network without running it: compile, summary.
#ifndef LMN_DRIVER_NETWORK_OPTIONS_H
#define LMN_DRIVER_NETWORK_OPTIONS_H

#include "driver/compile.h"
#include "driver/options.h"

typedef struct network_options {
  const char *net; // the operand
  define_list defines, overrides;
  text_list disabled;
  const char *recompute, *target, *precision, *tiles;
  int64_t memory_limit;
  bool random_weights;
} network_options;

// clang-format off
// Rows of a command's table.
#define NETWORK_OPTIONS(n) \
  {"define", 'D', "NAME=VALUE", "set a param of the network (repeatable)", OPTION_DEFINE, &(n)->defines}, \
  {"freeze", 0, "NAMES", "not trained: models, edges, or names of these", OPTION_SETTING, &(n)->overrides}, \
  {"random-weights", 0, NULL, "the models have a config.json only", OPTION_FLAG, &(n)->random_weights}, \
  {"disable-pass", 0, "PASS", "leave this optimisation out (repeatable)", OPTION_TEXTS, &(n)->disabled}, \
  {"recompute", 0, "WHAT", "remake, not keep: rows, feed-forward, layers, layers-2, -4, -8", OPTION_TEXT, &(n)->recompute}, \
  {"memory-limit", 0, "SIZE", "of a training step, 800M or 1.5G: what does not fit is remade", OPTION_BYTES, &(n)->memory_limit}, \
  {"target", 0, "TARGET", "cpu (the default), or a GPU: sm_80, sm_89, sm_90a", OPTION_TEXT, &(n)->target}, \
  {"precision", 0, "TYPE", "f32, or bf16 for GPUs, theirs unless told otherwise", OPTION_TEXT, &(n)->precision}, \
  {"tiles", 0, "FILE", "of products on a GPU, from lmnc tune; default: this GPU's", OPTION_TEXT, &(n)->tiles}
// clang-format on

compile_options network_compile_options(const network_options *n); // points into *n
void network_options_free(network_options *n);

#endif
