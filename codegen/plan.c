#include "codegen/plan.h"

#include "codegen/cost.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static source_kind source_of(init_kind init) {
  static const source_kind sources[] = {SOURCE_TENSOR, SOURCE_NORMAL, SOURCE_ONES, SOURCE_ZEROS};
  return sources[init];
}

static int64_t aligned(int64_t bytes) { return (bytes + 63) / 64 * 64; }

// Absolute, so that the artifact does not depend on the folder it is run in.
static const char *absolute(arena *a, const char *path) {
  char *resolved = realpath(path, NULL);
  if (!resolved && errno == ENOMEM) memory_exhausted(0);
  const char *result = arena_string(a, resolved ? resolved : path);
  free(resolved);
  return result;
}

// The embedding table that is its model's head too.
static bool is_tied(const graph *g, const parameter *p) {
  if (p->kind != PARAMETER_MODEL) return false;
  const model *m = &g->models[p->model].description;
  return m->tied && !strcmp(p->tensor, model_tensor_of(m, TENSOR_EMBEDDING).name);
}

// Whether no launch reads or writes it as float32: so it is with matrices that have a copy in bf16 and are never
// trained.
static bool *find_parked(arena *a, const plan *p, const graph *g, const parameter_list *list) {
  bool *parked = ARENA_ARRAY(a, bool, list->count + 1), *trained = ARENA_ARRAY(a, bool, list->count + 1);
  for (int i = 0; i < list->count; ++i) parked[i] = plan_is_bf16(p) && list->items[i].rank == 2;
  for (int phase = 0; phase < g->phase_count; ++phase) {
    graph_trained(g, list, phase, trained);
    for (int i = 0; i < list->count; ++i) parked[i] &= !trained[i];
  }
  return parked;
}

// Those that are parked last, each kind in the list's order: what lies side by side there does here. In bf16 a matrix
// behind vectors, and the first parked one, begins where its copy can be read by TMA, whatever their sizes.
static void lay_out_parameters(plan *p, const bool *parked) {
  for (int last = 0; last < 2; ++last) {
    int before = 1; // the rank of the one in front
    for (int i = 0; i < p->parameter_count; ++i) {
      plan_parameter *to = &p->parameters[i];
      int64_t bytes = to->elements * (int64_t)sizeof(float);
      if (parked[i] != last) continue;
      if (plan_is_bf16(p) && to->rank > before) p->parameter_bytes = aligned(p->parameter_bytes);
      to->offset = p->parameter_bytes;
      p->parameter_bytes += bytes;
      if (last) p->parked_bytes += bytes;
      before = to->rank;
    }
  }
}

static void add_parameters(arena *a, plan *p, const graph *g, const parameter_list *list) {
  static const char *const groups[] = {"model", "vertex", "edge", "project", "head", "prefix"};
  const char **directories = ARENA_ARRAY(a, const char *, g->model_count);
  for (int i = 0; i < g->model_count; ++i) directories[i] = absolute(a, g->models[i].description.directory);
  p->parameters = ARENA_ARRAY(a, plan_parameter, list->count);
  p->parameter_count = list->count;
  for (int i = 0; i < list->count; ++i) {
    const parameter *from = &list->items[i];
    int64_t elements = from->shape[0] * (from->rank == 2 ? from->shape[1] : 1);
    p->parameters[i] = (plan_parameter){.name = from->name,
                                        .rank = from->rank,
                                        .shape = {from->shape[0], from->rank == 2 ? from->shape[1] : 1},
                                        .elements = elements,
                                        .source = source_of(from->init),
                                        .mean = from->mean,
                                        .std = from->std,
                                        .group = groups[from->kind],
                                        .matrix = from->matrix,
                                        .tied = is_tied(g, from)};
    if (from->init == INIT_TENSOR) {
      p->parameters[i].directory = directories[from->model];
      p->parameters[i].tensor = from->tensor;
    }
  }
  lay_out_parameters(p, find_parked(a, p, g, list));
}

static void add_trained(arena *a, plan *p, const graph *g, const parameter_list *list, int phase) {
  bool *trained = ARENA_ARRAY(a, bool, list->count + 1);
  graph_trained(g, list, phase, trained);
  plan_phase *to = &p->phases[phase];
  to->trained = ARENA_ARRAY(a, plan_trained, list->count);
  for (int i = 0; i < list->count; ++i) {
    if (!trained[i]) continue;
    to->trained[to->trained_count++] = (plan_trained){i, to->gradient_bytes};
    to->gradient_bytes += p->parameters[i].elements * (int64_t)sizeof(float);
  }
}

plan_phase plan_phase_of(const settings *s) {
  return (plan_phase){.name = s->phase,
                      .lr = s->optimizer.lr,
                      .beta1 = s->optimizer.beta1,
                      .beta2 = s->optimizer.beta2,
                      .eps = s->optimizer.eps,
                      .weight_decay = s->optimizer.weight_decay,
                      .clip = s->clip,
                      .label_smoothing = s->label_smoothing,
                      .decay_all = s->optimizer.decay_all,
                      .schedule = (int)s->schedule.kind,
                      .warmup = s->schedule.warmup,
                      .steps = s->steps,
                      .epochs = s->epochs,
                      .batch = s->batch,
                      .length = s->length,
                      .accumulate = s->accumulate,
                      .evaluate_every = s->evaluate_every,
                      .save_every = s->save_every,
                      .schedule_final = s->schedule.final,
                      .seed = s->seed,
                      .data = s->data,
                      .validation = s->validation,
                      .prompt = s->prompt,
                      .completion = s->completion};
}

static void add_phases(arena *a, plan *p, const graph *g, const parameter_list *list) {
  p->phases = ARENA_ARRAY(a, plan_phase, g->phase_count);
  p->phase_count = g->phase_count;
  for (int i = 0; i < g->phase_count; ++i) {
    p->phases[i] = plan_phase_of(&g->phases[i]);
    add_trained(a, p, g, list, i);
  }
}

plan *plan_create(arena *a, const graph *g, const parameter_list *parameters, const char *precision) {
  const model *input = &g->models[g->nodes[0].model].description,
              *output = &g->models[g->nodes[g->node_count - 1].model].description;
  plan *p = ARENA_NEW(a, plan);
  *p = (plan){.network = g->name,
              .target = "cpu",
              .precision = precision,
              .tokenizer = absolute(a, input->directory),
              .classes = g->classes,
              .prefix = g->prefix,
              .vocabulary = g->classes ? input->vocabulary : output->vocabulary,
              .learned_positions = input->learned_positions,
              .positions = input->learned_positions ? input->positions : 0,
              .bos = input->bos,
              .pad = input->pad,
              .eos_count = input->eos_count};
  memcpy(p->eos, input->eos, sizeof p->eos);
  add_parameters(a, p, g, parameters);
  add_phases(a, p, g, parameters);
  return p;
}

// ---- entries ------------------------------------------------------------------------------------

static plan_value value_entry(const ir *m, MlirValue v, const char *name) {
  MlirType type = mlirValueGetType(v);
  plan_value value = {.name = name, .rank = (int)mlirShapedTypeGetRank(type), .at = ir_place(v)};
  value.type = mlirTypeIsAInteger(mlirShapedTypeGetElementType(type)) ? TYPE_I32 : TYPE_F32;
  for (int i = 0; i < value.rank; ++i) value.shape[i] = mlirShapedTypeGetDimSize(type, i);
  // Hidden states are [B T', D] to kernels and [B, T', D] to people.
  int64_t batch = m->shape.batch;
  if (value.rank == 2 && value.type == TYPE_F32 && m->shape.kind == ENTRY_TRACE && value.shape[0] % batch == 0) {
    value = (plan_value){name, TYPE_F32, 3, {batch, value.shape[0] / batch, value.shape[1]}, value.at};
  }
  return value;
}

static bool is_input(const ir *m, MlirOperation op) {
  return ir_code(m, op) == KERNEL_BUFFER && !strcmp(ir_text(m, op, "space"), "input");
}

static void add_values(plan_entry *e, ir *m) {
  op_list ops = ir_ops(m);
  e->inputs = ARENA_ARRAY(m->arena, plan_value, ops.count);
  e->outputs = ARENA_ARRAY(m->arena, plan_value, ops.count);
  for (int i = 0; i < ops.count; ++i) {
    MlirOperation op = ops.items[i];
    bool input = is_input(m, op), output = ir_code(m, op) == KERNEL_OUTPUT;
    if (!input && !output) continue;
    MlirValue v = input ? mlirOperationGetResult(op, 0) : mlirOperationGetOperand(op, 0);
    plan_value value = value_entry(m, v, ir_text(m, op, "name"));
    bool there = false; // without cse an input may be asked for more than once
    for (int k = 0; input && k < e->input_count; ++k) there |= !strcmp(e->inputs[k].name, value.name);
    if (there) continue;
    int64_t end = value.at.offset + aligned(value_elements(v) * 4);
    if (input) e->inputs[e->input_count++] = value;
    else e->outputs[e->output_count++] = value;
    int64_t *bytes = input ? &e->input_bytes : &e->output_bytes;
    if (end > *bytes) *bytes = end;
  }
}

static const char *entry_name(const plan *p, const ir *m) {
  const entry_shape *s = &m->shape;
  const char *kind = entry_kind_names[s->kind],
             *phase = s->phase >= 0 && s->phase < p->phase_count ? p->phases[s->phase].name : "";
  long long batch = s->batch, length = s->length, capacity = s->capacity;
  switch (s->kind) {
  case ENTRY_UPDATE: return arena_printf(m->arena, "%s:%s", kind, phase);
  case ENTRY_EXTEND: return arena_printf(m->arena, "%s:%lldx%lld:%lld", kind, batch, length, capacity);
  case ENTRY_EVALUATE: return arena_printf(m->arena, "%s:%lldx%lld%s", kind, batch, length, s->packed ? ":packed" : "");
  default: return arena_printf(m->arena, "%s:%s:%lldx%lld%s", kind, phase, batch, length, s->packed ? ":packed" : "");
  }
}

plan_entry *plan_add_entry(plan *p, ir *m) {
  const entry_shape *s = &m->shape;
  plan_entry *e = &p->entries[p->entry_count++];
  *e = (plan_entry){.name = entry_name(p, m),
                    .kind = s->kind,
                    .phase = s->kind == ENTRY_EVALUATE || s->kind == ENTRY_EXTEND ? -1 : s->phase,
                    .batch = s->batch,
                    .length = s->length,
                    .capacity = s->capacity,
                    .packed = s->packed,
                    .recompute = m->recompute ? recompute_name(m->arena, m->recompute) : NULL,
                    .arena_bytes = m->arena_bytes,
                    .cache_bytes = m->cache_bytes,
                    .vertex_runs = m->vertex_runs,
                    .vertices = m->vertices,
                    .masks = m->masks,
                    .mask_uses = m->mask_uses,
                    .flops = cost_of(m).flops};
  add_values(e, m);
  return e;
}
