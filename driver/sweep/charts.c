// plot.svg: what the points came to, over depth and width or over the params; curves.svg: how they got there.
#include "driver/sweep/plot.h"
#include "driver/sweep/sweep.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool write_plot(const sweep *s, const plot *p, const char *name, lmn_error *error) {
  text path = {0}, svg = {0};
  text_printf(&path, "%s/%s", s->folder, name);
  plot_svg(p, &svg);
  bool ok = file_write(path.data, svg.data, svg.length, error);
  text_free(&svg);
  text_free(&path);
  return ok;
}

// ---- values -------------------------------------------------------------------------------------

static bool number_of(const char *value, double *number) {
  char *end;
  *number = strtod(value, &end);
  return *value && !*end && isfinite(*number);
}

// "1/2/1", "[1, 2, 1]" or "1": how many numbers, and the greatest.
static bool shape_of(const char *value, int *depth, double *width) {
  *depth = 0, *width = 0;
  for (const char *c = value; *c;) {
    size_t length = strspn(c, "0123456789");
    if (length) {
      ++*depth;
      *width = fmax(*width, strtod(c, NULL));
    }
    c += length;
    if (*c && !strchr("/[], ", *c)) return false;
    c += *c != 0;
  }
  return *depth > 0;
}

static bool all_numbers(const sweep_param *p) {
  double number;
  for (int i = 0; i < p->count; ++i)
    if (!number_of(p->values[i], &number)) return false;
  return true;
}

// Whether the layers' widths of one param are the points: no two of the same depth and greatest width.
static bool depth_by_width(const sweep *s) {
  bool lists = false;
  if (s->param_count != 1) return false;
  for (int i = 0; i < s->point_count; ++i) {
    int depth, other_depth;
    double width, other_width;
    if (!shape_of(s->points[i].values[0], &depth, &width)) return false;
    lists |= strpbrk(s->points[i].values[0], "/[") != NULL;
    for (int k = 0; k < i; ++k) {
      shape_of(s->points[k].values[0], &other_depth, &other_width);
      if (depth == other_depth && width == other_width) return false;
    }
  }
  return lists;
}

// ---- the plot of the results --------------------------------------------------------------------

typedef struct chart {
  const sweep *sweep;
  arena *arena;
  const char *measure;
  plot plot;
  plot_series *series;
} chart;

static plot_series *series_named(chart *c, const char *name) {
  for (int i = 0; i < c->plot.series_count; ++i)
    if (!strcmp(c->series[i].name, name)) return &c->series[i];
  plot_series *fresh = &c->series[c->plot.series_count++];
  *fresh = (plot_series){.name = name, .points = ARENA_ARRAY(c->arena, plot_point, c->sweep->point_count)};
  return fresh;
}

static int compare_points(const void *a, const void *b) {
  double x = ((const plot_point *)a)->x, y = ((const plot_point *)b)->x;
  return (x > y) - (x < y);
}

static void add_point(chart *c, int point, double x, const char *series, const char *label) {
  const sweep *s = c->sweep;
  plot_series *to = series_named(c, series);
  sweep_mean m = sweep_mean_of(s, point, c->measure);
  if (!m.count) return;
  double *dots = ARENA_ARRAY(c->arena, double, m.count);
  int count = 0;
  for (int i = 0; i < s->run_count; ++i)
    if (s->runs[i].point == point && sweep_finished(&s->runs[i]))
      dots[count++] = json_number_value(json_object_get(s->runs[i].result, c->measure));
  to->points[to->count++] = (plot_point){
      .x = x, .y = m.mean, .half = m.half, .dots = dots, .dot_count = m.count > 1 ? count : 0, .label = label};
}

static void name_place(chart *c, const char *name) { c->plot.names[c->plot.name_count++] = name; }

static int compare_numbers(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

// Sorted, without repeats; returns how many.
static int distinct(double *values, int count) {
  int kept = 0;
  qsort(values, (size_t)count, sizeof *values, compare_numbers);
  for (int i = 0; i < count; ++i)
    if (!kept || values[kept - 1] != values[i]) values[kept++] = values[i];
  return kept;
}

static void chart_shapes(chart *c) {
  const sweep *s = c->sweep;
  double *depths = ARENA_ARRAY(c->arena, double, s->point_count),
         *widths = ARENA_ARRAY(c->arena, double, s->point_count);
  int depth;
  for (int i = 0; i < s->point_count; ++i) {
    shape_of(s->points[i].values[0], &depth, &widths[i]);
    depths[i] = depth;
  }
  int depth_count = distinct(depths, s->point_count), width_count = distinct(widths, s->point_count);
  for (int i = 0; i < depth_count; ++i) name_place(c, arena_printf(c->arena, "%g", depths[i]));
  for (int i = 0; i < width_count; ++i) series_named(c, arena_printf(c->arena, "width %g", widths[i]));
  for (int i = 0; i < s->point_count; ++i) {
    double width;
    int at = 0;
    shape_of(s->points[i].values[0], &depth, &width);
    while (depths[at] != depth) ++at;
    add_point(c, i, at, arena_printf(c->arena, "width %g", width), s->points[i].values[0]);
  }
  c->plot.x_title = "depth (layers of vertices)";
}

static const char *series_name(chart *c, const sweep_point *p) {
  text name = {0};
  for (int k = 1; k < c->sweep->param_count; ++k)
    text_printf(&name, "%s%s = %s", k > 1 ? ", " : "", c->sweep->params[k].name, p->values[k]);
  const char *copy = arena_string(c->arena, name.length ? name.data : "");
  text_free(&name);
  return copy;
}

static void chart_params(chart *c) {
  const sweep *s = c->sweep;
  const sweep_param *first = &s->params[0];
  bool numbers = all_numbers(first);
  double number = 0, low = INFINITY, high = -INFINITY;
  for (int i = 0; i < first->count; ++i) {
    if (!numbers) name_place(c, first->values[i]);
    else if (number_of(first->values[i], &number)) low = fmin(low, number), high = fmax(high, number);
  }
  c->plot.x_title = first->name;
  c->plot.logarithmic = numbers && low > 0 && high / low >= 20;
  for (int i = 0; i < s->point_count; ++i) {
    int at = 0;
    while (strcmp(first->values[at], s->points[i].values[0])) ++at;
    if (numbers) number_of(first->values[at], &number);
    add_point(c, i, numbers ? number : at, series_name(c, &s->points[i]), NULL);
  }
}

static void chart_network(chart *c) {
  name_place(c, c->sweep->network);
  add_point(c, 0, 0, "", NULL);
  c->plot.x_title = "";
}

static bool write_results(const sweep *s, arena *a, lmn_error *error) {
  chart c = {.sweep = s,
             .arena = a,
             .measure = s->classifier ? "accuracy" : "loss",
             .series = ARENA_ARRAY(a, plot_series, s->point_count + 1)};
  const char *data = s->options->test ? "test" : "validation";
  c.plot.names = ARENA_ARRAY(a, const char *, s->point_count + 1);
  c.plot.series = c.series;
  c.plot.title = arena_printf(a, "%s: %s %s%s", s->network, data, c.measure,
                              s->seed_count > 1 ? ", mean and 95 % interval over seeds" : "");
  c.plot.y_title = arena_printf(a, "%s %s", data, c.measure);
  if (!s->param_count) chart_network(&c);
  else if (depth_by_width(s)) chart_shapes(&c);
  else chart_params(&c);
  for (int i = 0; i < c.plot.series_count; ++i)
    qsort(c.series[i].points, (size_t)c.series[i].count, sizeof *c.series[i].points, compare_points);
  if (!c.plot.name_count) c.plot.names = NULL;
  return write_plot(s, &c.plot, "plot.svg", error);
}

// ---- the learning curves ------------------------------------------------------------------------

enum { MOST_PIECES = 80, FEW_VALIDATIONS = 4 };

// Means over pieces of the curve, so that single batches do not hide it.
static sweep_curve smoothed(arena *a, const sweep_curve *c) {
  int pieces = c->count < MOST_PIECES ? c->count : MOST_PIECES;
  sweep_curve s = {ARENA_ARRAY(a, double, pieces + 1), ARENA_ARRAY(a, double, pieces + 1), pieces, 0};
  for (int i = 0; i < pieces; ++i) {
    int from = (int)((int64_t)c->count * i / pieces), to = (int)((int64_t)c->count * (i + 1) / pieces);
    s.values[i] = mean_of(c->values + from, to - from).mean;
    s.steps[i] = mean_of(c->steps + from, to - from).mean;
  }
  return s;
}

// The mean over the seeds; they have the same steps.
static void add_curve(arena *a, plot_series *to, const sweep_curve *curves, int count) {
  int length = count ? curves[0].count : 0;
  double *values = ARENA_ARRAY(a, double, count + 1);
  for (int i = 1; i < count; ++i) length = curves[i].count < length ? curves[i].count : length;
  to->points = ARENA_ARRAY(a, plot_point, length + 1);
  for (int k = 0; k < length; ++k) {
    for (int i = 0; i < count; ++i) values[i] = curves[i].values[k];
    sweep_mean m = mean_of(values, count);
    to->points[to->count++] = (plot_point){.x = curves[0].steps[k], .y = m.mean, .half = m.half};
  }
}

static bool read_logs(const sweep *s, arena *a, sweep_log **logs, lmn_error *error) {
  *logs = ARENA_ARRAY(a, sweep_log, s->run_count + 1);
  for (int i = 0; i < s->run_count; ++i)
    if (sweep_finished(&s->runs[i]) && !sweep_log_read(s->runs[i].folder, &(*logs)[i], error)) return false;
  return true;
}

static void fill_curves(const sweep *s, arena *a, const sweep_log *logs, plot *p, plot_series *series) {
  bool validations = true;
  for (int i = 0; i < s->run_count; ++i)
    validations &= !sweep_finished(&s->runs[i]) || logs[i].validation.count >= FEW_VALIDATIONS;
  p->y_title = validations ? "validation loss" : "training loss";
  sweep_curve *curves = ARENA_ARRAY(a, sweep_curve, s->seed_count + 1);
  for (int k = 0; k < s->point_count; ++k) {
    int count = 0;
    for (int i = 0; i < s->run_count; ++i)
      if (s->runs[i].point == k && sweep_finished(&s->runs[i]))
        curves[count++] = validations ? logs[i].validation : smoothed(a, &logs[i].loss);
    series[k].name = s->points[k].name;
    add_curve(a, &series[k], curves, count);
  }
}

static bool write_curves(const sweep *s, arena *a, lmn_error *error) {
  sweep_log *logs;
  plot_series *series = ARENA_ARRAY(a, plot_series, s->point_count + 1);
  plot p = {.x_title = "step", .series = series, .series_count = s->point_count, .curves = true};
  p.title = arena_printf(a, "%s: learning curves%s", s->network,
                         s->seed_count > 1 ? ", mean and 95 % interval over seeds" : "");
  bool ok = read_logs(s, a, &logs, error);
  if (ok) fill_curves(s, a, logs, &p, series);
  for (int i = 0; i < s->run_count; ++i) sweep_log_free(&logs[i]);
  return ok && write_plot(s, &p, "curves.svg", error);
}

bool sweep_write_charts(const sweep *s, lmn_error *error) {
  arena *a = arena_create();
  bool ok = write_results(s, a, error) && write_curves(s, a, error);
  arena_destroy(a);
  return ok;
}
