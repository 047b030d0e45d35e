// lmnc's networks: .lmn files are compiled in this process, artifacts opened as they are.
#include "driver/source.h"

#include "codegen/plan.h"
#include "driver/compile.h"

#include <stdlib.h>
#include <string.h>

static const char *folder_of(arena *a, const char *path) {
  const char *slash = strrchr(path, '/');
  if (!slash) return ".";
  return slash == path ? "/" : arena_copy(a, path, (size_t)(slash - path));
}

static void describe(network_source *s, const graph *g) {
  const model *input = &g->models[g->nodes[0].model].description;
  s->network = g->name;
  s->folder = folder_of(s->arena, s->request->net);
  s->tokenizer = input->directory;
  s->vocabulary = input->vocabulary;
  s->classes = g->classes;
  s->prefix = g->prefix;
  s->positions = input->learned_positions ? input->positions : 0;
  s->bos = input->bos;
  memcpy(s->eos, input->eos, sizeof s->eos);
  s->eos_count = input->eos_count;
  s->phase_count = g->phase_count;
  s->phases = ARENA_ARRAY(s->arena, plan_phase, g->phase_count + 1);
  for (int i = 0; i < g->phase_count; ++i) s->phases[i] = plan_phase_of(&g->phases[i]);
}

static bool compile_source(network_source *s) {
  const source_request *r = s->request;
  compile_options *options = ARENA_NEW(s->arena, compile_options); // lives as long as the compilation
  *options = (compile_options){.file = r->net,
                               .defines = r->defines,
                               .define_count = r->define_count,
                               .overrides = r->settings,
                               .override_count = r->setting_count,
                               .random_weights = r->random_weights,
                               .recompute = r->recompute,
                               .memory_limit = r->memory_limit,
                               .target = r->target,
                               .precision = r->precision,
                               .disabled = r->disabled,
                               .disabled_count = r->disabled_count};
  text messages = {0};
  compilation *c = compile_open(options, &messages);
  if (messages.length) { // errors; or warnings of a file that is sound
    if (r->messages) text_add(r->messages, messages.data);
    else fputs(messages.data, stderr);
  }
  text_free(&messages);
  if (!c) return false;
  s->compilation = c;
  describe(s, c->graph);
  return true;
}

bool source_open(network_source *s, const source_request *request, lmn_error *error) {
  *s = (network_source){.request = request, .arena = arena_create()};
  bool ok = directory_exists(request->net) ? artifact_open(s, error) : compile_source(s);
  if (!ok) source_close(s);
  return ok;
}

void source_close(network_source *s) {
  if (s->compilation) compile_close(s->compilation);
  lmn_close(s->opened);
  arena_destroy(s->arena);
  *s = (network_source){0};
}

const char *source_artifact(network_source *s, const entry_wanted *wanted, int count, lmn_error *error) {
  if (s->opened) return artifact_has(s, wanted, count, error) ? s->request->net : NULL;
  entry_shape *shapes = ARENA_ARRAY(s->arena, entry_shape, count);
  for (int i = 0; i < count; ++i)
    shapes[i] = (entry_shape){.kind = wanted[i].kind,
                              .phase = wanted[i].phase,
                              .batch = wanted[i].batch,
                              .length = wanted[i].length,
                              .capacity = wanted[i].capacity,
                              .packed = wanted[i].packed,
                              .gradients = wanted[i].gradients};
  char path[4096];
  if (!compile_temporary(path, error) || !compile_entries(s->compilation, shapes, count, path, error)) return NULL;
  return arena_string(s->arena, path);
}

lmn_network *source_network(network_source *s, const entry_wanted *wanted, int count, uint64_t seed, lmn_error *error) {
  const char *artifact = source_artifact(s, wanted, count, error);
  if (!artifact) return NULL;
  lmn_network *n = s->opened ? s->opened : lmn_open(artifact, &s->request->options, error);
  s->opened = NULL;                                    // the caller's now
  if (n && s->compilation) directory_remove(artifact); // all of it is loaded; a killed process leaves nothing behind
  if (n && artifact_fits(n, wanted, count, error) && lmn_load(n, seed, error)) return n;
  lmn_close(n);
  return NULL;
}
