#include "driver/sweep/sweep.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void add(sweep_curve *c, const json_t *line, const char *name) {
  const json_t *value = json_object_get(line, name);
  if (!json_is_number(value)) return;
  if (c->count == c->capacity) {
    c->capacity = c->capacity ? 2 * c->capacity : 64;
    c->steps = memory_grow(c->steps, (size_t)c->capacity * sizeof *c->steps);
    c->values = memory_grow(c->values, (size_t)c->capacity * sizeof *c->values);
  }
  c->steps[c->count] = json_number_value(json_object_get(line, "total_step"));
  c->values[c->count++] = json_number_value(value);
}

bool sweep_log_read(const char *run, sweep_log *log, lmn_error *error) {
  *log = (sweep_log){.accuracy = NAN};
  text path = {0};
  text_printf(&path, "%s/log.jsonl", run);
  FILE *file = fopen(path.data, "r");
  double inverse = 0; // every step has as many tokens: the sum of their times
  json_error_t fault;
  for (json_t *line; file && (line = json_loadf(file, JSON_DISABLE_EOF_CHECK, &fault)); json_decref(line)) {
    add(&log->loss, line, "loss");
    add(&log->validation, line, "validation_loss");
    double rate = json_number_value(json_object_get(line, "tokens_per_second"));
    if (rate > 0) inverse += 1 / rate;
    const json_t *accuracy = json_object_get(line, "validation_accuracy");
    if (accuracy) log->accuracy = json_number_value(accuracy);
  }
  if (!file) fail(error, "%s: cannot be opened: %s", path.data, strerror(errno));
  log->tokens_per_second = inverse > 0 ? log->loss.count / inverse : NAN;
  if (file) fclose(file);
  text_free(&path);
  return file != NULL;
}

static void free_curve(sweep_curve *c) {
  free(c->steps);
  free(c->values);
}

void sweep_log_free(sweep_log *log) {
  free_curve(&log->loss);
  free_curve(&log->validation);
}
