#include "passes/target.h"

#include <string.h>

const target cpu_target = {"cpu", "this machine's CPU", false, true, false};
static const target gpu_targets[] = {
    {"sm_80", "Ampere: A100", true, false, false},
    {"sm_89", "Ada: RTX 4090, L40", true, false, false},
    {"sm_90a", "Hopper: H100, H200", true, false, true},
};

const target *target_find(const char *name, lmn_error *error) {
  if (!name || !strcmp(name, cpu_target.name)) return &cpu_target;
  text all = {0};
  text_printf(&all, "%s (%s)", cpu_target.name, cpu_target.title);
  const target *found = NULL;
  for (size_t i = 0; i < LENGTH(gpu_targets); ++i) {
    if (!strcmp(name, gpu_targets[i].name)) found = &gpu_targets[i];
    text_printf(&all, ", %s (%s)", gpu_targets[i].name, gpu_targets[i].title);
  }
  if (!found) fail(error, "--target %s: there is no such target; there are: %s", name, all.data);
  text_free(&all);
  return found;
}
