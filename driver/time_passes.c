#include "driver/time_passes.h"

#include <string.h>

// Threads run side by side: their time is shown, but the whole has it already.
static bool counts(const timing *item) { return !strstr(item->group, "threads"); }

static double accounted(const timings *t) {
  double sum = 0;
  for (int i = 0; i < t->count; ++i)
    if (counts(&t->items[i])) sum += t->items[i].seconds;
  return sum;
}

static void print_row(const char *group, const char *name, int count, double seconds, double total, FILE *out) {
  char times[16] = "";
  if (count > 1) snprintf(times, sizeof times, "%d x", count);
  fprintf(out, "%-16s %-28s %6s %10.2f ms %6.1f %%\n", group, name, times, seconds * 1e3,
          total > 0 ? seconds / total * 100 : 0);
}

void time_passes_print(const timings *t, double total, FILE *out) {
  const char *group = "";
  for (int i = 0; i < t->count; ++i) { // group by group, in the order in which the groups came up
    bool seen = false;
    for (int k = 0; k < i; ++k) seen |= !strcmp(t->items[k].group, t->items[i].group);
    for (int k = i; !seen && k < t->count; ++k) {
      const timing *item = &t->items[k];
      if (strcmp(item->group, t->items[i].group)) continue;
      print_row(strcmp(group, item->group) ? item->group : "", item->name, item->count, item->seconds, total, out);
      group = item->group;
    }
  }
  print_row("", "the rest", 1, total - accounted(t), total, out);
  print_row("all", "", 1, total, total, out);
}

json_t *time_passes_json(const timings *t, double total) {
  json_t *items = json_array();
  for (int i = 0; i < t->count; ++i)
    json_array_append_new(items, json_pack("{s:s, s:s, s:i, s:f}", "group", t->items[i].group, "name", t->items[i].name,
                                           "count", t->items[i].count, "seconds", t->items[i].seconds));
  return json_pack("{s:f, s:o}", "seconds", total, "parts", items);
}
