// One namespace for models, vertices, edges, params and loop variables.
#include "frontend/resolve.h"

#include <string.h>

static symbol **bucket(resolver *r, const char *name) {
  return &r->buckets[hash_bytes(HASH_START, name, strlen(name)) % LENGTH(r->buckets)];
}

symbol *symbol_find(resolver *r, const char *name) {
  for (symbol *s = *bucket(r, name); s; s = s->next)
    if (!strcmp(s->name, name)) return s;
  return NULL;
}

const char *symbol_kind_text(const symbol *s) {
  static const char *const texts[] = {"a param", "a loop variable", "a model", "a vertex", "an edge"};
  return texts[s->kind];
}

symbol *symbol_declare(resolver *r, symbol_kind kind, ast_name name) {
  if (!strcmp(name.text, "input") || !strcmp(name.text, "output") ||
      (kind == SYMBOL_EDGE && module_is_known(name.text))) {
    bool module = kind == SYMBOL_EDGE && module_is_known(name.text);
    diagnostic *item = report(r->d, ERROR_RESERVED, name.place, "`%s` is the name of %s", name.text,
                              module ? "an edge module" : "a node that every network has");
    report_help(r->d, item, "choose another name");
    return NULL;
  }
  symbol *other = symbol_find(r, name.text);
  if (other) {
    diagnostic *item = report(r->d, ERROR_TWICE, name.place, "the name `%s` is declared twice", name.text);
    report_also(r->d, item, r->file, other->place, "first declared here, as %s", symbol_kind_text(other));
    report_help(r->d, item, "models, vertices, edges, params and loop variables share one namespace");
    return NULL;
  }
  symbol *s = ARENA_NEW(r->arena, symbol), **head = bucket(r, name.text);
  *s = (symbol){
      .kind = kind, .name = name.text, .place = name.place, .local = r->loop_depth > 0, .model = -1, .next = *head};
  *head = s;
  if (s->local) {
    GROW(r->locals, r->local_count, r->local_capacity);
    r->locals[r->local_count++] = s;
  }
  return s;
}

void symbols_leave(resolver *r, int local_count) {
  while (r->local_count > local_count) {
    symbol *s = r->locals[--r->local_count], **at = bucket(r, s->name);
    while (*at != s) at = &(*at)->next;
    *at = s->next;
  }
}

void symbols_nearest(resolver *r, nearest *n, unsigned kinds) {
  for (size_t i = 0; i < LENGTH(r->buckets); ++i)
    for (symbol *s = r->buckets[i]; s; s = s->next)
      if (kinds & 1u << s->kind) nearest_try(n, s->name);
}

// `what`: "vertex". A name declared only further down gets the same message: a name is declared before its use.
void report_unknown(resolver *r, ast_name name, const char *what, unsigned kinds) {
  diagnostic *item = report(r->d, ERROR_UNKNOWN_NAME, name.place, "there is no %s `%s`", what, name.text);
  if (!item->label_count) return; // reported in an earlier round
  nearest n = {.wanted = name.text};
  symbols_nearest(r, &n, kinds);
  if (kinds & 1u << SYMBOL_VERTEX) nearest_try(&n, "input"), nearest_try(&n, "output");
  for (const ast_statement *s = r->network->body.first; s; s = s->next) {
    bool declares = s->kind == STATEMENT_PARAM || s->kind == STATEMENT_MODEL || s->kind == STATEMENT_VERTEX ||
                    s->kind == STATEMENT_EDGE;
    if (!declares || strcmp(s->name.text, name.text)) continue;
    report_also(r->d, item, r->file, s->name.place, "it is declared here");
    report_help(r->d, item, "a name is declared before its use: move the declaration up");
    return;
  }
  if (n.best) report_help(r->d, item, "a name that is close: `%s`", n.best);
}
