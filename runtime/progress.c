#include "runtime/progress.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

void progress_open(progress *p, FILE *out) {
  *p = (progress){.out = out, .validation = NAN};
  const char *kind = getenv("TERM");
  p->terminal = out && isatty(fileno(out)) && !(kind && !strcmp(kind, "dumb"));
}

void progress_phase(progress *p, const char *phase, int64_t first, int64_t steps, double rest) {
  progress_close(p);
  p->phase = phase;
  p->first = first;
  p->steps = steps;
  p->rest = rest;
  p->began = clock_seconds();
  p->drawn = p->smoothed = p->weight = p->tokens = 0;
  p->validation = NAN;
}

const char *progress_duration(double seconds, char buffer[32]) {
  int64_t s = isfinite(seconds) && seconds > 0 ? (int64_t)(seconds + 0.5) : 0;
  if (s >= 3600) snprintf(buffer, 32, "%lld:%02d:%02d", (long long)(s / 3600), (int)(s / 60 % 60), (int)(s % 60));
  else snprintf(buffer, 32, "%d:%02d", (int)(s / 60), (int)(s % 60));
  return buffer;
}

static int terminal_width(const progress *p) {
  struct winsize size;
  if (ioctl(fileno(p->out), TIOCGWINSZ, &size) == 0 && size.ws_col > 20) return size.ws_col;
  return 80;
}

static void describe(const progress *p, int64_t step, text *t) {
  double seconds = clock_seconds() - p->began, rate = seconds > 0 ? p->tokens / seconds : 0;
  char left[32];
  text_printf(t, "%lld/%lld  loss %.4f", (long long)step, (long long)p->steps, p->smoothed / p->weight);
  if (isfinite(p->validation)) text_printf(t, "  validation %.4f", p->validation);
  if (rate >= 10000) text_printf(t, "  %.1fk tokens/s", rate / 1000);
  else text_printf(t, "  %.0f tokens/s", rate);
  double each = seconds / (double)(step - p->first), remaining = each * (double)(p->steps - step);
  text_printf(t, step < p->steps ? "  %s left" : "  %s",
              progress_duration(step < p->steps ? remaining : seconds, left));
  if (p->rest > 0 && step < p->steps)
    text_printf(t, ", %s in all", progress_duration(remaining + p->rest * each * (double)p->steps, left));
}

static void draw_bar(progress *p, int64_t step) {
  text line = {0};
  describe(p, step, &line);
  int room = terminal_width(p) - (int)(strlen(p->phase) + line.length) - 6;
  if (room > 40) room = 40;
  fprintf(p->out, "\r%s ", p->phase);
  if (room >= 5) {
    int full = (int)((double)room * (double)step / (double)p->steps);
    fputc('[', p->out);
    for (int i = 0; i < room; ++i) fputc(i < full ? '=' : i == full ? '>' : ' ', p->out);
    fputs("] ", p->out);
  }
  fprintf(p->out, "%.*s\x1b[K", terminal_width(p) - (int)strlen(p->phase) - 2, line.data);
  fflush(p->out);
  text_free(&line);
}

static void draw_line(progress *p, int64_t step) {
  text line = {0};
  describe(p, step, &line);
  fprintf(p->out, "%s %s\n", p->phase, line.data);
  fflush(p->out);
  text_free(&line);
}

void progress_step(progress *p, int64_t step, double loss, double validation, int64_t tokens) {
  const double kept = 0.9;
  p->smoothed = kept * p->smoothed + (1 - kept) * loss;
  p->weight = kept * p->weight + (1 - kept);
  p->tokens += (double)tokens;
  if (isfinite(validation)) p->validation = validation;
  if (!p->out) return;
  double now = clock_seconds();
  bool last = step == p->steps;
  if (p->terminal) {
    if (!last && now - p->drawn < 0.1) return;
    draw_bar(p, step);
  } else {
    int64_t every = p->steps > 20 ? p->steps / 20 : 1;
    if (!last && step % every && step != p->first + 1 && !isfinite(validation)) return;
    draw_line(p, step);
  }
  p->drawn = now;
}

void progress_validation(progress *p, int64_t done, int64_t all) {
  double now = clock_seconds();
  if (!p->out || !p->terminal || now - p->drawn < 0.1) return;
  fprintf(p->out, "\r%s validating %lld/%lld\x1b[K", p->phase, (long long)done, (long long)all);
  fflush(p->out);
  p->drawn = now;
}

void progress_line(progress *p, const char *format, ...) {
  if (!p->out) return;
  if (p->terminal && p->drawn > 0) fputs("\r\x1b[K", p->out);
  va_list arguments;
  va_start(arguments, format);
  vfprintf(p->out, format, arguments);
  va_end(arguments);
  fputc('\n', p->out);
  fflush(p->out);
}

void progress_close(progress *p) {
  if (p->out && p->terminal && p->drawn > 0) fputc('\n', p->out);
  if (p->out) fflush(p->out);
  p->drawn = 0;
}
