// results.jsonl, table.json and table.md: every training; and the points with means and intervals over their seeds.
#include "driver/sweep/sweep.h"
#include "runtime/progress.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef enum { FORMAT_FINE, FORMAT_COARSE, FORMAT_WHOLE, FORMAT_DURATION, FORMAT_MEBIBYTES } measure_format;
static const struct measure {
  const char *name, *title;
  measure_format format;
  bool classifier; // of these alone
} measures[] = {
    {"loss", "loss", FORMAT_FINE, false},
    {"accuracy", "accuracy", FORMAT_FINE, true},
    {"perplexity", "perplexity", FORMAT_COARSE, false},
    {"train_loss", "training loss", FORMAT_FINE, false},
    {"tokens_per_second", "tokens/s", FORMAT_WHOLE, false},
    {"seconds", "time", FORMAT_DURATION, false},
    {"peak_bytes", "peak MiB", FORMAT_MEBIBYTES, false},
};
static const struct {
  const char *name, *title;
} counts[] = {{"trained", "trained"}, {"parameters", "parameters"}, {"vertex_runs", "vertex runs"}};

static bool shown(const sweep *s, const struct measure *m) { return !m->classifier || s->classifier; }

static int failures(const sweep *s, int point, const char **why) {
  int count = 0;
  for (int i = 0; i < s->run_count; ++i) {
    const json_t *error = s->runs[i].point == point ? json_object_get(s->runs[i].result, "error") : NULL;
    if (!error) continue;
    if (why) *why = json_string_value(error);
    ++count;
  }
  return count;
}

// What is the same with every seed; -1: none is finished.
static int64_t count_of(const sweep *s, int point, const char *name) {
  for (int i = 0; i < s->run_count; ++i)
    if (s->runs[i].point == point && sweep_finished(&s->runs[i]))
      return (int64_t)json_integer_value(json_object_get(s->runs[i].result, name));
  return -1;
}

// The point with the least mean loss, or the greatest accuracy; -1: none is finished.
static int best_point(const sweep *s) {
  int best = -1;
  double least = INFINITY;
  for (int i = 0; i < s->point_count; ++i) {
    double mean = s->classifier ? -sweep_mean_of(s, i, "accuracy").mean : sweep_mean_of(s, i, "loss").mean;
    if (mean < least) least = mean, best = i;
  }
  return best;
}

// ---- JSON ---------------------------------------------------------------------------------------

static json_t *mean_json(sweep_mean m) {
  json_t *o = json_pack("{s:f, s:i}", "mean", m.mean, "seeds", m.count);
  if (m.count < 2) return o;
  json_object_set_new(o, "deviation", json_real(m.deviation));
  json_object_set_new(o, "interval", json_pack("[f, f]", m.mean - m.half, m.mean + m.half));
  return o;
}

static json_t *point_json(const sweep *s, int point) {
  const sweep_point *p = &s->points[point];
  const char *why = NULL;
  json_t *params = json_object();
  for (int i = 0; i < s->param_count; ++i) json_object_set_new(params, s->params[i].name, json_string(p->values[i]));
  int failed = failures(s, point, &why), finished = sweep_mean_of(s, point, "loss").count;
  json_t *o =
      json_pack("{s:s, s:o, s:i, s:i}", "point", p->name, "params", params, "finished", finished, "failed", failed);
  if (why) json_object_set_new(o, "error", json_string(why));
  for (size_t i = 0; finished && i < LENGTH(counts); ++i)
    json_object_set_new(o, counts[i].name, json_integer((json_int_t)count_of(s, point, counts[i].name)));
  for (size_t i = 0; i < LENGTH(measures); ++i) {
    sweep_mean m = sweep_mean_of(s, point, measures[i].name);
    if (m.count) json_object_set_new(o, measures[i].name, mean_json(m));
  }
  return o;
}

static char *table_json(const sweep *s) {
  json_t *points = json_array(), *seeds = json_array();
  int best = best_point(s);
  for (int i = 0; i < s->point_count; ++i) json_array_append_new(points, point_json(s, i));
  for (int i = 0; i < s->seed_count; ++i) json_array_append_new(seeds, json_integer((json_int_t)s->seeds[i]));
  json_t *root = json_pack("{s:s, s:o, s:o}", "network", s->network, "seeds", seeds, "points", points);
  if (best >= 0) json_object_set_new(root, "best", json_string(s->points[best].name));
  char *printed = json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
  json_decref(root);
  return printed;
}

static void results_lines(const sweep *s, text *out) {
  for (int i = 0; i < s->run_count; ++i) {
    if (!s->runs[i].result) continue;
    char *line = json_dumps(s->runs[i].result, JSON_REAL_PRECISION(9));
    text_printf(out, "%s\n", line);
    free(line);
  }
}

// ---- Markdown -----------------------------------------------------------------------------------

static void add_number(text *out, double value, measure_format format) {
  char time[32];
  switch (format) {
  case FORMAT_FINE: text_printf(out, "%.4f", value); break;
  case FORMAT_COARSE: text_printf(out, "%.*f", value < 100 ? 2 : 0, value); break;
  case FORMAT_WHOLE: text_printf(out, "%.0f", value); break;
  case FORMAT_DURATION: text_add(out, progress_duration(value, time)); break;
  case FORMAT_MEBIBYTES: text_printf(out, "%.0f", value / 1048576.0); break;
  }
}

static void add_mean(text *out, sweep_mean m, measure_format format, bool strong) {
  text_add(out, strong ? " **" : " ");
  add_number(out, m.mean, format);
  if (m.count > 1 && format != FORMAT_DURATION && format != FORMAT_MEBIBYTES) {
    text_add(out, " ± ");
    add_number(out, m.half, format);
  }
  text_add(out, strong ? "** |" : " |");
}

// A cell's text: no line ends, no bars.
static void add_cell(text *out, const char *string) {
  text_add(out, " ");
  for (const char *c = string; *c && *c != '\n'; ++c) text_printf(out, *c == '|' ? "\\%c" : "%c", *c);
  text_add(out, " |");
}

static void add_header(const sweep *s, text *out) {
  text_add(out, "|");
  if (!s->param_count) text_add(out, " |");
  for (int i = 0; i < s->param_count; ++i) add_cell(out, s->params[i].name);
  text_add(out, " seeds |");
  for (size_t i = 0; i < LENGTH(measures); ++i)
    if (shown(s, &measures[i])) add_cell(out, measures[i].title);
  for (size_t i = 0; i < LENGTH(counts); ++i) add_cell(out, counts[i].title);
  text_add(out, "\n|");
  for (int i = 0; i < s->param_count || i < 1; ++i) text_add(out, " --- |");
  text_add(out, " --: |");
  for (size_t i = 0; i < LENGTH(measures); ++i)
    if (shown(s, &measures[i])) text_add(out, " --: |");
  for (size_t i = 0; i < LENGTH(counts); ++i) text_add(out, " --: |");
  text_add(out, "\n");
}

static void add_row(const sweep *s, int point, bool best, text *out) {
  const sweep_point *p = &s->points[point];
  int finished = sweep_mean_of(s, point, "loss").count, failed = failures(s, point, NULL);
  text_add(out, "|");
  if (!s->param_count) add_cell(out, p->name);
  for (int i = 0; i < s->param_count; ++i) add_cell(out, p->values[i]);
  text_printf(out, failed ? " %d, %d failed |" : " %d |", finished, failed);
  for (size_t i = 0; i < LENGTH(measures); ++i) {
    sweep_mean m = sweep_mean_of(s, point, measures[i].name);
    bool deciding = !strcmp(measures[i].name, s->classifier ? "accuracy" : "loss");
    if (!shown(s, &measures[i])) continue;
    if (m.count) add_mean(out, m, measures[i].format, best && deciding);
    else text_add(out, " |");
  }
  for (size_t i = 0; i < LENGTH(counts); ++i) {
    if (finished) text_printf(out, " %lld |", (long long)count_of(s, point, counts[i].name));
    else text_add(out, " |");
  }
  text_add(out, "\n");
}

static void add_failures(const sweep *s, text *out) {
  for (int i = 0; i < s->point_count; ++i) {
    const char *why = NULL;
    if (!failures(s, i, &why)) continue;
    text_printf(out, "\n%s failed:\n\n", s->points[i].name);
    for (const char *line = why; *line;) { // indented: as it is
      size_t length = strcspn(line, "\n");
      text_printf(out, "    %.*s\n", (int)length, line);
      line += length + (line[length] == '\n');
    }
  }
}

static void table_markdown(const sweep *s, text *out) {
  int best = best_point(s);
  add_header(s, out);
  for (int i = 0; i < s->point_count; ++i) add_row(s, i, i == best, out);
  if (s->seed_count > 1) text_add(out, "\nMean ± half of the 95 % interval (Student's t) over the seeds.");
  text_printf(out, "%sThe loss is that on %s data; the training loss that of the last tenth of the steps.\n",
              s->seed_count > 1 ? " " : "\n", s->options->test ? "the test" : "the validation");
  add_failures(s, out);
}

// ---- files --------------------------------------------------------------------------------------

static bool write_text(const sweep *s, const char *name, const char *data, lmn_error *error) {
  text path = {0};
  text_printf(&path, "%s/%s", s->folder, name);
  bool ok = file_write(path.data, data, strlen(data), error);
  text_free(&path);
  return ok;
}

bool sweep_write_tables(const sweep *s, lmn_error *error) {
  text lines = {0}, markdown = {0};
  text_add(&lines, "");
  results_lines(s, &lines);
  table_markdown(s, &markdown);
  char *json = table_json(s);
  bool ok = write_text(s, "results.jsonl", lines.data, error) && write_text(s, "table.md", markdown.data, error) &&
            write_text(s, "table.json", json, error);
  free(json);
  text_free(&lines);
  text_free(&markdown);
  return ok;
}

void sweep_print_table(const sweep *s) {
  text markdown = {0};
  char *json = table_json(s);
  table_markdown(s, &markdown);
  printf("%s\n", s->options->json ? json : markdown.data);
  free(json);
  text_free(&markdown);
}
