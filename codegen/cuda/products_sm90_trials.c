// The products of a network, each once, with all the tiles that are worth measuring: an entry each, which does the
// product a few times over memory of its own. Its name is the product's key, then the tiles; the first of a key's is
// what is taken without measuring.
#include "codegen/cuda/products_sm90_tiles.h"

#include <stdlib.h>

struct cuda_trials {
  arena *arena;
  plan plan;
  cuda_codegen *cg;
  const char **keys; // of products
  int key_count, key_capacity, entry_capacity;
};

cuda_trials *cuda_trials_create(arena *a, const char *architecture, const char *cache) {
  cuda_trials *t = ARENA_NEW(a, cuda_trials);
  *t = (cuda_trials){.arena = a};
  t->plan = (plan){.network = "trials", .target = architecture, .precision = "bf16", .tokenizer = "", .vocabulary = 1};
  t->cg = cuda_codegen_create(a, &t->plan, architecture, cache);
  return t;
}

void cuda_trials_destroy(cuda_trials *t) {
  if (!t) return;
  cuda_codegen_destroy(t->cg);
  free(t->keys);
  free(t->plan.entries);
}

int cuda_trials_count(const cuda_trials *t) { return t->key_count; }

// ---- memory of its own

static int64_t bytes_of(const char *type) { return is_bf16(type) ? 2 : 4; }

// Bytes of arg i, of A, B, C, columns, rows and extras, in the order of products.c.
static int64_t arg_bytes(const product *p, int64_t i) {
  const plan_gemm *g = &p->gemm;
  const int64_t all = g->m * g->n * g->groups;
  if (i < p->pieces) return (g->trans_a ? g->k : g->m) * g->lda * bytes_of(p->types.a);
  if ((i -= p->pieces) < p->pieces) return (g->trans_b ? g->n : g->k) * g->ldb * bytes_of(p->types.b);
  i -= p->pieces;
  if (p->stored && i < g->groups) return g->m * g->ldc * bytes_of(p->types.c);
  if ((i -= p->stored ? g->groups : 0) < p->kinds * g->groups) return g->n * (int64_t)sizeof(float);
  i -= p->kinds * g->groups;
  if (i < p->rows * (p->lists ? g->groups : 1))
    return (p->lists ? g->m * g->n : all) * (p->glu ? 2 : 1) * bytes_of(p->row_type);
  return all / sums_of(p) * bytes_of(p->extra_type);
}

// The launch's args anew, one behind the other, as well aligned as they were.
static void place_args(cuda_entry *e, plan_launch *to, const plan_launch *from, const product *p) {
  enum { ALIGNMENT = 256, TMA = 16 };
  int64_t at = 0;
  for (int i = 0; i < from->arg_count; ++i) {
    int64_t place = (at + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT + from->args[i].offset % TMA;
    cuda_arg(e, to, (plan_ref){SPACE_ARENA, place});
    at = place + arg_bytes(p, i);
  }
  e->arena_bytes = e->launches.entry->arena_bytes = at;
}

// ---- one trial

// Of the product in an entry: as many as take a millisecond or so.
static int repeats_of(const product *p) {
  enum { RATE = 600000000, MICROSECONDS = 1000, LEAST = 3, MOST = 24 };
  double each = 2.0 * (double)p->gemm.m * (double)p->gemm.n * (double)p->gemm.k * (double)p->pieces / RATE;
  int count = (int)(MICROSECONDS / (each + 1));
  return count < LEAST ? LEAST : count > MOST ? MOST : count;
}

static cuda_source copy_source(const cuda_source *s) {
  cuda_source copy = {.table = s->table};
  if (s->functions.data) text_add(&copy.functions, s->functions.data);
  return copy;
}

static bool add_trial(cuda_entry *e, const plan_launch *l, const product *p, const cuda_source *s, const char *key,
                      const choice *c, lmn_error *error) {
  cuda_trials *t = e->trials;
  GROW(t->plan.entries, t->plan.entry_count, t->entry_capacity);
  plan_entry *entry = &t->plan.entries[t->plan.entry_count++];
  const char *tiles = tiles_text(t->arena, c);
  *entry = (plan_entry){.name = arena_printf(t->arena, "%s: %s", key, tiles), .kind = ENTRY_EVALUATE, .phase = -1};
  const int repeats = repeats_of(p);
  entry->launches = ARENA_ARRAY(t->arena, plan_launch, repeats);
  entry->launch_count = 1;
  plan_launch *first = &entry->launches[0];
  *first = (plan_launch){.kind = LAUNCH_CUDA, .what = l->what, .shape = l->shape};
  first->flops = 2 * p->gemm.m * p->gemm.n * p->gemm.k * p->pieces;
  cuda_entry one = {.cg = t->cg,
                    .ir = e->ir,
                    .plan = &t->plan,
                    .arena = t->arena,
                    .launches = launches_of(t->arena, entry),
                    .architecture = e->architecture,
                    .tiles = tiles};
  place_args(&one, first, l, p);
  for (int i = 0; i < l->dim_count; ++i) cuda_dim(&one, first, l->dims[i]);
  cuda_source copy = copy_source(s);
  if (!sm90_product(&one, first, p, &copy, error)) return cuda_drop(&copy);
  while (entry->launch_count < repeats) entry->launches[entry->launch_count++] = *first;
  return true;
}

bool sm90_try(cuda_entry *e, const plan_launch *l, const product *p, const cuda_source *s, bool staged,
              lmn_error *error) {
  cuda_trials *t = e->trials;
  const char *key = product_key(t->arena, p, l->shape, staged);
  for (int i = 0; i < t->key_count; ++i)
    if (!strcmp(t->keys[i], key)) return true;
  GROW(t->keys, t->key_count, t->key_capacity);
  t->keys[t->key_count++] = key;
  choice tried[TILES_TRIED];
  const int count = tiles_worth_trying(p, staged, tried);
  for (int i = 0; i < count; ++i)
    if (!add_trial(e, l, p, s, key, &tried[i], error)) return fail_in(error, "%s", key);
  return true;
}

bool cuda_trials_finish(cuda_trials *t, const char *folder, lmn_error *error) {
  text json = {0}, path = {0};
  bool ok = directory_make(folder, error) && cuda_codegen_finish(t->cg, folder, error);
  if (ok) plan_write(&t->plan, &json);
  text_printf(&path, "%s/plan.json", folder);
  ok = ok && file_write(path.data, json.data, json.length, error);
  text_free(&json);
  text_free(&path);
  return ok;
}
