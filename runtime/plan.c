#include "runtime/plan.h"

#include <string.h>

const char *const plan_space_names[SPACE_COUNT] = {"parameter", "gradient", "moment1", "moment2", "arena", "input",
                                                   "output",    "constant", "cache",   "weight",  "sum"};
const char *const entry_kind_names[5] = {"train", "update", "evaluate", "extend", "trace"};

const plan_entry *plan_find(const plan *p, entry_kind kind, int phase, int64_t batch, int64_t length) {
  for (int i = 0; i < p->entry_count; ++i) {
    const plan_entry *e = &p->entries[i];
    if (e->kind == kind && e->phase == phase && e->batch == batch && e->length == length) return e;
  }
  return NULL;
}

int64_t gemm_pieces(const plan_gemm *g) { return g->pieces ? g->pieces : g->groups; }

cuda_room plan_room(const plan_launch *l) {
  return l->room.args ? l->room : (cuda_room){l->map_count, l->arg_count, l->dim_count};
}

int64_t plan_parameter_bytes(const plan_launch *l) {
  enum { MAP_ALIGNMENT = 64 };
  const cuda_room room = plan_room(l);
  int64_t bytes = CUDA_MAP_BYTES * room.maps + 8 * (room.args + room.dims);
  return room.maps ? (bytes + MAP_ALIGNMENT - 1) / MAP_ALIGNMENT * MAP_ALIGNMENT : bytes;
}

int plan_launches(const plan_entry *e) {
  int count = 0;
  for (int i = 0; i < e->launch_count; ++i) count += !e->launches[i].rides;
  return count;
}

bool plan_is_bf16(const plan *p) { return p->precision && !strcmp(p->precision, "bf16"); }

int64_t plan_weight_bytes(const plan *p) { return plan_is_bf16(p) ? p->parameter_bytes / 2 : 0; }

void plan_space_bytes(const plan *p, const plan_entry *e, int64_t bytes[SPACE_COUNT]) {
  int64_t gradient = e->phase >= 0 ? p->phases[e->phase].gradient_bytes : 0;
  bytes[SPACE_PARAMETER] = p->parameter_bytes - p->parked_bytes;
  bytes[SPACE_GRADIENT] = bytes[SPACE_MOMENT1] = bytes[SPACE_MOMENT2] = gradient;
  bytes[SPACE_ARENA] = e->arena_bytes;
  bytes[SPACE_INPUT] = e->input_bytes;
  bytes[SPACE_OUTPUT] = e->output_bytes;
  bytes[SPACE_CONSTANT] = p->constant_bytes;
  bytes[SPACE_CACHE] = e->cache_bytes;
  bytes[SPACE_WEIGHT] = plan_weight_bytes(p);
  bytes[SPACE_SUM] = e->kind == ENTRY_TRAIN && e->phase >= 0 && p->phases[e->phase].accumulate > 1 ? gradient : 0;
}

int64_t plan_bytes(const plan *p, const plan_entry *e) {
  int64_t bytes[SPACE_COUNT], sum = 0;
  plan_space_bytes(p, e, bytes);
  for (int i = 0; i < SPACE_COUNT; ++i) sum += bytes[i];
  return sum;
}
