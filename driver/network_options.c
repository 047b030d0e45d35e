#include "driver/network_options.h"

compile_options network_compile_options(const network_options *n) {
  return (compile_options){.file = n->net,
                           .defines = n->defines.items,
                           .define_count = n->defines.count,
                           .overrides = n->overrides.items,
                           .override_count = n->overrides.count,
                           .random_weights = n->random_weights,
                           .recompute = n->recompute,
                           .memory_limit = n->memory_limit,
                           .disabled = n->disabled.items,
                           .disabled_count = n->disabled.count,
                           .target = n->target,
                           .precision = n->precision,
                           .tiles = n->tiles};
}

void network_options_free(network_options *n) {
  define_list_free(&n->defines);
  define_list_free(&n->overrides);
  text_list_free(&n->disabled);
}
