// What rounding allows, in units of u = 2^-24, for a step in float32:
//
//   p - lr (decay p + m / (sqrt(v) + eps)),  m and v the moments without their bias
//
//   p      1 - lr decay, the product with p and the subtraction:                                     3
//   m      4 a step: three operations, of which the difference to the gradient counts twice;
//          and 1 - beta1, where the rounding of beta1 weighs more: 1 / (1 - beta1).
//          All of the moment of the magnitudes: a sum may cancel
//   v      6 a step: five operations and beta2; 1 / (1 - beta2) once. Half of it under the root
//   rest   the three roots and quotients of v, the sum with eps, eps, the quotient, lr and its bias, the product, the
//          subtraction: 12
#include "adamw.h"

#include <math.h>

adamw adamw_begin(arena *a, const settings *settings, const parameter *p, int64_t elements) {
  return (adamw){.settings = settings,
                 .decays = p->rank == 2 || settings->optimizer.decay_all,
                 .elements = elements,
                 .moment1 = ARENA_ARRAY(a, double, elements),
                 .moment2 = ARENA_ARRAY(a, double, elements),
                 .size = ARENA_ARRAY(a, double, elements)};
}

double adamw_step(adamw *a, const double *before, const float *gradient, const float *after) {
  const double unit = ldexp(1, -24), lr = a->settings->optimizer.lr, eps = a->settings->optimizer.eps;
  const double beta1 = a->settings->optimizer.beta1, beta2 = a->settings->optimizer.beta2, t = (double)++a->step;
  const double decay = a->decays ? a->settings->optimizer.weight_decay : 0;
  const double bias1 = 1 - pow(beta1, t), bias2 = 1 - pow(beta2, t);
  const double roundings = 4 * t + 1 / (1 - beta1) + (6 * t + 1 / (1 - beta2)) / 2 + 12;
  double worst = 0;
  for (int64_t i = 0; i < a->elements; ++i) {
    double g = gradient[i], p = before[i];
    a->moment1[i] = beta1 * a->moment1[i] + (1 - beta1) * g;
    a->moment2[i] = beta2 * a->moment2[i] + (1 - beta2) * g * g;
    a->size[i] = beta1 * a->size[i] + (1 - beta1) * fabs(g);
    double scale = lr / (sqrt(a->moment2[i] / bias2) + eps) / bias1;
    double expected = p - lr * decay * p - scale * a->moment1[i];
    double bar = unit * (3 * fabs(p) + roundings * scale * a->size[i]), missed = fabs(after[i] - expected);
    double ratio = missed == 0 ? 0 : missed / bar;
    worst = ratio <= worst ? worst : isnan(ratio) ? INFINITY : ratio;
  }
  return worst;
}
