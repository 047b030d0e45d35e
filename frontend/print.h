// Chains as text, as --emit=graph and the drawings show them.
#ifndef LMN_PRINT_H
#define LMN_PRINT_H

#include "frontend/graph.h"

const char *activation_text(activation_kind kind);
const char *aggregate_text(aggregate_kind kind);
// "decoder_layer(qwen) then linear"; sizes adds "32->48" where a module changes the size. An empty chain is "identity".
void chain_print(const graph *g, const chain *c, bool sizes, text *out);

#endif
