#include "runtime/profile_parts.h"

#include <stdlib.h>
#include <string.h>

typedef struct share { // of all launches of one name
  char *name;
  double seconds, flops, bytes, launches;
} share;

typedef struct share_list {
  share *items;
  int count, capacity;
} share_list;

static share *share_of(share_list *list, const char *name) {
  for (int i = list->count - 1; i >= 0; --i)
    if (!strcmp(list->items[i].name, name)) return &list->items[i];
  GROW(list->items, list->count, list->capacity);
  list->items[list->count] = (share){.name = memory_string(name)};
  return &list->items[list->count++];
}

static void free_shares(share_list *list) {
  for (int i = 0; i < list->count; ++i) free(list->items[i].name);
  free(list->items);
}

static void add(share *to, const share *what, double part) {
  to->seconds += what->seconds * part;
  to->flops += what->flops * part;
  to->bytes += what->bytes * part;
  to->launches += what->launches * part;
}

// ---- whose a launch is --------------------------------------------------------------------------

static const char nobody[] = "optimizer, gradients of what several share";

static int members_of(const char *group) {
  int count = 1;
  for (const char *at = group; (at = strstr(at, ", ")); at += 2) ++count;
  return count;
}

// "16 arrows, fuse-edges: v[0][0] -> v[1][0] … v[0][3] -> v[1][3]".
static void describe_group(const char *group, text *out) {
  int members = group ? members_of(group) : 0;
  if (members < 2) {
    text_add(out, group ? group : nobody);
    return;
  }
  bool arrows = strstr(group, " -> ") != NULL;
  const char *last = group;
  for (const char *at = group; (at = strstr(at, ", ")); last = at += 2) {
  }
  text_printf(out, "%d %s (%s): %.*s … %s", members, arrows ? "arrows" : "vertices",
              arrows ? "fuse-edges" : "share-vertices", (int)(strstr(group, ", ") - group), group, last);
}

static void add_by_node(share_list *list, const char *group, const share *what) {
  if (!group) {
    add(share_of(list, nobody), what, 1);
    return;
  }
  double part = 1.0 / members_of(group);
  for (const char *at = group; at;) {
    const char *end = strstr(at, ", ");
    char name[512];
    snprintf(name, sizeof name, "%.*s", (int)(end ? (size_t)(end - at) : strlen(at)), at);
    add(share_of(list, name), what, part);
    at = end ? end + 2 : NULL;
  }
}

typedef struct tables {
  share all;
  share_list kernels, groups, nodes;
} tables;

static void gather_launch(tables *t, const plan *p, const plan_launch *l, int riders, double seconds) {
  share one = {NULL, seconds, (double)l->flops, (double)l->bytes, 1};
  for (int i = 1; i <= riders; ++i) one.bytes += (double)l[i].bytes;
  char name[128];
  text group = {0};
  profile_kernel(l, riders, name);
  describe_group(profile_group(p, l), &group);
  add(&t->all, &one, 1);
  add(share_of(&t->kernels, name), &one, 1);
  add(share_of(&t->groups, group.data), &one, 1);
  add_by_node(&t->nodes, profile_group(p, l), &one);
  text_free(&group);
}

static void gather(const profile *p, tables *t) {
  for (int r = 0; r < p->run_count; ++r) {
    const plan_entry *e = &p->plan->entries[p->runs[r].entry];
    for (int i = 0; i < e->launch_count; ++i)
      if (!e->launches[i].rides)
        gather_launch(t, p->plan, &e->launches[i], profile_riders(e, i), p->runs[r].seconds[i]);
  }
}

// ---- tables -------------------------------------------------------------------------------------

static int compare_shares(const void *a, const void *b) {
  double x = ((const share *)a)->seconds, y = ((const share *)b)->seconds;
  return (x < y) - (x > y);
}

static int compare_doubles(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double peak_flops(const profile *p) { // FLOP/s; 0: not known
  if (!p->rates) return 0;
  return (strcmp(p->plan->precision, "bf16") ? p->rates->f32 : p->rates->bf16) * 1e12;
}

static void print_rate(FILE *out, double rate, double unit, double peak) {
  if (rate <= 0) fputs("        -      -", out);
  else if (peak > 0) fprintf(out, " %8.4g %4.0f %%", rate / unit, 100 * rate / peak);
  else fprintf(out, " %8.4g      -", rate / unit);
}

static void print_row(const profile *p, const share *s, double all, FILE *out) {
  double steps = (double)p->timed, seconds = s->seconds > 0 ? s->seconds : 1;
  fprintf(out, "%9.3f %5.1f %8.1f", s->seconds * 1e3 / steps, 100 * s->seconds / all, s->launches / steps);
  print_rate(out, s->flops / seconds, 1e12, peak_flops(p));
  print_rate(out, s->bytes / seconds, 1e9, p->rates ? p->rates->memory * 1e9 : 0);
  fprintf(out, "  %s\n", s->name);
}

static void print_table(const profile *p, share_list *list, const char *title, double all, FILE *out) {
  enum { MOST = 40 };
  share rest = {0};
  int shown = 0;
  if (list->count) qsort(list->items, (size_t)list->count, sizeof *list->items, compare_shares);
  fprintf(out, "\n%9s %5s %8s %8s %6s %8s %6s  %s\n", "ms", "%", "launches", "TFLOP/s", "of max", "GB/s", "of max",
          title);
  while (shown < list->count && (list->count <= MOST || (shown < MOST && list->items[shown].seconds > 0.001 * all)))
    ++shown;
  int left = list->count - shown;
  for (int i = 0; i < list->count; ++i)
    if (i < shown) print_row(p, &list->items[i], all, out);
    else add(&rest, &list->items[i], 1);
  char name[64];
  snprintf(name, sizeof name, "%d more", left);
  rest.name = name;
  if (left) print_row(p, &rest, all, out);
}

static bool computes_again(const profile *p) {
  for (int i = 0; i < p->run_count; ++i)
    if (p->plan->entries[p->runs[i].entry].recompute) return true;
  return false;
}

static void print_device(const profile *p, FILE *out) {
  bool bf16 = !strcmp(p->plan->precision, "bf16");
  fprintf(out, "%s: ", p->device);
  if (p->rates)
    fprintf(out, "at most %.1f TFLOP/s (%s) and %.0f GB/s, as published\n", peak_flops(p) / 1e12,
            bf16 ? "bf16, dense" : "float32", p->rates->memory);
  else fputs("its limits are not known here, so there is no MFU\n", out);
}

// A step's time is that of those which ran as usual, where there is one.
static void print_step(const profile *p, const share *all, FILE *out) {
  double steps = (double)p->timed, kernels = all->seconds / steps, seconds = kernels, flops = all->flops / steps;
  if (p->usual_count) {
    qsort(p->usual, (size_t)p->usual_count, sizeof *p->usual, compare_doubles);
    seconds = p->usual[p->usual_count / 2];
  }
  double rate = (double)p->tokens / seconds;
  fprintf(out,
          "a step of %lld tokens: %.2f ms (median of %d), %.0f tokens/s; its %.0f launches one by one: %.2f ms (mean "
          "of %lld)\n",
          (long long)p->tokens, seconds * 1e3, p->usual_count, rate, all->launches / steps, kernels * 1e3,
          (long long)p->timed);
  double token = flops / (double)p->tokens;
  fprintf(out, "%.4g GFLOP a token in products and attention%s: %.4g TFLOP/s\n", token / 1e9,
          computes_again(p) ? ", with what is computed again" : "", flops / seconds / 1e12);
  if (peak_flops(p) > 0)
    fprintf(out, "MFU %.1f %% = %.4g GFLOP a token x %.0f tokens/s / %.1f TFLOP/s\n",
            100 * flops / seconds / peak_flops(p), token / 1e9, rate, peak_flops(p) / 1e12);
}

// "start: driver 0.31 s, kernels 0.12, parameters 0.52".
static void print_start(const profile *p, FILE *out) {
  int count;
  const start_part *parts = device_starts(p->on, &count);
  for (int i = 0; i < count; ++i)
    fprintf(out, "%s%s %.2f%s", i ? ", " : "start: ", parts[i].what, parts[i].seconds, i ? "" : " s");
  if (count) fputc('\n', out);
}

void profile_print(const profile *p, FILE *out) {
  print_device(p, out);
  if (!p->timed || !p->tokens) {
    fputs("no step was profiled: that takes two of them, as the first is cold\n", out);
    return;
  }
  tables t = {0};
  gather(p, &t);
  print_step(p, &t.all, out);
  print_start(p, out);
  print_table(p, &t.kernels, "kernel", t.all.seconds, out);
  print_table(p, &t.groups, "what passes have put together", t.all.seconds, out);
  print_table(p, &t.nodes, "node or arrow (an equal share of what is done together)", t.all.seconds, out);
  free_shares(&t.kernels);
  free_shares(&t.groups);
  free_shares(&t.nodes);
}
