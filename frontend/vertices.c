// Declarations of vertices: single ones, arrays, layers.
#include "frontend/resolve.h"

#include <inttypes.h>
#include <string.h>

const char *const *aggregate_words(int *count) {
  static const char *const words[] = {"sum", "mean", "concat", "project"}; // as aggregate_kind
  *count = (int)LENGTH(words);
  return words;
}

// The vertices that an array of such sizes has, 0 after an error.
static int64_t add_vertices(resolver *r, int64_t have, int64_t more, span place) {
  if (more <= LIMIT_VERTICES && have + more <= LIMIT_VERTICES) return have + more;
  report(r->d, ERROR_LIMIT_VERTICES, place, "the network has more than %d vertices", LIMIT_VERTICES);
  r->broken = true;
  return 0;
}

static bool layered(resolver *r, vertex_array *a, const value *widths, int count, span place) {
  if (!count) {
    report(r->d, ERROR_DIMENSIONS, place, "the list of widths is empty");
    return false;
  }
  a->layered = true;
  a->rank = 2;
  a->sizes[0] = count;
  a->widths = ARENA_ARRAY(r->arena, int64_t, count);
  a->offsets = ARENA_ARRAY(r->arena, int64_t, count);
  int64_t total = 0;
  for (int i = 0; i < count; ++i) {
    if (widths[i].type != TYPE_INTEGER || widths[i].integer < 1) {
      if (widths[i].type == TYPE_INTEGER)
        report(r->d, ERROR_DIMENSIONS, place, "layer %d has width %" PRId64 "; a layer has at least 1 vertex", i,
               widths[i].integer);
      else
        report(r->d, ERROR_DIMENSIONS, place, "the width of layer %d is %s; widths are integers", i,
               type_text(widths[i].type));
      return false;
    }
    a->widths[i] = widths[i].integer;
    a->offsets[i] = total;
    if (!(total = add_vertices(r, total, widths[i].integer, place))) return false;
  }
  a->count = (int)total;
  return true;
}

// v[1, 4, 1] is one list.
static bool dimensions_list(resolver *r, vertex_array *a, const ast_dimension *dimension) {
  int count = dimension->values.count, i = 0;
  if (count > LIMIT_LIST) {
    report(r->d, ERROR_LIMIT_LIST, dimension->place, "this list has %d elements; at most %d are allowed", count,
           LIMIT_LIST);
    return false;
  }
  value *widths = ARENA_ARRAY(r->arena, value, count);
  for (const ast_argument *v = dimension->values.first; v; v = v->next) {
    widths[i] = evaluate(r, v->value);
    if (widths[i].type == TYPE_NONE) return false;
    if (widths[i++].type == TYPE_INTEGER) continue;
    report(r->d, ERROR_DIMENSIONS, v->value->place, "a width is an integer, not %s", type_text(widths[i - 1].type));
    return false;
  }
  return layered(r, a, widths, count, dimension->place);
}

static bool dimensions(resolver *r, vertex_array *a, const ast_dimension *first) {
  a->count = 1;
  if (first && !first->next && first->values.count > 1) return dimensions_list(r, a, first);
  for (const ast_dimension *dimension = first; dimension; dimension = dimension->next) {
    const ast_value *written = dimension->values.first->value;
    if (dimension->values.count > 1) {
      report(r->d, ERROR_DIMENSIONS, dimension->place,
             "widths of layers stand alone: `v[1, 4, 1]`; the sizes of an array each have their brackets: `r[3][4]`");
      return false;
    }
    value size = evaluate(r, written);
    if (size.type == TYPE_NONE) return false;
    if (size.type == TYPE_LIST && dimension == first && !dimension->next)
      return layered(r, a, size.list.items, size.list.count, written->place);
    if (size.type != TYPE_INTEGER) {
      report(r->d, ERROR_DIMENSIONS, written->place, "the size of an array is an integer, not %s",
             type_text(size.type));
      return false;
    }
    if (size.integer < 1) {
      report(r->d, ERROR_DIMENSIONS, written->place, "an array has at least 1 vertex, not %" PRId64, size.integer);
      return false;
    }
    if (a->rank == LIMIT_DIMENSIONS) {
      report(r->d, ERROR_DIMENSIONS, dimension->place, "an array has at most %d dimensions", LIMIT_DIMENSIONS);
      return false;
    }
    int64_t vertices = 0; // count * size, checked
    if (size.integer > LIMIT_VERTICES || !(vertices = add_vertices(r, 0, a->count * size.integer, written->place)))
      return size.integer > LIMIT_VERTICES && add_vertices(r, 0, size.integer, written->place);
    a->sizes[a->rank++] = size.integer;
    a->count = (int)vertices;
  }
  return true;
}

static bool vertex_model(resolver *r, vertex_array *a, ast_name name) {
  ast_value named = {.kind = VALUE_NAME, .place = name.place, .string = {name.text}};
  return take_model(r, &named, &a->model);
}

void run_vertex(resolver *r, const ast_statement *s) {
  vertex_array *a = ARENA_NEW(r->arena, vertex_array);
  *a = (vertex_array){.name = s->name.text, .place = s->name.place, .model = -1, .aggregate = -1, .shared = true};
  bool ok = vertex_model(r, a, s->model);
  ok &= dimensions(r, a, s->dimensions);
  static const char *const names[] = {"aggregate", "share"};
  ast_argument *option[LENGTH(names)];
  ok &= bind_options(r, "a vertex", names, (int)LENGTH(names), &s->options, option);
  int words;
  const char *const *aggregates = aggregate_words(&words);
  if (option[0]) {
    ok &= take_word(r, option[0]->value, "`aggregate`", aggregates, words, &a->aggregate);
    a->aggregate_place = option[0]->value->place;
  }
  if (option[1]) ok &= take_truth(r, option[1]->value, "`share`", &a->shared);
  symbol *declared = symbol_declare(r, SYMBOL_VERTEX, s->name);
  if (ok && !add_vertices(r, r->owner_count, a->count, s->name.place)) ok = false;
  a->broken = !ok;
  r->broken |= !ok || !declared;
  if (declared) declared->vertex = a;
  if (!ok || !declared) return;
  a->first = NODE_ID_VERTEX + r->owner_count;
  GROW(r->vertices, r->vertex_count, r->vertex_capacity);
  r->vertices[r->vertex_count++] = a;
  for (int i = 0; i < a->count; ++i) {
    GROW(r->owners, r->owner_count, r->owner_capacity);
    r->owners[r->owner_count++] = a;
  }
}
