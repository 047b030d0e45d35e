// A plot as SVG: series of points with intervals over numbers or names.
#ifndef LMN_DRIVER_PLOT_H
#define LMN_DRIVER_PLOT_H

#include "runtime/base.h"

typedef struct plot_point {
  double x, y;
  double half;        // half of the interval's width; NAN: none
  const double *dots; // single values that y is the mean of
  int dot_count;
  const char *label; // above it; NULL: none
} plot_point;

typedef struct plot_series {
  const char *name;   // in the legend
  plot_point *points; // by x
  int count;
} plot_series;

typedef struct plot {
  const char *title, *x_title, *y_title;
  const plot_series *series;
  int series_count;
  const char **names; // of x = 0, 1, …; NULL: x is a number
  int name_count;
  bool logarithmic; // x
  bool curves;      // lines and bands, without markers; the y axis is of what comes after the first twentieth
} plot;

void plot_svg(const plot *p, text *out);

#endif
