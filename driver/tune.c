#include "driver/tune.h"

#include "driver/options.h"
#include "runtime/cuda_driver.h"
#include "runtime/device.h"

#include <dirent.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// ---- the file for the GPU here

static bool any_kept(const char *cache, const char *architecture) {
  DIR *folder = opendir(cache);
  char start[64];
  snprintf(start, sizeof start, "tiles-%s-", architecture);
  bool found = false;
  for (struct dirent *file; folder && !found && (file = readdir(folder));)
    found = !strncmp(file->d_name, start, strlen(start));
  if (folder) closedir(folder);
  return found;
}

const char *tune_kept(arena *a, const char *cache, const char *architecture) {
  if (!cache || !*cache || !any_kept(cache, architecture)) return NULL;
  cuda_driver driver;
  CUdevice gpu;
  char name[128] = "";
  if (!cuda_driver_open(&driver, NULL)) return NULL;
  bool known = !driver.cuDeviceGet(&gpu, 0) && !driver.cuDeviceGetName(name, sizeof name, gpu);
  cuda_driver_close(&driver);
  text path = {0};
  if (known) tiles_path(&path, cache, architecture, name);
  const char *kept = known && file_exists(path.data) ? arena_string(a, path.data) : NULL;
  text_free(&path);
  return kept;
}

// ---- timing

typedef struct tuning {
  const tune_options *options;
  arena *arena;
  plan *plan;
  device *device;
  tiles_file found; // of this run
} tuning;

// "KEY: TILES" of an entry's name.
static const char *tiles_of(const plan_entry *e) {
  const char *colon = strrchr(e->name, ':');
  return colon && colon[1] == ' ' ? colon + 2 : NULL;
}

static bool same_product(const plan_entry *a, const plan_entry *b) {
  size_t length = (size_t)(tiles_of(a) - a->name);
  return (size_t)(tiles_of(b) - b->name) == length && !memcmp(a->name, b->name, length);
}

static bool check_plan(const tuning *t, lmn_error *error) {
  for (int i = 0; i < t->plan->entry_count; ++i)
    if (!tiles_of(&t->plan->entries[i]) || !t->plan->entries[i].launch_count)
      return fail(error, "%s: is a compiled network; tiles are measured of what lmnc tune NET --prepare FOLDER writes",
                  t->options->trials);
  return t->plan->entry_count || fail(error, "%s: has no products", t->options->trials);
}

// Numbers between a half and two, of either sign: with zeros a GPU would need less power, and run faster.
static bool fill(const tuning *t, int64_t bytes, lmn_error *error) {
  enum { PIECE = 16 << 20 };
  uint16_t *numbers = memory_zero(PIECE);
  uint32_t state = 1;
  for (int i = 0; i < PIECE / 2; ++i) {
    state = state * 1664525 + 1013904223;
    numbers[i] = (uint16_t)(0x3f00 | (state >> 16 & 0x80ff));
  }
  bool ok = true;
  for (int64_t at = 0; ok && at < bytes; at += PIECE)
    ok = device_write(t->device, SPACE_ARENA, at, numbers, bytes - at < PIECE ? bytes - at : PIECE, error);
  free(numbers);
  return ok;
}

static int compare_doubles(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

enum { WARM = 2, ROUNDS = 5 };

// Seconds of one product of each of the entries: medians of rounds, in each of which all have their turn.
static bool time_product(const tuning *t, const plan_entry *entries, int count, double *seconds, lmn_error *error) {
  double(*rounds)[ROUNDS] = memory_zero((size_t)count * sizeof *rounds);
  bool ok = true;
  for (int r = -WARM; ok && r < ROUNDS; ++r)
    for (int i = 0; ok && i < count; ++i) {
      double began = clock_seconds();
      ok = device_run(t->device, &entries[i], error);
      if (r >= 0) rounds[i][r] = (clock_seconds() - began) / entries[i].launch_count;
    }
  for (int i = 0; i < count; ++i) {
    qsort(rounds[i], ROUNDS, sizeof rounds[i][0], compare_doubles);
    seconds[i] = rounds[i][ROUNDS / 2];
  }
  free(rounds);
  return ok;
}

// The usual tiles, which are the first, unless others are faster by more than what may be chance.
static void keep_best(tuning *t, const plan_entry *entries, int count, const double *seconds) {
  const double chance = 0.99;
  int best = 0;
  for (int i = 1; i < count; ++i)
    if (seconds[i] < seconds[best] && seconds[i] < chance * seconds[0]) best = i;
  tiles_set(&t->found,
            (tiles_product){
                .product = arena_printf(t->arena, "%.*s", (int)(tiles_of(entries) - 2 - entries->name), entries->name),
                .tiles = tiles_of(&entries[best]),
                .seconds = seconds[best],
                .usual = tiles_of(entries),
                .usual_seconds = seconds[0]});
}

static void show_progress(const tuning *t, int done) {
  enum { WIDTH = 40 };
  if (!isatty(STDERR_FILENO)) return;
  int all = t->plan->entry_count, full = WIDTH * done / all;
  fprintf(stderr, "\rmeasuring [%.*s%*s] %d/%d\x1b[K%s", full, "========================================", WIDTH - full,
          "", done, all, done == all ? "\n" : "");
}

static bool time_all(tuning *t, lmn_error *error) {
  const plan *p = t->plan;
  int64_t bytes = 0;
  for (int i = 0; i < p->entry_count; ++i)
    if (p->entries[i].arena_bytes > bytes) bytes = p->entries[i].arena_bytes;
  if (!device_reserve(t->device, SPACE_ARENA, bytes, error) || !fill(t, bytes, error)) return false;
  double *seconds = memory_zero((size_t)p->entry_count * sizeof *seconds);
  bool ok = true;
  for (int first = 0, end; ok && first < p->entry_count; first = end) {
    for (end = first + 1; end < p->entry_count && same_product(&p->entries[first], &p->entries[end]);) ++end;
    show_progress(t, first);
    ok = time_product(t, &p->entries[first], end - first, seconds, error);
    if (ok) keep_best(t, &p->entries[first], end - first, seconds);
  }
  if (ok) show_progress(t, p->entry_count);
  free(seconds);
  return ok;
}

// ---- the result

static void print_table(const tiles_file *f, const char *path) {
  int width = 7;
  for (int i = 0; i < f->count; ++i)
    if ((int)strlen(f->items[i].product) > width) width = (int)strlen(f->items[i].product);
  printf("%-*s  %-14s %9s  %-14s %9s  faster\n", width, "product", "usual tiles", "us", "best", "us");
  for (int i = 0; i < f->count; ++i) {
    const tiles_product *p = &f->items[i];
    printf("%-*s  %-14s %9.1f  %-14s %9.1f  %5.1f %%\n", width, p->product, p->usual, p->usual_seconds * 1e6, p->tiles,
           p->seconds * 1e6, 100 * (p->usual_seconds / p->seconds - 1));
  }
  printf("%s: tiles of %d products for %s\n", path, f->count, f->gpu);
}

static void print_json(const tiles_file *f, const char *path) {
  json_t *list = json_array();
  for (int i = 0; i < f->count; ++i) {
    const tiles_product *p = &f->items[i];
    json_array_append_new(list,
                          json_pack("{s:s, s:s, s:f, s:s, s:f}", "product", p->product, "usual", p->usual, "usual_us",
                                    p->usual_seconds * 1e6, "tiles", p->tiles, "us", p->seconds * 1e6));
  }
  json_t *root = json_pack("{s:b, s:s, s:s, s:s, s:o}", "ok", 1, "file", path, "gpu", f->gpu, "architecture",
                           f->architecture, "products", list);
  json_dumpf(root, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
  putchar('\n');
  json_decref(root);
}

// What was found, in the file beside what other networks left there.
static bool keep(tuning *t, lmn_error *error) {
  text path = {0};
  tiles_file all = {0};
  if (t->options->output) text_add(&path, t->options->output);
  else tiles_path(&path, t->options->cache, t->found.architecture, t->found.gpu);
  bool ok = !file_exists(path.data) || tiles_read(t->arena, path.data, &all, error);
  if (ok && all.gpu && (strcmp(all.gpu, t->found.gpu) || strcmp(all.architecture, t->found.architecture)))
    ok = fail(error, "%s: has tiles for %s (%s), and this is %s; write to another file, -o FILE", path.data, all.gpu,
              all.architecture, t->found.gpu);
  all.gpu = t->found.gpu, all.architecture = t->found.architecture;
  for (int i = 0; i < t->found.count; ++i) tiles_set(&all, t->found.items[i]);
  ok = ok && tiles_write(&all, path.data, error);
  if (ok) (t->options->json ? print_json : print_table)(&t->found, path.data);
  tiles_free(&all);
  text_free(&path);
  return ok;
}

bool tune_artifact(const tune_options *o, lmn_error *error) {
  tuning t = {.options = o, .arena = arena_create()};
  text path = {0};
  text_printf(&path, "%s/plan.json", o->trials);
  bool ok = plan_read(t.arena, path.data, &t.plan, error) && check_plan(&t, error);
  const device_options options = {.gpu = (int)o->gpu};
  ok = ok && (t.device = device_open(t.plan, o->trials, &options, error));
  if (ok) t.found = (tiles_file){.gpu = device_name(t.device), .architecture = t.plan->target};
  ok = ok && time_all(&t, error) && keep(&t, error);
  if (t.device) device_close(t.device);
  tiles_free(&t.found);
  text_free(&path);
  arena_destroy(t.arena);
  return ok;
}

int tune_run_command(int argument_count, char **arguments) {
  tune_options o = {.output = "tiles.json"};
  const command_option options[] = {
      {"output", 'o', "FILE", "what is found, for lmnc compile --tiles; default: tiles.json", OPTION_TEXT, &o.output},
      {"device", 0, "N", "which GPU, as the driver counts them; default: 0", OPTION_COUNT, &o.gpu},
      {"json", 0, NULL, "the result as one JSON object", OPTION_FLAG, &o.json},
  };
  const command_usage usage = {"tune",   "Measures which tiles of a network's products are fastest on this GPU.",
                               "TRIALS", "trials.lmnx -o tiles.json",
                               options,  (int)LENGTH(options)};
  options_result result = options_parse(&usage, argument_count, arguments, &o.trials);
  if (result != OPTIONS_RUN) return result == OPTIONS_DONE ? 0 : 2;
  lmn_error error = {0};
  if (tune_artifact(&o, &error)) return 0;
  fprintf(stderr, "error: %s\n", error.text);
  return 1;
}
