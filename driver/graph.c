// lmnc graph: a drawing of a network.
#include "driver/commands.h"
#include "driver/options.h"
#include "frontend/diagnostic.h"

#include <string.h>

static int draw(const char *net, const define_list *defines, bool mermaid, const char *output) {
  arena *a = arena_create();
  text messages = {0}, drawing = {0};
  lmn_error error = {{0}};
  const graph *g = graph_read(a, net, defines->items, defines->count, NULL, 0, &messages);
  bool ok = g != NULL;
  if (ok && mermaid) graph_draw_mermaid(g, &drawing);
  else if (ok) graph_draw_dot(g, &drawing);
  else fputs(messages.data, stderr);
  if (ok && output) ok = file_write(output, drawing.data, drawing.length, &error);
  else if (ok) ok = fwrite(drawing.data, 1, drawing.length, stdout) == drawing.length && fflush(stdout) == 0;
  if (error.text[0]) fprintf(stderr, "error: %s\n", error.text);
  text_free(&messages);
  text_free(&drawing);
  arena_destroy(a);
  return ok ? 0 : 1;
}

int command_graph(int argument_count, char **arguments) {
  define_list defines = {0};
  const char *format = "dot", *output = NULL, *net;
  const command_option options[] = {
      {"define", 'D', "NAME=VALUE", "set a param of the network (repeatable); lists as [1, 2, 1] or 1/2/1",
       OPTION_DEFINE, &defines},
      {"format", 0, "FORMAT", "dot (Graphviz, the default) or mermaid", OPTION_TEXT, &format},
      {"output", 'o', "FILE", "where to write it; default: the standard output", OPTION_TEXT, &output},
  };
  const command_usage usage = {"graph", "Draws a network for Graphviz or Mermaid.",
                               "NET",   "net.lmn | dot -Tsvg -o net.svg",
                               options, (int)LENGTH(options)};
  options_result result = options_parse(&usage, argument_count, arguments, &net);
  int status = result == OPTIONS_DONE ? 0 : 2;
  if (result == OPTIONS_RUN && strcmp(format, "dot") && strcmp(format, "mermaid"))
    fprintf(stderr, "error: --format %s: it must be dot or mermaid\n", format);
  else if (result == OPTIONS_RUN) status = draw(net, &defines, !strcmp(format, "mermaid"), output);
  define_list_free(&defines);
  return status;
}
