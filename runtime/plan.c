#include "runtime/plan.h"

const char *const plan_space_names[SPACE_COUNT] = {"parameter", "gradient", "moment1",  "moment2", "arena",
                                                   "input",     "output",   "constant", "cache"};
const char *const entry_kind_names[5] = {"train", "update", "evaluate", "extend", "trace"};

const plan_entry *plan_find(const plan *p, entry_kind kind, int phase, int64_t batch, int64_t length) {
  for (int i = 0; i < p->entry_count; ++i) {
    const plan_entry *e = &p->entries[i];
    if (e->kind == kind && e->phase == phase && e->batch == batch && e->length == length) return e;
  }
  return NULL;
}

int64_t gemm_pieces(const plan_gemm *g) { return g->pieces ? g->pieces : g->groups; }

int plan_launches(const plan_entry *e) {
  int count = 0;
  for (int i = 0; i < e->launch_count; ++i) count += !e->launches[i].rides;
  return count;
}

int64_t plan_bytes(const plan *p, const plan_entry *e) {
  int64_t gradient = e->phase >= 0 ? p->phases[e->phase].gradient_bytes : 0;
  return p->parameter_bytes + p->constant_bytes + 3 * gradient + e->arena_bytes + e->input_bytes + e->output_bytes +
         e->cache_bytes;
}
