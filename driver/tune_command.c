// lmnc tune: the tiles of a network's products by measuring, kept for later compilations.
#include "driver/commands.h"
#include "driver/network_options.h"
#include "driver/tune.h"

#include "runtime/cuda_driver.h"

#include <string.h>

typedef struct request {
  network_options network;
  tune_options tune;
  const char *prepare;
  int64_t batch, length;
  bool packed;
} request;

// Training steps of every phase: their products are evaluation's too.
static int shapes_of(const request *r, const graph *g, entry_shape *shapes) {
  for (int phase = 0; phase < g->phase_count; ++phase)
    shapes[phase] = (entry_shape){.kind = ENTRY_TRAIN,
                                  .phase = phase,
                                  .batch = r->batch ? r->batch : g->phases[phase].batch,
                                  .length = r->length ? r->length : g->phases[phase].length,
                                  .packed = r->packed,
                                  .gradients = true};
  return g->phase_count;
}

// Before anything is compiled for it.
static bool check_gpu(const request *r, lmn_error *error) {
  cuda_driver driver;
  if (r->prepare) return true;
  if (!cuda_driver_open(&driver, error))
    return fail_in(error, "tiles are measured on a GPU; --prepare FOLDER writes what lmn-run tune measures elsewhere");
  cuda_driver_close(&driver);
  return true;
}

static bool tune(request *r, compilation *c, lmn_error *error) {
  entry_shape *shapes = ARENA_ARRAY(c->arena, entry_shape, c->graph->phase_count + 1);
  int count = shapes_of(r, c->graph, shapes), products;
  char folder[4096];
  r->tune.cache = compile_cache(c);
  if (!r->prepare && !r->tune.output && !*r->tune.cache)
    return fail(error, "there is no folder for the cache; say where the tiles go with -o FILE");
  r->tune.trials = r->prepare;
  if (!r->prepare) {
    if (!compile_temporary(folder, error)) return false;
    r->tune.trials = folder;
  }
  if (!compile_trials(c, shapes, count, r->tune.trials, &products, error)) return false;
  if (!r->prepare) return tune_artifact(&r->tune, error);
  fprintf(stderr, "%s: %d products, for lmn-run tune\n", r->prepare, products);
  return true;
}

static bool run(request *r, text *messages, lmn_error *error) {
  if (!r->network.target) r->network.target = "sm_90a";
  if (!check_gpu(r, error)) return false;
  compile_options o = network_compile_options(&r->network);
  compilation *c = compile_open(&o, messages);
  bool ok = c && tune(r, c, error);
  compile_close(c);
  return ok;
}

int command_tune(int argument_count, char **arguments) {
  request r = {0};
  const command_option options[] = {
      {"output", 'o', "FILE", "the file of tiles; default: this GPU's, beside the cached kernels", OPTION_TEXT,
       &r.tune.output},
      {"prepare", 0, "FOLDER", "measure nothing: write what lmn-run tune measures elsewhere", OPTION_TEXT, &r.prepare},
      {"batch", 'B', "N", "sequences of a training step; default: the phase's", OPTION_COUNT, &r.batch},
      {"length", 'T', "N", "tokens of a sequence; default: the phase's", OPTION_COUNT, &r.length},
      {"pack", 0, NULL, "several rows of data in one sequence", OPTION_FLAG, &r.packed},
      {"device", 0, "N", "which GPU, as the driver counts them; default: 0", OPTION_COUNT, &r.tune.gpu},
      NETWORK_OPTIONS(&r.network),
      {"json", 0, NULL, "the result as one JSON object", OPTION_FLAG, &r.tune.json},
  };
  const command_usage usage = {
      "tune",
      "Measures which tiles of a network's products are fastest on the GPU here, of sm_90a; compile then takes them.",
      "NET",
      "net.lmn -B 8 -T 1024",
      options,
      (int)LENGTH(options)};
  options_result result = options_parse(&usage, argument_count, arguments, &r.network.net);
  text messages = {0};
  int status = result == OPTIONS_DONE ? 0 : 2;
  if (result == OPTIONS_RUN) {
    lmn_error error = {0};
    status = run(&r, &messages, &error) ? 0 : 1;
    if (messages.data) fputs(messages.data, stderr);
    if (error.text[0]) fprintf(stderr, "error: %s\n", error.text);
  }
  network_options_free(&r.network);
  text_free(&messages);
  return status;
}
