// lmnc graph: a drawing of a network.
#include "driver/commands.h"
#include "driver/options.h"
#include "frontend/diagnostic.h"

#include <string.h>

typedef enum { FORMAT_DOT, FORMAT_MERMAID, FORMAT_SVG, FORMATS } drawing_format;
static const char *const format_names[] = {"dot", "mermaid", "svg"};

static int draw(const char *net, const define_list *defines, drawing_format format, const char *output) {
  arena *a = arena_create();
  text messages = {0}, drawing = {0};
  lmn_error error = {{0}};
  const graph *g = graph_read(a, net, defines->items, defines->count, NULL, 0, &messages);
  bool ok = g != NULL;
  if (!ok) fputs(messages.data, stderr);
  else if (format == FORMAT_SVG) ok = graph_draw_svg(g, &drawing, &error);
  else if (format == FORMAT_MERMAID) graph_draw_mermaid(g, &drawing);
  else graph_draw_dot(g, &drawing);
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
  const char *name = "dot", *output = NULL, *net;
  bool svg = false;
  const command_option options[] = {
      {"define", 'D', "NAME=VALUE", "set a param of the network (repeatable); lists as [1, 2, 1] or 1/2/1",
       OPTION_DEFINE, &defines},
      {"svg", 0, NULL, "draw it: as --format svg", OPTION_FLAG, &svg},
      {"format", 0, "dot|mermaid|svg", "default: dot, for Graphviz", OPTION_TEXT, &name},
      {"output", 'o', "FILE", "where to write it; default: the standard output", OPTION_TEXT, &output},
  };
  const command_usage usage = {"graph", "Draws a network, as SVG or for Graphviz or Mermaid.",
                               "NET",   "net.lmn --svg -o net.svg",
                               options, (int)LENGTH(options)};
  options_result result = options_parse(&usage, argument_count, arguments, &net);
  int status = result == OPTIONS_DONE ? 0 : 2;
  drawing_format format = svg ? FORMAT_SVG : FORMAT_DOT;
  while (!svg && format < FORMATS && strcmp(format_names[format], name)) ++format;
  if (result == OPTIONS_RUN && format == FORMATS)
    fprintf(stderr, "error: --format %s: it must be dot, mermaid or svg\n", name);
  else if (result == OPTIONS_RUN) status = draw(net, &defines, format, output);
  define_list_free(&defines);
  return status;
}
