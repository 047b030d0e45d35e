// A network at work, for the trainer, the tracer and the measurements: what lmn.h does in one call, in its parts.
#ifndef LMN_NETWORK_H
#define LMN_NETWORK_H

#include "runtime/device.h"
#include "runtime/lmn.h"
#include "runtime/profile.h"

struct lmn_network {
  arena *arena;
  char *artifact;
  plan *plan;
  device *device;
  int64_t space_bytes[SPACE_COUNT]; // reserved so far
  int gradient_phase, moment_phase; // whose layout these spaces have, -1: none
  int64_t step;                     // optimizer steps done since moment_phase began
  int64_t vertex_runs;
  profile *profile; // the caller's; NULL: none
  // What was sent ahead (network_send_ahead): the batch of these ids, for that entry, with that scale. NULL: nothing.
  const int32_t *ahead_ids;
  const plan_entry *ahead_entry;
  float ahead_scale;
  // Generation: `rows` sequences in entries of `cache_batch` rows.
  int64_t rows, cache_batch, capacity;
  int64_t *lengths; // positions in the cache, the prefix's included
  float *logits;    // [rows, V]
};

const plan_value *entry_output(const plan_entry *entry, const char *name); // NULL: none
const plan_value *entry_input(const plan_entry *entry, const char *name);
int64_t value_elements_of(const plan_value *value);
// A named input or output in its space, which the host has always; NULL: the entry has none of that name.
void *network_input(lmn_network *n, const plan_entry *entry, const char *name);
void *network_output(lmn_network *n, const plan_entry *entry, const char *name);

// The entry for a batch of that shape. A packed entry also takes rows that are not packed. NULL: none, and the message
// lists those of that kind that the artifact has.
const plan_entry *network_entry(lmn_network *n, entry_kind kind, int phase, int64_t batch, int64_t length, bool packed,
                                lmn_error *error);
// Checks and fills in a batch, runs the entry, counts its vertex runs. scale: what the sum of the losses is multiplied
// by.
bool network_compute(lmn_network *n, const plan_entry *entry, const lmn_batch *batch, float scale, lmn_error *error);
// Checks the first batch of a later step, of which `labels` labels count, and begins to copy it to the device beside
// what runs there. Its arrays stay as they are until then.
bool network_send_ahead(lmn_network *n, int phase, const lmn_batch *batch, int64_t labels, lmn_error *error);
double network_loss(lmn_network *n, const plan_entry *entry); // after network_compute: sum of the losses times scale
int64_t batch_labels(const lmn_network *n, const lmn_batch *batch); // how many labels count

// A whole space for the host to read or change: in place where the device's memory is the host's, else in a copy. With
// VIEW_WRITE alone what was there is not fetched. end: gives back what was changed where `ok`; false where that cannot
// be, or not `ok`.
typedef enum { VIEW_READ = 1, VIEW_WRITE = 2 } view_use;
typedef struct space_view {
  plan_space space;
  int use;
  char *bytes, *copy; // copy: NULL where it is in place
} space_view;
bool network_view(lmn_network *n, plan_space space, int use, space_view *view, lmn_error *error);
bool network_view_end(lmn_network *n, space_view *view, bool ok, lmn_error *error);

bool network_use_gradients(lmn_network *n, int phase, lmn_error *error); // SPACE_GRADIENT gets the phase's layout
// AdamW over the gradients there are; begins the phase if its optimizer state is not there.
bool network_update(lmn_network *n, int phase, double learning_rate, double *gradient_norm, lmn_error *error);
bool network_gradient_norm(lmn_network *n, int phase, double *norm, lmn_error *error);

// Whether there is memory for all that the entry needs and that is not reserved yet; the message says what would fit.
bool network_fits(lmn_network *n, const plan_entry *entry, lmn_error *error);
bool network_reserve(lmn_network *n, plan_space space, int64_t bytes, lmn_error *error); // at least that much
bool network_prepare(lmn_network *n, const plan_entry *entry, lmn_error *error); // arena, input and output of an entry
bool network_run(lmn_network *n, const plan_entry *entry, lmn_error *error);
void network_rewind(lmn_network *n,
                    int64_t length); // every row at that length, whatever its cache holds: for measurements
void network_fill_rotary(const plan *p, char *constants);

#endif
