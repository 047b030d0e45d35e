#include "driver/sweep/sweep.h"

#include <math.h>
#include <stdlib.h>

// Student's t distribution: the probability of (-t, t), by the finite sums that whole degrees of freedom have
// (Abramowitz and Stegun, 26.7.3 and 26.7.4).
static double student_within(double t, int degrees) {
  double angle = atan(t / sqrt(degrees)), c = cos(angle), sum = 0, term = degrees % 2 ? c : 1;
  for (int i = degrees % 2 ? 3 : 2; i <= degrees; i += 2) {
    sum += term;
    term *= c * c * (i - 1) / i;
  }
  return degrees % 2 ? (angle + sin(angle) * sum) / M_PI_2 : sin(angle) * sum;
}

// Of 0.975.
static double student_quantile(int degrees) {
  double low = 0, high = 1;
  while (student_within(high, degrees) < 0.95) high *= 2;
  for (int i = 0; i < 100; ++i) {
    double middle = 0.5 * (low + high);
    *(student_within(middle, degrees) < 0.95 ? &low : &high) = middle;
  }
  return high;
}

sweep_mean mean_of(const double *values, int count) {
  sweep_mean m = {.count = count, .mean = NAN, .deviation = NAN, .half = NAN};
  if (!count) return m;
  double sum = 0, squares = 0;
  for (int i = 0; i < count; ++i) sum += values[i];
  m.mean = sum / count;
  if (count < 2) return m;
  for (int i = 0; i < count; ++i) squares += (values[i] - m.mean) * (values[i] - m.mean);
  m.deviation = sqrt(squares / (count - 1));
  m.half = student_quantile(count - 1) * m.deviation / sqrt(count);
  return m;
}

sweep_mean sweep_mean_of(const sweep *s, int point, const char *measure) {
  double *values = memory_alloc(sizeof *values * (size_t)(s->seed_count + 1));
  int count = 0;
  for (int i = 0; i < s->run_count; ++i) {
    const json_t *value = json_object_get(s->runs[i].result, measure);
    if (s->runs[i].point == point && sweep_finished(&s->runs[i]) && json_is_number(value))
      values[count++] = json_number_value(value);
  }
  sweep_mean m = mean_of(values, count);
  free(values);
  return m;
}
