// Compares what `lmnc trace` wrote with what a reference gave, tensor by tensor, under the bar of each kind:
//   node.*, logits, greedy_logits   within 2e-5 of the tensor's largest magnitude, or within BAR of it
//   loss, losses                    within 1e-5 max(1, |loss|)
//   grad.*                          within 1e-4 of the largest magnitude, plus 1e-7
//   after<N>.*                      of the elements whose first gradient exceeds 1e-5, 99.9 % within 1e-5; all within N
//                                   learning rates (the file's metadata say the rate). AdamW divides by the gradient's
//                                   own size, so elements with next to none may go either way.
//   greedy and other integers       equal
// Prints the worst of each kind; names every tensor over its bar and exits with 1.
//
// usage: compare EXPECTED.safetensors ACTUAL.safetensors [BAR]
#include "runtime/safetensors.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef enum { KIND_VALUE, KIND_LOSS, KIND_GRADIENT, KIND_AFTER, KIND_EXACT, KIND_COUNT } kind;
static const char *const kind_names[KIND_COUNT] = {"values", "losses", "gradients", "after", "integers"};

typedef struct comparison {
  const char *paths[2];
  safetensors *files[2]; // expected, actual
  double learning_rate, bar;
  int counts[KIND_COUNT], failures;
  double worst[KIND_COUNT]; // as a part of the bar: 1 is just on it
  const char *worst_name[KIND_COUNT];
} comparison;

static bool begins(const char *string, const char *start) { return !strncmp(string, start, strlen(start)); }

// after3.name: 3, and *parameter is name. 0: the tensor is no such thing.
static long after_steps(const char *name, const char **parameter) {
  char *end;
  if (!begins(name, "after")) return 0;
  long steps = strtol(name + 5, &end, 10);
  if (steps < 1 || *end != '.') return 0;
  *parameter = end + 1;
  return steps;
}

static kind kind_of(const safetensors_tensor *t) {
  const char *parameter;
  if (t->type == STORED_I64 || t->type == STORED_I32) return KIND_EXACT;
  if (!strcmp(t->name, "loss") || !strcmp(t->name, "losses")) return KIND_LOSS;
  if (begins(t->name, "grad.")) return KIND_GRADIENT;
  return after_steps(t->name, &parameter) ? KIND_AFTER : KIND_VALUE;
}

static float *floats(const comparison *c, int file, const safetensors_tensor *t) {
  lmn_error error = {0};
  float *values = memory_alloc((size_t)(t->elements ? t->elements : 1) * sizeof *values);
  if (safetensors_floats(c->files[file], t, 0, t->elements, values, &error)) return values;
  fprintf(stderr, "compare: %s: %s: %s\n", c->paths[file], t->name, error.text);
  exit(2);
}

static void failed(comparison *c, const char *name, const char *what) {
  printf("FAIL %s: %s\n", name, what);
  ++c->failures;
}

// `ratio`: difference as a part of the bar; not a number counts as over it.
static void judge(comparison *c, kind k, const char *name, double ratio) {
  if (isnan(ratio)) ratio = INFINITY;
  ++c->counts[k];
  if (!c->worst_name[k] || ratio > c->worst[k]) c->worst[k] = ratio, c->worst_name[k] = name;
  if (ratio <= 1) return;
  char text[64];
  snprintf(text, sizeof text, "%.3g times its bar (%s)", ratio, kind_names[k]);
  failed(c, name, text);
}

static double largest(const float *values, int64_t count) {
  double result = 0;
  for (int64_t i = 0; i < count; ++i) result = fmax(result, fabs((double)values[i]));
  return result;
}

// Largest |a - b|; NAN where either is not a number.
static double largest_difference(const float *a, const float *b, int64_t count) {
  double result = 0;
  for (int64_t i = 0; i < count; ++i) {
    double difference = fabs((double)a[i] - (double)b[i]);
    if (isnan(difference)) return NAN;
    if (difference > result) result = difference;
  }
  return result;
}

static double loss_ratio(const float *expected, const float *actual, int64_t count) {
  double worst = 0;
  for (int64_t i = 0; i < count; ++i) {
    double ratio = fabs((double)expected[i] - (double)actual[i]) / (1e-5 * fmax(1, fabs((double)expected[i])));
    if (isnan(ratio)) return NAN;
    worst = fmax(worst, ratio);
  }
  return worst;
}

static double over(double difference, double bar) { return difference == 0 ? 0 : difference / bar; }

// Parameters after a few steps: the part that may be off by more than 1e-5 is 0.1 % of those with a gradient.
static double after_ratio(comparison *c, const safetensors_tensor *t, const float *expected, const float *actual) {
  const char *parameter = "";
  double bar = (double)after_steps(t->name, &parameter) * c->learning_rate;
  char name[1024];
  snprintf(name, sizeof name, "grad.%s", parameter);
  const safetensors_tensor *gradient = safetensors_find(c->files[0], name);
  if (!gradient || gradient->elements != t->elements) {
    failed(c, t->name, "the expected file has no first gradient for it");
    return 0;
  }
  float *first = floats(c, 0, gradient);
  int64_t counted = 0, off = 0;
  for (int64_t i = 0; i < t->elements; ++i) {
    if (!(fabs((double)first[i]) > 1e-5)) continue;
    ++counted;
    off += !(fabs((double)expected[i] - (double)actual[i]) <= 1e-5);
  }
  free(first);
  double parts = over((double)off, 1e-3 * (double)counted);
  return fmax(parts, over(largest_difference(expected, actual, t->elements), bar));
}

static void compare_floats(comparison *c, kind k, const safetensors_tensor *e, const safetensors_tensor *a) {
  float *expected = floats(c, 0, e), *actual = floats(c, 1, a);
  double difference = largest_difference(expected, actual, e->elements), size = largest(expected, e->elements);
  double ratio = k == KIND_LOSS       ? loss_ratio(expected, actual, e->elements)
                 : k == KIND_AFTER    ? (isnan(difference) ? NAN : after_ratio(c, e, expected, actual))
                 : k == KIND_GRADIENT ? over(difference, 1e-4 * size + 1e-7)
                                      : over(difference, c->bar * size);
  judge(c, k, e->name, ratio);
  free(expected);
  free(actual);
}

static void compare_integers(comparison *c, const safetensors_tensor *e, const safetensors_tensor *a) {
  size_t bytes = (size_t)(e->elements ? e->elements : 1) * sizeof(int32_t);
  int32_t *expected = memory_alloc(bytes), *actual = memory_alloc(bytes);
  lmn_error error = {0};
  bool read = safetensors_integers(c->files[0], e, 0, e->elements, expected, &error) &&
              safetensors_integers(c->files[1], a, 0, a->elements, actual, &error);
  if (!read) failed(c, e->name, error.text);
  else judge(c, KIND_EXACT, e->name, memcmp(expected, actual, (size_t)e->elements * sizeof *expected) ? INFINITY : 0);
  free(expected);
  free(actual);
}

static void compare_tensor(comparison *c, const safetensors_tensor *e) {
  const safetensors_tensor *a = safetensors_find(c->files[1], e->name);
  char shapes[2][SAFETENSORS_SHAPE_TEXT], text[256];
  if (!a) {
    failed(c, e->name, "is missing");
    return;
  }
  if (e->rank != a->rank || memcmp(e->shape, a->shape, (size_t)e->rank * sizeof *e->shape)) {
    snprintf(text, sizeof text, "expected the shape %.100s, got %.100s",
             safetensors_shape_text(e->rank, e->shape, shapes[0]),
             safetensors_shape_text(a->rank, a->shape, shapes[1]));
    failed(c, e->name, text);
    return;
  }
  kind k = kind_of(e);
  if (k == KIND_EXACT) compare_integers(c, e, a);
  else compare_floats(c, k, e, a);
}

// A gradient (or a changed parameter) that the reference has not is of a parameter that should be frozen.
static void find_extra(comparison *c) {
  for (int i = 0; i < safetensors_count(c->files[1]); ++i) {
    const char *name = safetensors_at(c->files[1], i)->name, *parameter;
    bool trained = begins(name, "grad.") || after_steps(name, &parameter);
    if (trained && !safetensors_find(c->files[0], name)) failed(c, name, "is there, but not in the expected file");
  }
}

static double learning_rate(const safetensors *file) {
  const char *optimizer = safetensors_metadata(file, "optimizer");
  json_t *root = optimizer ? json_loads(optimizer, 0, NULL) : NULL;
  double rate = json_number_value(json_object_get(root, "lr"));
  json_decref(root);
  return rate;
}

int main(int argument_count, char **arguments) {
  if (argument_count < 3 || argument_count > 4) {
    fprintf(stderr, "usage: compare EXPECTED.safetensors ACTUAL.safetensors [BAR]\n");
    return 2;
  }
  comparison c = {.paths = {arguments[1], arguments[2]}, .bar = argument_count == 4 ? atof(arguments[3]) : 2e-5};
  lmn_error error = {0};
  for (int i = 0; i < 2; ++i)
    if (!(c.files[i] = safetensors_open(c.paths[i], &error))) {
      fprintf(stderr, "compare: %s\n", error.text);
      return 2;
    }
  c.learning_rate = learning_rate(c.files[0]);
  for (int i = 0; i < safetensors_count(c.files[0]); ++i) compare_tensor(&c, safetensors_at(c.files[0], i));
  find_extra(&c);
  for (int k = 0; k < KIND_COUNT; ++k)
    if (c.counts[k])
      printf("%-9s %4d compared, worst %.2g of its bar (%s)\n", kind_names[k], c.counts[k], c.worst[k],
             c.worst_name[k]);
  if (!c.failures && !c.counts[KIND_VALUE]) failed(&c, arguments[1], "has no values to compare");
  safetensors_close(c.files[0]);
  safetensors_close(c.files[1]);
  return c.failures ? 1 : 0;
}
