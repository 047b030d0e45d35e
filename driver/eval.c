// eval: mean loss and perplexity over a data set; of a classifier the accuracy too.
#include "driver/data.h"

#include <math.h>
#include <string.h>

static void print_result(const run_options *o, const network_source *s, const evaluation *e,
                         const dataset_counts *counts) {
  double loss = evaluation_loss(e), accuracy = (double)e->right / (double)e->labels;
  if (o->json) {
    json_t *root = json_pack("{s:s, s:f, s:f, s:I, s:I}", "network", s->network, "loss", loss, "perplexity", exp(loss),
                             "labels", (json_int_t)e->labels, "rows", (json_int_t)counts->rows);
    if (s->classes) json_object_set_new(root, "accuracy", json_real(accuracy));
    json_dumpf(root, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9));
    putchar('\n');
    json_decref(root);
    return;
  }
  printf("loss %.5f  perplexity %.3f", loss, exp(loss));
  if (s->classes) printf("  accuracy %.4f (%lld of %lld)", accuracy, (long long)e->right, (long long)e->labels);
  printf("  over %lld %s of %lld rows\n", (long long)e->labels, s->classes ? "labels" : "tokens",
         (long long)counts->rows);
}

static bool evaluate(const run_options *o, network_source *s, const tokenizer *t, dataset **data, lmn_network **network,
                     lmn_error *error) {
  int phase = 0;
  if (o->phases.count && (phase = source_phase(s, o->phases.items[0], error)) < 0) return false;
  const plan_phase *p = &s->phases[phase];
  if (!o->data && !p->validation && !p->data) return fail(error, "eval needs data: --data FILE");
  *data = data_open(o, s, p, t, o->data, p->validation ? p->validation : p->data, false, error);
  if (!*data) return false;
  entry_wanted wanted = {
      .kind = ENTRY_EVALUATE, .phase = -1, .batch = p->batch, .length = p->length, .packed = o->pack};
  *network = run_network(o, s, &wanted, 1, error);
  if (!*network) return false;
  batch_source batches = data_batches(*data);
  evaluation result;
  if (!evaluate_source(*network, &batches, NULL, NULL, &result, error)) return false;
  if (!result.labels) return fail(error, "no token of the data counts: are the prompts longer than --length?");
  dataset_counts counts = dataset_count(*data);
  print_result(o, s, &result, &counts);
  return true;
}

int eval_command(const run_options *o) {
  lmn_error error = {0};
  network_source s = {0};
  tokenizer *t = NULL;
  dataset *data = NULL;
  lmn_network *network = NULL;
  bool ok = run_source(o, &s, &error) && (t = tokenizer_open(s.tokenizer, &error)) &&
            evaluate(o, &s, t, &data, &network, &error);
  dataset_close(data);
  tokenizer_close(t);
  lmn_close(network);
  source_close(&s);
  return ok ? 0 : run_failed(&error);
}
