// A compiled network, opened, filled with its parameters and run through the public C API: the next token after a few.
// Make one first: lmnc compile net.lmn --extend 1x16:64 -o net.lmnx
#include "runtime/lmn.h"

int main(int argc, char **argv) {
  lmn_error error = {0};
  const int32_t ids[] = {1, 2, 3}, count = LENGTH(ids);
  const float *logits;
  lmn_network *network = argc == 2 ? lmn_open(argv[1], 0, &error) : NULL;
  if (!network || !lmn_load(network, 0, &error) || !lmn_reset(network, 1, 16, &error) ||
      !lmn_extend(network, ids, count, &count, &logits, &error))
    return fprintf(stderr, "error: %s\n", argc == 2 ? error.text : "usage: ten_lines net.lmnx"), 1;
  int64_t best = 0;
  for (int64_t v = 1; v < lmn_plan(network)->vocabulary; ++v) best = logits[v] > logits[best] ? v : best;
  printf("%lld\n", (long long)best);
  lmn_close(network);
}
