// An artifact on another machine than it was compiled on: its model folders may lie elsewhere there.
#include "runtime/plan.h"

#include <stdlib.h>
#include <string.h>

// FOLDER/NAME for the first folder of LMN_MODELS that has it, NAME being the end of `path`; `path` where none has.
static const char *look_up(arena *a, const char *path) {
  const char *name = strrchr(path, '/'), *folders = getenv("LMN_MODELS");
  name = name ? name + 1 : path;
  for (const char *at = folders ? folders : ""; *name && *at;) {
    size_t length = strcspn(at, ":");
    const char *there = length ? arena_printf(a, "%.*s/%s", (int)length, at, name) : "";
    if (length && directory_exists(there)) return there;
    at += length + (at[length] == ':');
  }
  return path;
}

void plan_find_models(plan *p, arena *a) {
  const char *from = NULL, *to = NULL; // parameters of a model follow each other: one look at its folder is enough
  for (int i = 0; i < p->parameter_count; ++i) {
    plan_parameter *parameter = &p->parameters[i];
    if (!parameter->directory) continue;
    if (!from || strcmp(from, parameter->directory)) {
      from = to = parameter->directory;
      if (!directory_exists(from)) to = look_up(a, from);
    }
    parameter->directory = to;
  }
  if (p->tokenizer && *p->tokenizer && !directory_exists(p->tokenizer)) p->tokenizer = look_up(a, p->tokenizer);
}
