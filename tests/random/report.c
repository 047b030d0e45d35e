#include "report.h"

#include "runtime/safetensors.h"

#include <stdlib.h>

static bool write_parameters(const subject *s, const run_data *data, const char *path, lmn_error *error) {
  int count = s->list->count;
  safetensors_item *items = ARENA_ARRAY(s->arena, safetensors_item, count + 1);
  for (int i = 0; i < count; ++i) {
    const parameter *p = &s->list->items[i];
    items[i] = (safetensors_item){p->name, STORED_F32, p->rank, {p->shape[0], p->shape[1]}, data->parameters[i]};
  }
  return safetensors_write(path, items, count, NULL, 0, error);
}

static bool write_batch(const subject *s, const lmn_batch *b, const char *path, lmn_error *error) {
  bool classes = s->graph->classes != 0;
  const safetensors_item items[] = {{"input_ids", STORED_I32, 2, {b->batch, b->length}, b->input_ids},
                                    {"labels", STORED_I32, classes ? 1 : 2, {b->batch, b->length}, b->labels},
                                    {"last", STORED_I32, 1, {b->batch}, b->last}};
  return safetensors_write(path, items, (int)LENGTH(items), NULL, 0, error);
}

static void print_commands(const subject *s, run_shape shape, int variant) {
  const char *root = s->folder;
  printf("to see it again:\n  build/tests/random_networks /tmp/random --net %s/net.lmn --seed %llu -B %lld -T %lld "
         "--phase %d "
         "--recompute %s%s%s\n",
         root, (unsigned long long)shape.seed, (long long)shape.batch, (long long)shape.length, shape.phase,
         recompute_name(s->arena, shape.recompute), shape.packed ? " --packed" : "",
         shape.generates ? " --generate" : "");
  // trace takes neither packed rows nor a policy, and two traces show nothing where every variant is wrong
  if (shape.packed || shape.recompute || variant == VARIANT_ALL_OFF) return;
  printf("or, with LMN_MODELS=%s:\n", getenv("LMN_MODELS"));
  for (int i = 0; i < 2; ++i)
    printf("  lmnc trace %s/net.lmn --random-weights --init %s/init.safetensors --batch %s/batch.safetensors --grad "
           "--phase %s %s -o %d.safetensors\n",
           root, root, root, s->graph->phases[shape.phase].phase, variant_options(i ? variant : VARIANT_ALL_OFF), i);
  printf("  compare 0.safetensors 1.safetensors\n");
}

void report_failure(kernel_store *k, const char *folder, const char *lmn, run_shape shape, int variant) {
  subject s;
  lmn_error error = {0};
  text path = {0};
  unsigned variants = 1u << VARIANT_ALL_OFF | 1u << variant;
  subject_prepare(&s, k, folder, lmn, shape, variants);
  if (!s.finding.found && kernels_compile(k, &error)) subject_check(&s);
  printf("the least network that was found to fail: %s\n\n%s\n", s.finding.text, lmn);
  if (s.graph) {
    run_data data = data_draw(&s);
    text_printf(&path, "%s/init.safetensors", folder);
    bool ok = write_parameters(&s, &data, path.data, &error);
    path.length = 0;
    text_printf(&path, "%s/batch.safetensors", folder);
    ok = ok && write_batch(&s, &data.batch, path.data, &error);
    if (ok) print_commands(&s, shape, variant);
    else fprintf(stderr, "error: %s\n", error.text);
  }
  fflush(stdout);
  text_free(&path);
  subject_close(&s);
}
