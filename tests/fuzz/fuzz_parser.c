// links: frontend
// The lexer, the parser and all that makes a graph of a .lmn file. What follows a 0 byte is a -D name=value.
#include "tests/fuzz/fuzz.h"

#include "frontend/resolve.h"

enum { NODES_DRAWN = 500, ARROWS_DRAWN = 2000 }; // a larger graph is right or wrong as a smaller one, and takes longer

static void use_graph(arena *a, const graph *g, text *out) {
  const parameter_list *list = graph_parameters(a, g, false);
  bool *trained = ARENA_ARRAY(a, bool, list->count);
  for (int i = 0; i < g->phase_count; ++i) graph_trained(g, list, i, trained);
  int64_t models, added;
  graph_elements(g, &models, &added);
  graph_print(g, out);
  graph_draw_dot(g, out);
  graph_draw_mermaid(g, out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  setenv("LMN_MODELS",
         LMN_TESTS "/golden/single-qwen:" LMN_TESTS "/golden/paper-121-gpt2:" LMN_TESTS "/golden/tree-residual-llama",
         1);
  arena *a = arena_create();
  const uint8_t *zero = size ? memchr(data, 0, size) : NULL, *rest = zero ? zero + 1 : NULL;
  size_t left = zero ? size - (size_t)(rest - data) : 0;
  const char *path = fuzz_file("net.lmn", data, size - left - (zero != NULL));
  char *said = fuzz_part(a, &rest, &left, 0), *value = said ? strchr(said, '=') : NULL;
  define one = {said, value ? value + 1 : NULL};
  if (value) *value = 0;
  diagnostics d = {.arena = a};
  text out = {0};
  const graph *g = graph_resolve(&d, path, &one, value ? 1 : 0, NULL, 0);
  if ((g == NULL) != (d.count > 0)) abort();
  diagnostics_print(&d, &out);
  if (g && g->node_count <= NODES_DRAWN && g->arrow_count <= ARROWS_DRAWN) use_graph(a, g, &out);
  text_free(&out);
  arena_destroy(a);
  return 0;
}
