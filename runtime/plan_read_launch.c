// Reading the launches of plan.json.
#include "runtime/plan_fields.h"

// "i0 p64 a4096"
static void read_args(struct object *o, plan_launch *l, const int64_t bytes[SPACE_COUNT]) {
  const json_t *value = field_get(o, "args");
  const char *string = json_string_value(value);
  l->arg_count = string ? words_of(string) : -1;
  if (l->arg_count < 0) {
    FIELD_BAD(o, "args", "must be places with one space between them");
    return;
  }
  l->args = ARENA_ARRAY(o->reader->memory, plan_ref, l->arg_count);
  for (int i = 0; i < l->arg_count; ++i) {
    struct place place = {&o->place, "args", i};
    if (!field_ref(o->reader, &string, &place, bytes, &l->args[i])) return;
    if (*string && *string++ != ' ') {
      field_bad(o->reader, &place, "must be a space's letter and an offset, as \"a4096\"");
      return;
    }
  }
}

// The elements from the first to the last of a matrix with a leading dimension; -1 where it cannot be one.
static int64_t extent(int64_t rows, int64_t columns, int64_t leading) {
  int64_t elements;
  if (rows == 0 || columns == 0) return 0;
  if (leading < columns || __builtin_mul_overflow(rows - 1, leading, &elements) ||
      __builtin_add_overflow(elements, columns, &elements))
    return -1;
  return elements;
}

// Each group has a piece at least, and they are in order.
static bool pieces_fit(const plan_launch *l, const plan_gemm *g) {
  if (g->groups > l->dim_count || l->dim_count - g->groups <= GEMM_FIRST || l->dims[GEMM_FIRST]) return false;
  for (int64_t i = 0; i < g->groups; ++i)
    if (l->dims[GEMM_FIRST + i + 1] <= l->dims[GEMM_FIRST + i]) return false;
  return l->dims[GEMM_FIRST + g->groups] == g->pieces;
}

// "nt+ m n k lda ldb ldc groups", and pieces where groups have several
static void read_gemm(struct object *o, plan_launch *l, const int64_t bytes[SPACE_COUNT]) {
  const char *said = field_string(o, "gemm");
  plan_gemm *g = &l->gemm;
  bool letters = (said[0] == 'n' || said[0] == 't') && (said[1] == 'n' || said[1] == 't');
  g->trans_a = letters && said[0] == 't';
  g->trans_b = letters && said[1] == 't';
  g->accumulate = letters && said[2] == '+';
  int count = 0;
  int64_t *n =
      letters && said[2 + g->accumulate] == ' ' ? field_numbers(o, "gemm", said + 3 + g->accumulate, &count) : NULL;
  for (int i = 0; i < count; ++i) count = n[i] < 0 ? 0 : count;
  if (count != 7 && count != 8) {
    FIELD_BAD(o, "gemm", "must be as \"nt m n k lda ldb ldc groups\"");
    return;
  }
  g->m = n[0], g->n = n[1], g->k = n[2], g->lda = n[3], g->ldb = n[4], g->ldc = n[5], g->groups = n[6];
  g->pieces = count == 8 ? n[7] : 0;
  int64_t pieces = g->pieces ? g->pieces : g->groups;
  if (g->groups > l->arg_count || pieces > (l->arg_count - g->groups) / 2) {
    FIELD_BAD(o, "args", "are %d, too few for %lld groups", l->arg_count, (long long)g->groups);
    return;
  }
  if (g->pieces && !pieces_fit(l, g)) {
    FIELD_BAD(o, "dims", "do not say which of the %lld pieces each group has", (long long)g->pieces);
    return;
  }
  const int64_t extents[3] = {g->trans_a ? extent(g->k, g->m, g->lda) : extent(g->m, g->k, g->lda),
                              g->trans_b ? extent(g->n, g->k, g->ldb) : extent(g->k, g->n, g->ldb),
                              extent(g->m, g->n, g->ldc)};
  for (int operand = 0; operand < 3; ++operand)
    for (int64_t i = 0; i < (operand < 2 ? pieces : g->groups); ++i) {
      plan_ref ref = l->args[operand * pieces + i];
      if (!space_holds(ref.offset, extents[operand], bytes[ref.space]))
        field_bad(o->reader, &(struct place){&o->place, "args", (int)(operand * pieces + i)},
                  "matrix %c does not lie in the %lld bytes of the space", "ABC"[operand], (long long)bytes[ref.space]);
    }
}

// ["a4096 2 896 4096 1 1792 0 64 128 128", …]; with pieces two more numbers
static void read_maps(struct object *o, plan_launch *l, const int64_t bytes[SPACE_COUNT]) {
  enum { NUMBERS = 9, PIECES = 11 };
  const json_t *all = field_list(o, "maps", &l->map_count);
  l->maps = ARENA_ARRAY(o->reader->memory, plan_map, l->map_count);
  for (int i = 0; i < l->map_count && !o->reader->failed; ++i) {
    struct place place = {&o->place, "maps", i};
    const char *at = json_string_value(json_array_get(all, (size_t)i));
    plan_map *m = &l->maps[i];
    int count = 0;
    bool ok = at && field_ref(o->reader, &at, &place, bytes, &m->at) && *at++ == ' ';
    const int64_t *n = ok ? field_numbers(o, "maps", at, &count) : NULL;
    if (count != NUMBERS && count != PIECES) {
      field_bad(o->reader, &place, "must be a place and %d numbers, or %d", NUMBERS, PIECES);
      return;
    }
    *m = (plan_map){m->at, n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8], 0, 0};
    if (count == PIECES) m->pieces = n[9], m->box_pieces = n[10];
    char why[PLAN_WHY];
    if (!plan_check_map(m, bytes[m->at.space], why)) field_bad(o->reader, &place, "%s", why);
  }
}

// "maps args dims"
static void read_room(struct object *o, plan_launch *l) {
  const char *said = field_string_or_null(o, "room");
  if (!said) return;
  int count = 0;
  const int64_t *n = field_numbers(o, "room", said, &count);
  const int64_t least[] = {l->map_count, l->arg_count, l->dim_count};
  bool ok = count == 3 && n[1] >= 1 && !n[0] == !l->map_count;
  for (int i = 0; ok && i < 3; ++i) ok = n[i] >= least[i] && n[i] <= CUDA_MAPS_PARAMETER_BYTES;
  if (ok) l->room = (cuda_room){n[0], n[1], n[2]};
  else FIELD_BAD(o, "room", "must be as many maps, args and dims as there are, or more");
}

// "grid x y z, threads, shared memory"
static void read_cuda(struct object *o, plan_launch *l, const int64_t bytes[SPACE_COUNT]) {
  enum { THREADS = 1024, GRID_YZ = 65535 };
  int count = 0;
  const int64_t *n = field_numbers(o, "cuda", field_string(o, "cuda"), &count);
  bool ok = count == 5 && n[3] >= 1 && n[3] <= THREADS && n[4] >= 0 && n[4] <= CUDA_SHARED_BYTES;
  for (int i = 0; ok && i < 3; ++i) ok = n[i] >= 1 && n[i] <= (i ? GRID_YZ : INT32_MAX);
  if (!ok) {
    FIELD_BAD(o, "cuda", "must be three sizes of a grid, up to %d threads and up to %d bytes of shared memory", THREADS,
              CUDA_SHARED_BYTES);
    return;
  }
  for (int i = 0; i < 3; ++i) l->grid[i] = n[i];
  l->block = n[3], l->shared = n[4];
  l->table = field_flag(o, "table");
  l->processors = field_flag(o, "processors");
  if (json_object_get(o->json, "maps")) read_maps(o, l, bytes);
  read_room(o, l);
  if (l->map_count && (l->table || plan_parameter_bytes(l) > CUDA_MAPS_PARAMETER_BYTES))
    FIELD_BAD(o, "maps", "cannot be passed by value with %d args and %d dims", l->arg_count, l->dim_count);
  if (l->table && l->room.args) FIELD_BAD(o, "room", "does not go with table");
  if (!l->map_count && !l->table && plan_parameter_bytes(l) > CUDA_PARAMETER_BYTES)
    FIELD_BAD(o, "table", "must be true: %d args and %d dims are too many to be passed by value", l->arg_count,
              l->dim_count);
  if (l->rides || l->scratch) FIELD_BAD(o, "cuda", "does not go with rides and scratch");
}

// "12 15": launches before this one, which is the index-th.
static void read_after(struct object *o, plan_launch *l, int index) {
  const char *said = field_string_or_null(o, "after");
  if (!said) return;
  l->ordered = true;
  l->after = field_numbers(o, "after", said, &l->after_count);
  for (int i = 0; i < l->after_count; ++i)
    if (l->after[i] < (i ? l->after[i - 1] + 1 : 0) || l->after[i] >= index) {
      FIELD_BAD(o, "after", "must be launches before this one, in order");
      return;
    }
}

void read_launch(struct object *o, plan_launch *l, int index, const int64_t bytes[SPACE_COUNT]) {
  l->kernel = field_string_or_null(o, "kernel");
  if (l->kernel &&
      (!*l->kernel || l->kernel[strspn(l->kernel, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")]))
    FIELD_BAD(o, "kernel", "\"%.60s\" is no kernel's name", l->kernel);
  l->what = field_string_or_null(o, "what");
  l->shape = field_string_or_null(o, "shape");
  int64_t group = field_integer_or(o, "group", 0);
  if (group > o->reader->plan->group_count)
    FIELD_BAD(o, "group", "is %lld; there are %d", (long long)group, o->reader->plan->group_count);
  l->group = (int)group;
  l->flops = field_integer_or(o, "flops", 0);
  l->bytes = field_integer_or(o, "bytes", 0);
  l->vertices = field_integer_or(o, "vertices", 0);
  l->rides = field_flag(o, "rides");
  l->tasks = field_integer_or(o, "tasks", 0);
  l->grain = field_integer_or(o, "grain", 0);
  l->scratch = field_integer_or(o, "scratch", 0);
  read_args(o, l, bytes);
  const char *dims = field_string_or_null(o, "dims");
  if (dims) l->dims = field_numbers(o, "dims", dims, &l->dim_count);
  l->kind = json_object_get(o->json, "cuda")   ? LAUNCH_CUDA
            : json_object_get(o->json, "gemm") ? LAUNCH_GEMM
                                               : LAUNCH_KERNEL;
  if (plan_is_cpu(o->reader->plan) != (l->kind != LAUNCH_CUDA))
    field_bad(o->reader, &o->place, "is no launch for the target %s", o->reader->plan->target);
  if (l->kind == LAUNCH_GEMM && !o->reader->failed) read_gemm(o, l, bytes);
  if (l->kind == LAUNCH_CUDA && !o->reader->failed) read_cuda(o, l, bytes);
  if (l->kind == LAUNCH_CUDA && !o->reader->failed) read_after(o, l, index);
  if (l->kind != LAUNCH_GEMM && !l->kernel) FIELD_BAD(o, "kernel", "is missing");
}
