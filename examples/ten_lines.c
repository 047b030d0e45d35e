// A compiled network through the public C API: opened, filled with what was trained, and asked for the token after a
// few. Make one first:
//   lmnc compile net.lmn -o net.lmnx && lmnc train net.lmn --data text.txt -o run
//   ten_lines net.lmnx run/parameters.safetensors
#include "runtime/lmn.h"

int main(int argc, char **argv) {
  const int32_t ids[] = {1, 2, 3}, count = LENGTH(ids);
  const float *logits;
  lmn_error error = {.text = ""};
  lmn_network *network = argc == 3 ? lmn_open(argv[1], NULL, &error) : NULL;
  if (!network || !lmn_load(network, 0, &error) || !lmn_replace(network, argv[2], &error) ||
      !lmn_reset(network, 1, 16, &error) || !lmn_extend(network, ids, count, &count, &logits, &error))
    return fprintf(stderr, "error: %s\n", argc == 3 ? error.text : "usage: ten_lines ARTIFACT PARAMETERS"), 1;
  int64_t best = 0;
  for (int64_t v = 1; v < lmn_plan(network)->vocabulary; ++v) best = logits[v] > logits[best] ? v : best;
  printf("%lld\n", (long long)best);
  lmn_close(network);
}
