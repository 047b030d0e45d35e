#include "driver/sweep/plot.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// Okabe and Ito's colours, which the colour-blind can tell apart; yellow, too light on white, is left out.
static const char *const colours[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#444444"};
static const char *const dashes[] = {"none", "6 3", "2 3"}; // when the colours begin again
enum { LEFT = 68, TOP = 46, WIDTH = 560, HEIGHT = 340, BOTTOM = 58, LEGEND_GAP = 22, MOST_IN_LEGEND = 22 };

typedef struct axis {
  double low, high;
  double at, length; // in pixels; of y downwards
  bool logarithmic;
} axis;

typedef struct drawing {
  const plot *plot;
  text *out;
  axis x, y;
  double dodge; // pixels between the markers of different series
  int below;    // pixels that names at a slope need beyond the usual
} drawing;

static void add_escaped(text *out, const char *string) {
  for (const char *c = string; *c; ++c) {
    if (*c == '<') text_add(out, "&lt;");
    else if (*c == '&') text_add(out, "&amp;");
    else if (*c == '"') text_add(out, "&quot;");
    else text_add_bytes(out, c, 1);
  }
}

static void add_text(text *out, double x, double y, const char *attributes, const char *string) {
  text_printf(out, "<text x=\"%.1f\" y=\"%.1f\" %s>", x, y, attributes);
  add_escaped(out, string);
  text_add(out, "</text>\n");
}

static const char *colour(int series) { return colours[(size_t)series % LENGTH(colours)]; }
static const char *dash(int series) { return dashes[(size_t)series / LENGTH(colours) % LENGTH(dashes)]; }

// ---- axes ---------------------------------------------------------------------------------------

static double place_x(const axis *a, double value) {
  double low = a->low, high = a->high;
  if (a->logarithmic) value = log(value), low = log(low), high = log(high);
  return a->at + a->length * (value - low) / (high - low);
}

static double place_y(const axis *a, double value) {
  return a->at + a->length * (a->high - value) / (a->high - a->low);
}

static bool has_point(const plot_series *s, double x) {
  for (int i = 0; i < s->count; ++i)
    if (s->points[i].x == x) return true;
  return false;
}

// The markers of different series stand side by side, those that have a point there.
static double point_x(const drawing *d, int series, double x) {
  int before = 0, all = 0;
  for (int i = 0; !d->plot->curves && i < d->plot->series_count; ++i) {
    bool there = has_point(&d->plot->series[i], x);
    all += there;
    before += there && i < series;
  }
  return place_x(&d->x, x) + (all ? d->dodge * (before - 0.5 * (all - 1)) : 0);
}

// 1, 2 or 5 times a power of ten, so that about `wanted` of them fill the range.
static double tick_step(double range, int wanted) {
  double step = pow(10, floor(log10(range / wanted)));
  while (range / step > 2.5 * wanted) step *= 5;
  return range / step > 1.3 * wanted ? 2 * step : step;
}

static void widen(double *low, double *high, double value) {
  if (!isfinite(value)) return;
  if (value < *low) *low = value;
  if (value > *high) *high = value;
}

static void range_x(drawing *d) {
  const plot *p = d->plot;
  double low = INFINITY, high = -INFINITY;
  for (int i = 0; i < p->series_count; ++i)
    for (int k = 0; k < p->series[i].count; ++k) widen(&low, &high, p->series[i].points[k].x);
  if (p->names) low = -0.5, high = p->name_count - 0.5;
  if (!isfinite(low)) low = 0, high = 1;
  if (low == high) low -= low > 0 ? low / 2 : 1, high += high > 0 ? high / 2 : 1;
  if (!p->names && !p->curves) { // markers do not stand on the frame
    double factor = pow(high / (low > 0 ? low : 1), 0.06), margin = 0.06 * (high - low);
    low = p->logarithmic ? low / factor : low - margin;
    high = p->logarithmic ? high * factor : high + margin;
  }
  d->x = (axis){.low = low, .high = high, .at = LEFT, .length = WIDTH, .logarithmic = p->logarithmic};
}

// Intervals of few seeds are wide: where they would leave no room for the means, they are cut off.
static void range_y(drawing *d) {
  const plot *p = d->plot;
  double low = INFINITY, high = -INFINITY, least = INFINITY, greatest = -INFINITY;
  double from = p->curves ? d->x.low + 0.05 * (d->x.high - d->x.low) : -INFINITY;
  for (int i = 0; i < p->series_count; ++i)
    for (int k = 0; k < p->series[i].count; ++k) {
      const plot_point *q = &p->series[i].points[k];
      if (q->x < from) continue;
      widen(&low, &high, q->y);
      for (int n = 0; n < q->dot_count; ++n) widen(&low, &high, q->dots[n]);
      widen(&least, &greatest, q->y - q->half);
      widen(&least, &greatest, q->y + q->half);
    }
  if (!isfinite(low)) low = 0, high = 1;
  double room = 1.5 * (high - low), margin;
  if (least < low) low = fmax(least, low - room);
  if (greatest > high) high = fmin(greatest, high + room);
  if (high - low < 1e-9 * (1 + fabs(high))) low -= 0.5, high += 0.5;
  margin = 0.08 * (high - low);
  d->y = (axis){.low = low - margin, .high = high + margin, .at = TOP, .length = HEIGHT};
}

static void add_tick_x(drawing *d, double x, const char *name) {
  text_printf(d->out, "<line x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\" stroke=\"#333\"/>\n", x, TOP + HEIGHT, x,
              TOP + HEIGHT + 5);
  add_text(d->out, x, TOP + HEIGHT + 19, "text-anchor=\"middle\"", name);
}

static void draw_numbers_x(drawing *d) {
  char name[32];
  if (d->x.logarithmic) {
    bool wide = d->x.high / d->x.low > 50;
    for (double power = pow(10, floor(log10(d->x.low))); power <= d->x.high; power *= 10)
      for (int i = 1; i < 10; i += i == 2 ? 3 : i == 5 ? 5 : wide ? 9 : 1) {
        if (i * power < d->x.low || i * power > d->x.high) continue;
        snprintf(name, sizeof name, "%g", i * power);
        add_tick_x(d, place_x(&d->x, i * power), name);
      }
    return;
  }
  double step = tick_step(d->x.high - d->x.low, 8);
  for (double i = ceil(d->x.low / step - 1e-9); i * step <= d->x.high + 1e-9 * step; ++i) {
    snprintf(name, sizeof name, "%g", i * step + 0.0); // no -0
    add_tick_x(d, place_x(&d->x, i * step), name);
  }
}

// A name longer than its place is written at a slope.
static void draw_names_x(drawing *d) {
  const plot *p = d->plot;
  for (int i = 0; i < p->name_count; ++i) {
    double x = place_x(&d->x, i);
    if (!d->below) {
      add_tick_x(d, x, p->names[i]);
      continue;
    }
    add_tick_x(d, x, "");
    text slope = {0};
    text_printf(&slope, "text-anchor=\"end\" transform=\"rotate(-35 %.1f %d)\"", x, TOP + HEIGHT + 16);
    add_text(d->out, x + 4, TOP + HEIGHT + 16, slope.data, p->names[i]);
    text_free(&slope);
  }
}

static void draw_axes(drawing *d) {
  char name[32];
  double step = tick_step(d->y.high - d->y.low, 6);
  int digits = step < 1 ? (int)ceil(-log10(step) - 1e-9) : 0;
  for (double i = ceil(d->y.low / step); i * step <= d->y.high; ++i) {
    double y = place_y(&d->y, i * step);
    text_printf(d->out, "<line x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\" stroke=\"#e3e3e3\"/>\n", LEFT, y,
                LEFT + WIDTH, y);
    snprintf(name, sizeof name, "%.*f", digits, i * step + 0.0); // no -0
    add_text(d->out, LEFT - 8, y + 4, "text-anchor=\"end\"", name);
  }
  text_printf(d->out, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"none\" stroke=\"#333\"/>\n", LEFT, TOP,
              WIDTH, HEIGHT);
  d->plot->names ? draw_names_x(d) : draw_numbers_x(d);
  add_text(d->out, LEFT + WIDTH / 2.0, TOP + HEIGHT + 44 + d->below, "text-anchor=\"middle\" font-size=\"13\"",
           d->plot->x_title);
  text turned = {0};
  text_printf(&turned, "text-anchor=\"middle\" font-size=\"13\" transform=\"rotate(-90 18 %d)\"", TOP + HEIGHT / 2);
  add_text(d->out, 18, TOP + HEIGHT / 2.0, turned.data, d->plot->y_title);
  text_free(&turned);
}

// ---- series -------------------------------------------------------------------------------------

static void add_marker(text *out, int series, double x, double y, const char *title) {
  const double r = 5;
  text_printf(out, "<path fill=\"%s\" stroke=\"#fff\" d=\"", colour(series));
  switch (series % 4) {
  case 0: text_printf(out, "M%.1f %.1fa%g %g 0 1 0 %g 0a%g %g 0 1 0 %g 0z", x - r, y, r, r, 2 * r, r, r, -2 * r); break;
  case 1: text_printf(out, "M%.1f %.1fh%gv%gh%gz", x - r, y - r, 2 * r, 2 * r, -2 * r); break;
  case 2: text_printf(out, "M%.1f %.1fl%g %gh%gz", x, y - r - 1, r + 1, 2 * r + 1, -2 * r - 2); break;
  default: text_printf(out, "M%.1f %.1fl%g %gl%g %gl%g %gz", x, y - r - 2, r + 1, r + 2, -r - 1, r + 2, -r - 1, -r - 2);
  }
  text_add(out, "\">");
  if (title) {
    text_add(out, "<title>");
    add_escaped(out, title);
    text_add(out, "</title>");
  }
  text_add(out, "</path>\n");
}

static void draw_line(drawing *d, int series) {
  const plot_series *s = &d->plot->series[series];
  text_printf(d->out, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"%s\" stroke-dasharray=\"%s\" points=\"",
              colour(series), d->plot->curves ? "2" : "1.5", dash(series));
  for (int i = 0; i < s->count; ++i)
    text_printf(d->out, "%.1f,%.1f ", point_x(d, series, s->points[i].x), place_y(&d->y, s->points[i].y));
  text_add(d->out, "\"/>\n");
}

static void draw_band(drawing *d, int series) {
  const plot_series *s = &d->plot->series[series];
  bool whole = s->count > 1;
  for (int i = 0; i < s->count; ++i) whole &= isfinite(s->points[i].half);
  if (!whole) return;
  text_printf(d->out, "<polygon fill=\"%s\" fill-opacity=\"0.13\" points=\"", colour(series));
  for (int i = 0; i < 2 * s->count; ++i) {
    const plot_point *q = &s->points[i < s->count ? i : 2 * s->count - 1 - i];
    double y = i < s->count ? q->y + q->half : q->y - q->half;
    text_printf(d->out, "%.1f,%.1f ", place_x(&d->x, q->x), place_y(&d->y, y));
  }
  text_add(d->out, "\"/>\n");
}

static void draw_interval(drawing *d, int series, double x, const plot_point *q) {
  if (!isfinite(q->half)) return;
  double top = place_y(&d->y, q->y + q->half), bottom = place_y(&d->y, q->y - q->half);
  text_printf(
      d->out,
      "<path stroke=\"%s\" stroke-width=\"1.5\" fill=\"none\" d=\"M%.1f %.1fV%.1fM%.1f %.1fh10M%.1f %.1fh10\"/>\n",
      colour(series), x, top, bottom, x - 5, top, x - 5, bottom);
}

static void draw_point(drawing *d, int series, const plot_point *q) {
  double x = point_x(d, series, q->x), y = place_y(&d->y, q->y);
  text title = {0};
  draw_interval(d, series, x, q);
  for (int i = 0; i < q->dot_count; ++i)
    text_printf(d->out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"2.5\" fill=\"#fff\" stroke=\"%s\"/>\n", x + 7,
                place_y(&d->y, q->dots[i]), colour(series));
  text_printf(&title, "%s%s%.4f", q->label ? q->label : "", q->label ? ": " : "", q->y);
  if (isfinite(q->half)) text_printf(&title, " ± %.4f", q->half);
  add_marker(d->out, series, x, y, title.data);
  text_free(&title);
}

// Above what belongs to the point, inside of the frame.
static void draw_label(drawing *d, int series, const plot_point *q) {
  double highest = q->y;
  if (isfinite(q->half)) highest += q->half;
  for (int i = 0; i < q->dot_count; ++i) highest = fmax(highest, q->dots[i]);
  double y = fmax(place_y(&d->y, highest) - 9, TOP + 13);
  if (q->label)
    add_text(d->out, point_x(d, series, q->x), y,
             "text-anchor=\"middle\" font-size=\"11\" stroke=\"#fff\" stroke-width=\"3\" paint-order=\"stroke\"",
             q->label);
}

static void draw_series(drawing *d) {
  const plot *p = d->plot;
  for (int i = 0; i < p->series_count && p->curves; ++i) draw_band(d, i);
  for (int i = 0; i < p->series_count; ++i) draw_line(d, i);
  for (int i = 0; i < p->series_count && !p->curves; ++i)
    for (int k = 0; k < p->series[i].count; ++k) draw_point(d, i, &p->series[i].points[k]);
  for (int i = 0; i < p->series_count && !p->curves; ++i)
    for (int k = 0; k < p->series[i].count; ++k) draw_label(d, i, &p->series[i].points[k]);
}

// ---- the whole ----------------------------------------------------------------------------------

static bool has_legend(const plot *p) { return p->series_count > 1 && p->series[0].name; }

static int legend_width(const plot *p) {
  size_t longest = 0;
  for (int i = 0; has_legend(p) && i < p->series_count; ++i)
    if (strlen(p->series[i].name) > longest) longest = strlen(p->series[i].name);
  return longest ? LEGEND_GAP + 34 + (int)(7.2 * (double)longest) : 0;
}

static void draw_legend(drawing *d) {
  const plot *p = d->plot;
  char rest[64];
  double x = LEFT + WIDTH + LEGEND_GAP;
  for (int i = 0; has_legend(p) && i < p->series_count; ++i) {
    double y = TOP + 12 + 18.0 * i;
    if (i == MOST_IN_LEGEND) {
      snprintf(rest, sizeof rest, "… and %d more", p->series_count - i);
      add_text(d->out, x, y + 4, "", rest);
      return;
    }
    text_printf(d->out,
                "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\" stroke-width=\"2\" "
                "stroke-dasharray=\"%s\"/>\n",
                x, y, x + 24, y, colour(i), dash(i));
    if (!p->curves) add_marker(d->out, i, x + 12, y, NULL);
    add_text(d->out, x + 32, y + 4, "", p->series[i].name);
  }
}

static void place_names(drawing *d) {
  const plot *p = d->plot;
  double slot = p->name_count ? (double)WIDTH / p->name_count : WIDTH, longest = 0;
  for (int i = 0; i < p->name_count; ++i) longest = fmax(longest, 6.8 * (double)strlen(p->names[i]));
  d->dodge = fmin(p->names ? 64 : 14, (p->names ? 0.8 * slot : 60) / (p->series_count ? p->series_count : 1));
  d->below = longest < slot ? 0 : (int)(0.58 * longest);
}

void plot_svg(const plot *p, text *out) {
  drawing d = {.plot = p, .out = out};
  place_names(&d);
  int width = LEFT + WIDTH + 24 + legend_width(p), height = TOP + HEIGHT + BOTTOM + d.below;
  range_x(&d);
  range_y(&d);
  text_printf(out,
              "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" "
              "font-family=\"Helvetica, Arial, sans-serif\" font-size=\"12\" fill=\"#222\">\n"
              "<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n"
              "<clipPath id=\"frame\"><rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\"/></clipPath>\n",
              width, height, width, height, width, height, LEFT, TOP, WIDTH, HEIGHT);
  add_text(out, LEFT, TOP - 18, "font-size=\"15\" font-weight=\"bold\"", p->title);
  draw_axes(&d);
  text_add(out, "<g clip-path=\"url(#frame)\">\n");
  draw_series(&d);
  text_add(out, "</g>\n");
  draw_legend(&d);
  text_add(out, "</svg>\n");
}
