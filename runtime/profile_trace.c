// The format: https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU (Trace Event Format).
#include "runtime/profile_parts.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { TRACK_ENTRIES = 1, TRACK_NODES, TRACK_KERNELS };

static void name_track(json_t *events, int track, const char *name) {
  json_array_append_new(events, json_pack("{s:s, s:s, s:i, s:i, s:{s:s}}", "name", "thread_name", "ph", "M", "pid", 1,
                                          "tid", track, "args", "name", name));
}

// A slice: its times in seconds since the first. args may be NULL.
static void add_slice(json_t *events, int track, const char *name, double from, double seconds, json_t *args) {
  json_t *event = json_pack("{s:s, s:s, s:i, s:i, s:f, s:f}", "name", name, "ph", "X", "pid", 1, "tid", track, "ts",
                            from * 1e6, "dur", seconds * 1e6);
  if (args) json_object_set_new(event, "args", args);
  json_array_append_new(events, event);
}

static json_t *describe(const plan *p, const plan_launch *l, double seconds) {
  const char *group = profile_group(p, l);
  json_t *args = json_object();
  if (l->kernel) json_object_set_new(args, "kernel", json_string(l->kernel));
  if (l->what) json_object_set_new(args, "op", json_string(l->what));
  if (l->shape) json_object_set_new(args, "shape", json_string(l->shape));
  if (group) json_object_set_new(args, "nodes", json_string(group));
  if (l->flops && seconds > 0) json_object_set_new(args, "TFLOP/s", json_real((double)l->flops / seconds / 1e12));
  if (l->bytes && seconds > 0) json_object_set_new(args, "GB/s", json_real((double)l->bytes / seconds / 1e9));
  return args;
}

// Launches that follow each other for the same nodes are one slice of these.
static void add_run(json_t *events, const profile *p, const profile_run_record *r, double origin) {
  const plan_entry *e = &p->plan->entries[r->entry];
  double at = r->began - origin, node_from = at;
  int group = e->launch_count ? e->launches[0].group : 0;
  for (int i = 0; i <= e->launch_count; ++i) {
    const plan_launch *l = i < e->launch_count ? &e->launches[i] : NULL;
    if (l && l->rides) continue;
    if (!l || l->group != group) {
      const char *names = group ? p->plan->groups[group - 1] : "(no one node)";
      if (at > node_from) add_slice(events, TRACK_NODES, names, node_from, at - node_from, NULL);
      node_from = at;
    }
    if (!l) break;
    group = l->group;
    char name[128];
    profile_kernel(l, profile_riders(e, i), name);
    add_slice(events, TRACK_KERNELS, name, at, r->seconds[i], describe(p->plan, l, r->seconds[i]));
    at += r->seconds[i];
  }
  char name[256];
  snprintf(name, sizeof name, "step %lld: %s", (long long)r->step, e->name);
  add_slice(events, TRACK_ENTRIES, name, r->began - origin, at - (r->began - origin), NULL);
}

bool profile_trace(const profile *p, const char *path, lmn_error *error) {
  json_t *events = json_array();
  json_array_append_new(events, json_pack("{s:s, s:s, s:i, s:{s:s}}", "name", "process_name", "ph", "M", "pid", 1,
                                          "args", "name", p->device));
  name_track(events, TRACK_ENTRIES, "entries");
  name_track(events, TRACK_NODES, "nodes");
  name_track(events, TRACK_KERNELS, "kernels");
  for (int i = 0; i < p->run_count; ++i) add_run(events, p, &p->runs[i], p->runs[0].began);
  json_t *root = json_pack("{s:o, s:s}", "traceEvents", events, "displayTimeUnit", "ms");
  char *printed = json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(10));
  bool ok = printed ? file_write(path, printed, strlen(printed), error) : fail(error, "%s: is no valid JSON", path);
  free(printed);
  json_decref(root);
  return ok;
}
