// Gradients against finite differences of the reference, which is in double precision: a directional derivative over
// all trained parameters at once,
//
//   (4 D(h/2) - D(h)) / 3,  D(h) = (f(x + h d) - f(x - h d)) / 2h
//
// against the sum of d times the gradients. Each tensor's part of d is normal, scaled by its gradient's size, so that
// every tensor has the same part in the sum. The bar comes from what float32 gradients are good for: an element may be
// off by a twentieth of the bar for gradients (5e-6 of the largest, plus 5e-9), independently of the others, which
// gives the sum a standard deviation; five of it are allowed. The difference between D(h/2) and the result bounds the
// error of the formula, which must be nothing beside the bar. Where it is not, a kink (of relu) lies in between: the
// step is made smaller, then the direction changed.
#include "subject.h"

#include "reference.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DIRECTIONS = 2, TRIES = 6, STEPS = 4, NOTHING = 100 };

typedef struct direction {
  const subject *s;
  reference *r;
  trained_gradients g;
  double **parts;   // of each trained parameter
  double **before;  // the parameters themselves
  double expected;  // sum of parts times gradients
  double deviation; // that of its rounding
} direction;

static const float *gradient_of(const trained_gradients *g, int i) {
  return g->memory + g->phase->trained[i].offset / (int64_t)sizeof(float);
}

static int64_t elements_of(const trained_gradients *g, int i) {
  return g->plan->parameters[g->phase->trained[i].parameter].elements;
}

static double size_of(const float *values, int64_t count, double *largest) {
  double sum = 0;
  *largest = 0;
  for (int64_t k = 0; k < count; ++k) {
    sum += (double)values[k] * values[k];
    *largest = fmax(*largest, fabs((double)values[k]));
  }
  return sqrt(sum);
}

// only: the one trained parameter that moves; -1: all.
static void draw_direction(direction *d, uint64_t number, int only) {
  const trained_gradients *g = &d->g;
  double total = 0, most = 0, ignored;
  for (int i = 0; i < g->phase->trained_count; ++i) {
    double size = size_of(gradient_of(g, i), elements_of(g, i), &ignored);
    total += size * size / g->phase->trained_count;
  }
  for (int i = 0; i < g->phase->trained_count; ++i) {
    double size = size_of(gradient_of(g, i), elements_of(g, i), &ignored);
    char stream[64]; // not the parameter's own: its values are a direction that norms do not see
    snprintf(stream, sizeof stream, "direction %llu of trained parameter %d", (unsigned long long)number, i);
    random_stream r = random_named(d->s->shape.seed, stream);
    for (int64_t k = 0; k < elements_of(g, i); ++k) {
      d->parts[i][k] = only >= 0 && only != i ? 0 : random_normal(&r) / fmax(size, 0.01 * sqrt(total) + 1e-12);
      most = fmax(most, fabs(d->parts[i][k]));
    }
  }
  d->expected = d->deviation = 0;
  for (int i = 0; i < g->phase->trained_count; ++i) {
    double largest;
    size_of(gradient_of(g, i), elements_of(g, i), &largest);
    for (int64_t k = 0; k < elements_of(g, i); ++k) {
      double part = d->parts[i][k] /= most;
      d->expected += part * gradient_of(g, i)[k];
      d->deviation += part * part * (5e-6 * largest + 5e-9) * (5e-6 * largest + 5e-9);
    }
  }
  d->deviation = sqrt(d->deviation);
}

// The parameters' values where the checker looks: list and plan have the same order.
static double loss_at(direction *d, double step) {
  const trained_gradients *g = &d->g;
  for (int i = 0; i < g->phase->trained_count; ++i) {
    double *to = d->r->parameters[g->phase->trained[i].parameter];
    for (int64_t k = 0; k < elements_of(g, i); ++k) to[k] = d->before[i][k] + step * d->parts[i][k];
  }
  reference_run(d->r);
  return d->r->loss;
}

// The derivative, with the error of the formula.
static double difference(direction *d, double step, double *error) {
  double whole = (loss_at(d, step) - loss_at(d, -step)) / (2 * step);
  double half = (loss_at(d, step / 2) - loss_at(d, -step / 2)) / step;
  double result = (4 * half - whole) / 3;
  *error = fabs(result - half);
  return result;
}

// As a part of the bar; NAN: no step is small enough.
static double ratio_of(direction *d) {
  double step = 1e-4, bar = 5 * d->deviation;
  for (int i = 0; i < STEPS; ++i, step /= 10) {
    double error, derivative = difference(d, step, &error);
    if (error <= bar / NOTHING) return fabs(derivative - d->expected) / bar;
  }
  return NAN;
}

// The tensor that is most wrong by itself, in the direction that was wrong; nothing where each is right alone.
static void name_worst(direction *d, uint64_t number, char *text, size_t size) {
  double worst = 1;
  for (int i = 0; i < d->g.phase->trained_count; ++i) {
    draw_direction(d, number, i);
    double ratio = ratio_of(d);
    if (!(ratio > worst)) continue;
    worst = ratio;
    snprintf(text, size, "gradient of %s: %.3g times the bar off its finite difference",
             d->g.plan->parameters[d->g.phase->trained[i].parameter].name, ratio);
  }
}

static double **copies(const direction *d, bool of_parameters) {
  double **result = ARENA_ARRAY(d->s->arena, double *, d->g.phase->trained_count);
  for (int i = 0; i < d->g.phase->trained_count; ++i) {
    result[i] = ARENA_ARRAY(d->s->arena, double, elements_of(&d->g, i));
    if (of_parameters)
      memcpy(result[i], d->r->parameters[d->g.phase->trained[i].parameter],
             (size_t)elements_of(&d->g, i) * sizeof(double));
  }
  return result;
}

bool gradients_right(const subject *s, reference *r, trained_gradients g, char *text, size_t size) {
  direction d = {.s = s, .r = r, .g = g};
  d.parts = copies(&d, false);
  d.before = copies(&d, true);
  bool right = true;
  int done = 0;
  for (uint64_t i = 0; right && i < TRIES && done < DIRECTIONS; ++i) {
    draw_direction(&d, i, -1);
    double ratio = ratio_of(&d);
    if (isnan(ratio)) continue;
    ++done;
    statistics.directions++;
    right = ratio <= 1;
    if (right) {
      statistics.worst_direction = fmax(statistics.worst_direction, ratio);
      continue;
    }
    snprintf(text, size, "gradients: %.3g times the bar off their finite difference", ratio);
    name_worst(&d, i, text, size);
  }
  loss_at(&d, 0);
  return right;
}
