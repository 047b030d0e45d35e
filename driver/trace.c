// trace: one batch, everything written down.
#include "driver/run_options.h"
#include "runtime/trace.h"

enum { CAPACITY_STEP = 16 };

static int want_entries(const run_options *o, const network_source *s, const trace_batch *b, int phase,
                        entry_wanted wanted[5]) {
  int count = 0;
  wanted[count++] = (entry_wanted){.kind = ENTRY_TRACE,
                                   .phase = phase,
                                   .batch = b->batch,
                                   .length = b->length,
                                   .gradients = o->gradients || o->steps};
  if (o->steps) wanted[count++] = (entry_wanted){.kind = ENTRY_UPDATE, .phase = phase};
  if (!o->greedy) return count;
  int64_t capacity = (s->prefix + TRACE_PROMPT + o->greedy + CAPACITY_STEP - 1) / CAPACITY_STEP * CAPACITY_STEP;
  const int64_t chunks[] = {1, TRACE_PROMPT, 0};
  for (int i = 0; i < (s->prefix ? 3 : 2); ++i)
    wanted[count++] =
        (entry_wanted){.kind = ENTRY_EXTEND, .phase = -1, .batch = 1, .length = chunks[i], .capacity = capacity};
  return count;
}

static bool trace(const run_options *o, network_source *s, const trace_batch *b, lmn_network **network,
                  lmn_error *error) {
  int phase = 0;
  if (o->phases.count && (phase = source_phase(s, o->phases.items[0], error)) < 0) return false;
  if (s->classes && o->greedy) return fail(error, "--greedy needs a language model head; this network classifies");
  if (b->several && (o->greedy || o->steps))
    return fail(error, "%s: has several batches, input_ids [N, B, T]; --steps and --greedy need one, [B, T]",
                o->batch_file);
  entry_wanted wanted[5];
  int count = want_entries(o, s, b, phase, wanted);
  *network = run_network(o, s, wanted, count, error);
  if (!*network) return false;
  trace_options options = {
      .output = o->output, .phase = phase, .gradients = o->gradients, .steps = o->steps, .greedy = o->greedy};
  return trace_run(*network, b, &options, error);
}

int trace_command(const run_options *o) {
  lmn_error error = {0};
  network_source s = {0};
  trace_batch b = {0};
  lmn_network *network = NULL;
  bool ok = true;
  if (!o->batch_file) ok = fail(&error, "trace needs a batch: --batch FILE.safetensors");
  else if (!o->output) ok = fail(&error, "trace needs a file to write: -o OUT.safetensors");
  else if (o->phases.count > 1) ok = fail(&error, "trace runs one phase; %d are given", o->phases.count);
  ok = ok && run_source(o, &s, &error) && trace_read(o->batch_file, &b, &error) && trace(o, &s, &b, &network, &error);
  trace_free(&b);
  lmn_close(network);
  source_close(&s);
  return ok ? 0 : run_failed(&error);
}
