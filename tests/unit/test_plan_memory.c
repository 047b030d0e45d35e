// links: codegen
// Whatever plan-memory does, an op must find in its operands' bytes what their makers left there. Every golden
// network's entries are run symbolically: each element of memory holds the name of what was last written to it, each
// value knows the names it should have. The same where ops run in any other order that their launches' `after` allows.
#include "codegen/order.h"
#include "codegen/plan.h"
#include "ir/build.h"
#include "passes/pipeline.h"
#include "tests/unit/lmn_text.h"

enum { UNIT = 2 }; // bytes that have a name: of the smallest element

typedef struct space {
  int64_t *names; // of each unit, 0: never written
  int64_t units;
} space;

typedef struct machine {
  ir *m;
  space spaces[SPACE_COUNT];
  int64_t **values; // expected names of each value, by number
  MlirValue *keys;
  int count, capacity;
  int64_t next_name;
  int checked;
} machine;

static int64_t *expected_of(machine *w, MlirValue v) {
  for (int i = w->count - 1; i >= 0; --i)
    if (mlirValueEqual(w->keys[i], v)) return w->values[i];
  fail_msg("a value without a maker");
  return NULL;
}

static int64_t units_of(MlirValue v) { return value_bytes(v) / UNIT; }

static int64_t *memory_of(machine *w, plan_ref place, int64_t units) {
  space *s = &w->spaces[place.space];
  int64_t first = place.offset / UNIT;
  if (first + units > s->units) {
    int64_t more = (first + units) * 2;
    s->names = memory_grow(s->names, (size_t)more * sizeof *s->names);
    memset(s->names + s->units, 0, (size_t)(more - s->units) * sizeof *s->names);
    s->units = more;
  }
  return s->names + first;
}

static void remember(machine *w, MlirValue v, int64_t *names) {
  if (w->count == w->capacity) {
    w->capacity = w->capacity ? 2 * w->capacity : 256;
    w->values = memory_grow(w->values, (size_t)w->capacity * sizeof *w->values);
    w->keys = memory_grow(w->keys, (size_t)w->capacity * sizeof *w->keys);
  }
  w->values[w->count] = names;
  w->keys[w->count++] = v;
}

static bool is_plain_stack(machine *w, MlirOperation op) {
  return ir_code(w->m, op) == KERNEL_COPY && ir_int(op, "n0") == 1 && !ir_int(op, "from") && !ir_int(op, "zero") &&
         ir_int(op, "columns") == ir_int(op, "from1") && ir_int(op, "columns") == ir_int(op, "to1") &&
         value_is_bf16(mlirOperationGetOperand(op, 0)) == value_is_bf16(mlirOperationGetResult(op, 0));
}

static void check_operands(machine *w, MlirOperation op) {
  for (intptr_t i = 0; i < mlirOperationGetNumOperands(op); ++i) {
    MlirValue v = mlirOperationGetOperand(op, i);
    int64_t units = units_of(v);
    if (memcmp(expected_of(w, v), memory_of(w, ir_place(v), units), (size_t)units * sizeof(int64_t))) {
      text printed = {0};
      ir_print(w->m, &printed);
      print_error("%s", printed.data);
      fail_msg("%s finds operand %d written over", op_name(ir_code(w->m, op)), (int)i);
    }
    ++w->checked;
  }
}

// The names that result `r` has: new ones, or for a stack and a view those of what they hold.
static int64_t *names_of(machine *w, MlirOperation op, MlirValue v) {
  int64_t units = units_of(v), *names = ARENA_ARRAY(w->m->arena, int64_t, units);
  if (ir_code(w->m, op) == KERNEL_VIEW) {
    memcpy(names, expected_of(w, mlirOperationGetOperand(op, 0)) + ir_int(op, "offset") / UNIT,
           (size_t)units * sizeof *names);
  } else if (is_plain_stack(w, op)) {
    for (intptr_t i = 0; i < mlirOperationGetNumOperands(op); ++i) {
      MlirValue part = mlirOperationGetOperand(op, i);
      memcpy(names + ir_int_at(op, "to", (int)i) * value_element_bytes(part) / UNIT, expected_of(w, part),
             (size_t)units_of(part) * sizeof *names);
    }
  } else {
    for (int64_t i = 0; i < units; ++i) names[i] = ++w->next_name;
  }
  return names;
}

static void run_op(machine *w, MlirOperation op) {
  check_operands(w, op);
  for (intptr_t r = 0; r < mlirOperationGetNumResults(op); ++r) {
    MlirValue v = mlirOperationGetResult(op, r);
    int64_t *names = names_of(w, op, v), *to = memory_of(w, ir_place(v), units_of(v));
    // Two buffers of one parameter, input or table are the same bytes.
    if (ir_code(w->m, op) == KERNEL_BUFFER && to[0]) memcpy(names, to, (size_t)units_of(v) * sizeof *names);
    remember(w, v, names);
    memcpy(to, names, (size_t)units_of(v) * sizeof *names);
  }
}

// ---- in other orders ----------------------------------------------------------------------------

static bool launches(op_code code) {
  return code != KERNEL_BUFFER && code != KERNEL_VIEW && code != KERNEL_MARK && code != KERNEL_OUTPUT &&
         code != KERNEL_GRADIENT;
}

static bool may_run(const plan_launch *l, int i, const bool *done) {
  if (!l->ordered) return !i || done[i - 1];
  for (int k = 0; k < l->after_count; ++k)
    if (!done[l->after[k]]) return false;
  return true;
}

// Of the launches that may run the last one, or one drawn at random.
static int next_launch(const plan_entry *e, const bool *done, random_stream *random) {
  int found = -1;
  uint64_t ready = 0;
  for (int i = 0; i < e->launch_count; ++i)
    if (!done[i] && may_run(&e->launches[i], i, done) && (!random || random_next(random) % ++ready == 0)) found = i;
  return found;
}

static void write_names(machine *w, MlirOperation op) {
  for (intptr_t r = 0; r < mlirOperationGetNumResults(op); ++r) {
    MlirValue v = mlirOperationGetResult(op, r);
    int64_t units = units_of(v);
    memcpy(memory_of(w, ir_place(v), units), expected_of(w, v), (size_t)units * sizeof(int64_t));
  }
}

static void run_again(machine *w, const op_list *ops, const plan_entry *e, const int *op_of, random_stream *random) {
  bool *done = memory_zero((size_t)e->launch_count + 1);
  for (int s = 0; s < SPACE_COUNT; ++s)
    if (w->spaces[s].units) memset(w->spaces[s].names, 0, (size_t)w->spaces[s].units * sizeof(int64_t));
  for (int i = 0; i < ops->count; ++i)
    if (ir_code(w->m, ops->items[i]) == KERNEL_BUFFER) write_names(w, ops->items[i]);
  for (int n = 0; n < e->launch_count; ++n) {
    int i = next_launch(e, done, random);
    check_operands(w, ops->items[op_of[i]]);
    write_names(w, ops->items[op_of[i]]);
    done[i] = true;
  }
  for (int i = 0; i < ops->count; ++i) // what is there at the end
    if (!launches(ir_code(w->m, ops->items[i])) && ir_code(w->m, ops->items[i]) != KERNEL_BUFFER &&
        !mlirOperationGetNumResults(ops->items[i]))
      check_operands(w, ops->items[i]);
  free(done);
}

// A launch for each op; how many wait for another one than that before them.
static int run_in_other_orders(machine *w, const op_list *ops) {
  int *first = ARENA_ARRAY(w->m->arena, int, ops->count + 1), *op_of = ARENA_ARRAY(w->m->arena, int, ops->count + 1);
  plan_entry e = {.launches = ARENA_ARRAY(w->m->arena, plan_launch, ops->count + 1)};
  memset(e.launches, 0, (size_t)(ops->count + 1) * sizeof *e.launches);
  for (int i = 0; i < ops->count; ++i) {
    first[i] = e.launch_count;
    if (launches(ir_code(w->m, ops->items[i]))) op_of[e.launch_count++] = i;
  }
  first[ops->count] = e.launch_count;
  order_launches(w->m->arena, w->m, ops, first, w->m->arena_bytes, &e);
  random_stream random = random_named(1, "order");
  run_again(w, ops, &e, op_of, NULL);
  for (int k = 0; k < 3; ++k) run_again(w, ops, &e, op_of, &random);
  int free_ones = 0;
  for (int i = 0; i < e.launch_count; ++i) free_ones += e.launches[i].ordered;
  return free_ones;
}

// target: NULL, or a GPU's, then in bf16.
static void run_entry(arena *a, MlirContext context, graph *g, entry_shape shape, const char *target,
                      const char *const *disabled, int disabled_count) {
  lmn_error error = {0};
  parameter_list *parameters = graph_parameters(a, g, true);
  ir *m = ir_create(a, context, g, parameters, shape, &error);
  const struct target *gpu = target ? target_find(target, &error) : NULL;
  m->plan = plan_create(a, g, parameters, gpu ? "bf16" : "f32");
  if (gpu) m->plan->target = gpu->name;
  pipeline_options options = {.target = gpu, .disabled = disabled, .disabled_count = disabled_count};
  if (!ir_build_lmn(m, &error) || pipeline_run(m, &options, &error) != PIPELINE_DONE) fail_msg("%s", error.text);
  machine w = {.m = m};
  op_list ops = ir_ops(m);
  for (int i = 0; i < ops.count; ++i) run_op(&w, ops.items[i]);
  assert_true(w.checked > 10);
  int free_ones = run_in_other_orders(&w, &ops);
  assert_true(free_ones > 0 || shape.kind != ENTRY_TRAIN);
  for (int i = 0; i < SPACE_COUNT; ++i) free(w.spaces[i].names);
  free(w.values);
  free(w.keys);
  ir_destroy(m);
}

static void run_network(const char *name, const char *target, const char *const *disabled, int disabled_count) {
  arena *a = arena_create();
  text messages = {0};
  char path[4096];
  snprintf(path, sizeof path, LMN_TESTS "/golden/%s/net.lmn", name);
  graph *g = graph_read(a, path, NULL, 0, NULL, 0, &messages);
  if (!g) fail_msg("%s", messages.data);
  MlirContext context = ir_context_create(NULL);
  static const entry_kind kinds[] = {ENTRY_TRAIN, ENTRY_EVALUATE, ENTRY_TRACE, ENTRY_EXTEND};
  for (size_t i = 0; i < LENGTH(kinds); ++i)
    run_entry(a, context, g,
              (entry_shape){.kind = kinds[i], .batch = 2, .length = 4, .capacity = 16, .gradients = true}, target,
              disabled, disabled_count);
  ir_context_destroy(context);
  arena_destroy(a);
}

static const char *const networks[] = {"classify-121-qwen", "code-14441-qwen",    "concat-project-qwen",
                                       "e2e-121-gpt2",      "paper-121-gpt2",     "paper-121-qwen",
                                       "single-qwen",       "tree-residual-llama"};

static void all_passes(void **state) {
  (void)state;
  for (size_t i = 0; i < LENGTH(networks); ++i) run_network(networks[i], NULL, NULL, 0);
}

static void on_a_gpu(void **state) {
  (void)state;
  for (size_t i = 0; i < LENGTH(networks); ++i) run_network(networks[i], "sm_90a", NULL, 0);
}

static void without_passes(void **state) {
  (void)state;
  static const char *const passes_off[] = {"share-vertices", "fuse-edges", "reuse-masks", "cse", "dce", "fuse-kernels"};
  run_network("concat-project-qwen", NULL, passes_off, LENGTH(passes_off));
  for (size_t i = 0; i < LENGTH(passes_off); ++i) run_network("e2e-121-gpt2", NULL, &passes_off[i], 1);
}

// An edge with a bias of 100 numbers, before its second matrix and, in memory, before the frozen ones.
static const char odd[] =
    NET("vertex v : m; input -> v [edge = mlp(100) then linear]; v -> output; train { phase p { freeze = models; } }");

// In bf16 matrices begin at whole 64 bytes, parked ones too; what lies side by side stays so.
static void parameters_are_aligned(void **state) {
  (void)state;
  arena *a = arena_create();
  text messages = {0};
  const graph *g = read_with(a, odd, NULL, 0, NULL, 0, &messages);
  if (!g) fail_msg("%s", messages.data);
  parameter_list *list = graph_parameters(a, g, true);
  const plan *bf16 = plan_create(a, g, list, "bf16"), *f32 = plan_create(a, g, list, "f32");
  int64_t border = bf16->parameter_bytes - bf16->parked_bytes, sum = 0;
  int matrices[2] = {0}, gaps = 0;
  for (int i = 0; i < list->count; ++i) {
    const plan_parameter *p = &bf16->parameters[i];
    sum += 4 * p->elements;
    if (i && p->rank == 1) gaps += p[-1].rank == 1 && p->offset != p[-1].offset + 4 * p[-1].elements;
    if (p->rank == 1) continue;
    assert_int_equal(p->offset % 64, 0);
    bool parked = p->offset >= border;
    assert_int_equal(parked, list->items[i].kind == PARAMETER_MODEL);
    ++matrices[parked];
    if (i && parked && p[-1].rank == 2) assert_int_equal(p->offset, p[-1].offset + 4 * p[-1].elements);
  }
  assert_true(matrices[0] == 3 && matrices[1] > 7 && !gaps && border % 64 == 0);
  assert_true(bf16->parameter_bytes > sum && bf16->parameter_bytes < sum + 4 * 64);
  assert_true(f32->parameter_bytes == sum && !f32->parked_bytes);
  arena_destroy(a);
}

// A parked parameter that is read in float32 is an error of the compiler's.
static void parked_is_not_read(void **state) {
  (void)state;
  arena *a = arena_create();
  text messages = {0};
  lmn_error error = {0};
  graph *g = read_with(a, odd, NULL, 0, NULL, 0, &messages);
  MlirContext context = ir_context_create(NULL);
  parameter_list *list = graph_parameters(a, g, true);
  ir *m = ir_create(a, context, g, list, (entry_shape){.kind = ENTRY_EVALUATE, .batch = 2, .length = 4}, &error);
  m->plan = plan_create(a, g, list, "bf16");
  m->plan->target = "sm_90a";
  m->plan->parked_bytes = m->plan->parameter_bytes; // vectors too
  pipeline_options options = {.target = target_find("sm_90a", &error)};
  assert_true(ir_build_lmn(m, &error));
  assert_int_not_equal(pipeline_run(m, &options, &error), PIPELINE_DONE);
  if (!strstr(error.text, "is read in float32, and is parked")) fail_msg("%s", error.text);
  ir_destroy(m);
  ir_context_destroy(context);
  arena_destroy(a);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(all_passes), cmocka_unit_test(on_a_gpu),
                                     cmocka_unit_test(without_passes), cmocka_unit_test(parameters_are_aligned),
                                     cmocka_unit_test(parked_is_not_read)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
