// lmnc export: a trained model (or a vertex's own copy of one) as a Hugging Face directory, which transformers, another
// network, and other programs open.
#include "codegen/plan.h"
#include "driver/commands.h"
#include "driver/options.h"
#include "runtime/parameters.h"

#include <stdlib.h>
#include <string.h>

typedef struct export_options {
  define_list defines;
  const char *net, *init, *model, *output;
  bool random_weights;
} export_options;

// The directory whose config.json and tokenizer go along; NULL: there is nothing of that name.
static const char *source_of(const graph *g, const char *name) {
  for (int i = 0; i < g->model_count; ++i)
    if (!strcmp(g->models[i].name, name)) return g->models[i].description.directory;
  for (int i = 0; i < g->node_count; ++i)
    if (g->nodes[i].kind == NODE_VERTEX && !g->nodes[i].shared && !strcmp(g->nodes[i].name, name))
      return g->models[g->nodes[i].model].description.directory;
  return NULL;
}

static void fail_unknown(const graph *g, const char *name, lmn_error *error) {
  text names = {0};
  for (int i = 0; i < g->model_count; ++i) text_printf(&names, "%s%s", names.length ? ", " : "", g->models[i].name);
  for (int i = 0; i < g->node_count; ++i)
    if (g->nodes[i].kind == NODE_VERTEX && !g->nodes[i].shared)
      text_printf(&names, "%s%s", names.length ? ", " : "", g->nodes[i].name);
  if (name) fail(error, "there is no model or unshared vertex \"%s\"; the network has %s", name, names.data);
  else fail(error, "the network has more than one model; name one with --model: %s", names.data);
  text_free(&names);
}

static bool export_model(arena *a, const graph *g, const export_options *o, lmn_error *error) {
  const char *model = o->model ? o->model : g->model_count == 1 ? g->models[0].name : NULL;
  const char *source = model ? source_of(g, model) : NULL;
  if (!source) return fail_unknown(g, model, error), false;
  const plan *p = plan_create(a, g, graph_parameters(a, g, o->random_weights), "f32");
  float *base = aligned_alloc(64, (size_t)(p->parameter_bytes + 63) / 64 * 64);
  if (!base) return fail(error, "%lld bytes for the parameters are more than there are", (long long)p->parameter_bytes);
  const parameters_place to = {.base = base};
  bool ok = parameters_load(p, &to, 0, error) && (!o->init || parameters_replace(p, &to, o->init, error)) &&
            parameters_save_model(p, base, model, source, o->output, error);
  free(base);
  return ok;
}

static int run(const export_options *o) {
  lmn_error error = {0};
  text messages = {0};
  arena *a = arena_create();
  const graph *g = graph_read(a, o->net, o->defines.items, o->defines.count, NULL, 0, &messages);
  if (messages.length) fputs(messages.data, stderr);
  bool ok = g && export_model(a, g, o, &error);
  if (ok) printf("%s\n", o->output);
  else if (error.text[0]) fprintf(stderr, "error: %s\n", error.text);
  text_free(&messages);
  arena_destroy(a);
  return ok ? 0 : 1;
}

int command_export(int argument_count, char **arguments) {
  export_options o = {0};
  const command_option options[] = {
      {"init", 0, "FILE", "the checkpoint: safetensors that replaces parameters by name", OPTION_TEXT, &o.init},
      {"model", 0, "NAME", "which: a model, or an unshared vertex; default: the only model", OPTION_TEXT, &o.model},
      {"output", 'o', "FOLDER", "where to: config.json, model.safetensors, the tokenizer's files", OPTION_TEXT,
       &o.output},
      {"random-weights", 0, NULL, "the models have a config.json only", OPTION_FLAG, &o.random_weights},
      {"define", 'D', "NAME=VALUE", "set a param of the network (repeatable)", OPTION_DEFINE, &o.defines},
  };
  const command_usage usage = {"export", "Writes a network's model as a Hugging Face directory.",
                               "NET",    "net.lmn --init run/parameters.safetensors --model qwen -o qwen-trained",
                               options,  (int)LENGTH(options)};
  options_result result = options_parse(&usage, argument_count, arguments, &o.net);
  int status = result == OPTIONS_DONE ? 0 : 2;
  if (result == OPTIONS_RUN && !o.output) fputs("error: export needs a folder to write: -o FOLDER\n", stderr);
  else if (result == OPTIONS_RUN) status = run(&o);
  define_list_free(&o.defines);
  return status;
}
