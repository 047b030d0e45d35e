// How far runs in bf16 are from those in float32, tensor by tensor: the root mean square of the difference over 16
// batches, against that of PyTorch's own bf16 over the same batches, which scripts/bf16-reference wrote. Held against
// the bars:
//   each tensor       at most 1.5 times as far
//   all of them       as far or less, in the geometric mean
//   losses            before and after optimizer steps, of another pair of files: within 1 %
// Prints the worst of each kind as a part of its bar; names what is over and exits with 1.
//
// usage: distance EXACT.safetensors ROUNDED.safetensors BF16.txt EXPECTED.safetensors ACTUAL.safetensors
#include "runtime/safetensors.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct worst {
  const char *kind;
  int count;
  double ratio;
  char name[512];
} worst;

static float *floats(const char *path, safetensors *file, const safetensors_tensor *t) {
  lmn_error error = {0};
  float *values = memory_alloc((size_t)(t->elements ? t->elements : 1) * sizeof *values);
  if (safetensors_floats(file, t, 0, t->elements, values, &error)) return values;
  fprintf(stderr, "distance: %s: %s: %s\n", path, t->name, error.text);
  exit(2);
}

static double distance(const char *const paths[2], safetensors *const files[2], const char *name) {
  const safetensors_tensor *t[2] = {safetensors_find(files[0], name), safetensors_find(files[1], name)};
  if (!t[0] || !t[1] || t[0]->elements != t[1]->elements) return NAN;
  float *expected = floats(paths[0], files[0], t[0]), *actual = floats(paths[1], files[1], t[1]);
  double sum = 0;
  for (int64_t i = 0; i < t[0]->elements; ++i) sum += pow((double)actual[i] - (double)expected[i], 2);
  free(expected);
  free(actual);
  return sqrt(sum / (double)(t[0]->elements ? t[0]->elements : 1));
}

// Of the losses around the optimizer's steps the largest difference, as a part of the loss.
static double losses_off(const char *const paths[2], safetensors *const files[2]) {
  const safetensors_tensor *t[2] = {safetensors_find(files[0], "losses"), safetensors_find(files[1], "losses")};
  if (!t[0] || !t[1] || t[0]->elements != t[1]->elements) return NAN;
  float *expected = floats(paths[0], files[0], t[0]), *actual = floats(paths[1], files[1], t[1]);
  double worst = 0;
  for (int64_t i = 0; i < t[0]->elements; ++i) {
    double off = fabs((double)actual[i] - (double)expected[i]) / fabs((double)expected[i]);
    if (!(off <= worst)) worst = off;
  }
  free(expected);
  free(actual);
  return worst;
}

typedef struct tally {
  int tensors, failures;
  double logarithms; // of what is as far as PyTorch's, one by one
  worst kinds[2];    // values, gradients
} tally;

static const double factor = 1.5, losses_bar = 0.01;

static void judge(tally *t, const char *name, double ours, double theirs) {
  double ratio = ours == 0 ? 0 : ours / theirs;
  worst *w = &t->kinds[!strncmp(name, "grad.", 5)];
  if (isnan(ratio)) ratio = INFINITY;
  if (!w->count++ || ratio > w->ratio) w->ratio = ratio, snprintf(w->name, sizeof w->name, "%s", name);
  ++t->tensors;
  t->logarithms += log(fmax(ratio, 1e-9));
  if (ratio <= factor) return;
  ++t->failures;
  printf("FAIL %s: %.3g, %.3g times PyTorch's distance in bf16\n", name, ours, ratio);
}

static bool report(tally *t, double losses) {
  double mean = exp(t->logarithms / (t->tensors ? t->tensors : 1));
  if (!t->tensors) ++t->failures, printf("FAIL: there are no tensors\n");
  if (!(mean <= 1)) ++t->failures, printf("FAIL all: %.3g times as far as PyTorch, in the mean\n", mean);
  if (!(losses <= losses_bar)) ++t->failures, printf("FAIL losses: %.3g of their size away\n", losses);
  for (int i = 0; i < 2; ++i)
    printf("%-10s %4d  worst %.3g of its bar (%s)\n", t->kinds[i].kind, t->kinds[i].count, t->kinds[i].ratio / factor,
           t->kinds[i].name);
  printf("losses        1  worst %.3g of its bar (losses)\n", losses / losses_bar);
  printf("all        %4d  %.3g times as far as PyTorch, in the mean\n", t->tensors, mean);
  return !t->failures;
}

static safetensors *open_or_exit(const char *path) {
  lmn_error error = {0};
  safetensors *file = safetensors_open(path, &error);
  if (file) return file;
  fprintf(stderr, "distance: %s\n", error.text);
  exit(2);
}

int main(int argument_count, char **arguments) {
  if (argument_count != 6) {
    fprintf(stderr, "usage: distance EXACT.safetensors ROUNDED.safetensors BF16.txt EXPECTED.safetensors "
                    "ACTUAL.safetensors\n");
    return 2;
  }
  const char *const paths[2] = {arguments[1], arguments[2]}, *const steps[2] = {arguments[4], arguments[5]};
  safetensors *files[2], *step_files[2];
  for (int i = 0; i < 2; ++i) files[i] = open_or_exit(paths[i]), step_files[i] = open_or_exit(steps[i]);
  FILE *list = fopen(arguments[3], "r");
  if (!list) {
    fprintf(stderr, "distance: %s cannot be read\n", arguments[3]);
    return 2;
  }
  tally t = {.kinds = {{.kind = "values"}, {.kind = "gradients"}}};
  char name[512];
  for (double theirs; fscanf(list, "%lf %511[^\n]", &theirs, name) == 2;)
    judge(&t, name, distance(paths, files, name), theirs);
  fclose(list);
  bool ok = report(&t, losses_off(steps, step_files));
  for (int i = 0; i < 2; ++i) safetensors_close(files[i]), safetensors_close(step_files[i]);
  return !ok;
}
