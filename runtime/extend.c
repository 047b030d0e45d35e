// Generation's steps: new tokens of every row over the KV caches, by the extend entries that there are.
#include "runtime/network.h"

#include <stdlib.h>
#include <string.h>

// ---- reset --------------------------------------------------------------------------------------

static bool of_cache(const plan_entry *e, int64_t batch, int64_t capacity) {
  return e->kind == ENTRY_EXTEND && e->batch == batch && e->capacity == capacity;
}

// The smallest cache that is large enough: entries of a (B, capacity) share one.
static bool choose_cache(lmn_network *n, int64_t rows, int64_t capacity, lmn_error *error) {
  const plan_entry *best = NULL;
  text there = {0};
  for (int i = 0; i < n->plan->entry_count; ++i) {
    const plan_entry *e = &n->plan->entries[i];
    if (e->kind != ENTRY_EXTEND) continue;
    text_printf(&there, "%s%s", there.length ? ", " : "", e->name);
    if (e->batch < rows || e->capacity < capacity) continue;
    if (!best || e->batch < best->batch || (e->batch == best->batch && e->capacity < best->capacity)) best = e;
  }
  if (best) {
    n->rows = rows;
    n->cache_batch = best->batch;
    n->capacity = best->capacity;
  } else {
    fail(error, "%s: has no extend entry for %lld sequences and %lld positions; it has: %s", n->artifact,
         (long long)rows, (long long)capacity, there.length ? there.data : "none");
  }
  text_free(&there);
  return best != NULL;
}

static bool reserve_cache(lmn_network *n, lmn_error *error) {
  int64_t bytes = 0;
  for (int i = 0; i < n->plan->entry_count; ++i) {
    const plan_entry *e = &n->plan->entries[i];
    if (of_cache(e, n->cache_batch, n->capacity) && e->cache_bytes > bytes) bytes = e->cache_bytes;
  }
  return network_reserve(n, SPACE_CACHE, bytes, error);
}

static const plan_entry *chunk_entry(const lmn_network *n, int64_t chunk) {
  for (int i = 0; i < n->plan->entry_count; ++i)
    if (of_cache(&n->plan->entries[i], n->cache_batch, n->capacity) && n->plan->entries[i].length == chunk)
      return &n->plan->entries[i];
  return NULL;
}

static int64_t logits_width(const lmn_network *n) { return n->plan->classes ? n->plan->classes : n->plan->vocabulary; }

static bool run_prefix(lmn_network *n, lmn_error *error) {
  if (!n->plan->prefix) return true;
  const plan_entry *entry = chunk_entry(n, 0);
  if (!entry)
    return fail(error, "%s: has no entry that puts the prefix in a cache of %lld x %lld", n->artifact,
                (long long)n->cache_batch, (long long)n->capacity);
  if (!network_prepare(n, entry, error)) return false;
  int32_t *lengths = network_input(n, entry, "lengths"), *counts = network_input(n, entry, "counts");
  for (int64_t b = 0; b < n->cache_batch; ++b) {
    if (lengths) lengths[b] = 0;
    if (counts) counts[b] = 1;
  }
  if (!network_run(n, entry, error)) return false;
  network_rewind(n, n->plan->prefix);
  return true;
}

bool lmn_reset(lmn_network *n, int64_t batch, int64_t capacity, lmn_error *error) {
  n->vertex_runs = 0;
  n->rows = 0;
  if (batch < 1) return fail(error, "generation needs at least one sequence");
  if (!choose_cache(n, batch, capacity, error) || !reserve_cache(n, error)) return false;
  n->lengths = memory_grow(n->lengths, (size_t)n->cache_batch * sizeof *n->lengths);
  n->logits = memory_grow(n->logits, (size_t)(n->rows * logits_width(n)) * sizeof *n->logits);
  memset(n->logits, 0, (size_t)(n->rows * logits_width(n)) * sizeof *n->logits);
  network_rewind(n, 0);
  return run_prefix(n, error);
}

void network_rewind(lmn_network *n, int64_t length) {
  for (int64_t b = 0; b < n->cache_batch; ++b) n->lengths[b] = length;
}

// ---- extend -------------------------------------------------------------------------------------

static bool check_extend(const lmn_network *n, const int32_t *ids, int64_t stride, const int32_t *counts,
                         lmn_error *error) {
  if (!n->rows) return fail(error, "generation begins with lmn_reset");
  for (int64_t b = 0; b < n->rows; ++b) {
    int64_t count = counts[b], tokens = n->lengths[b] - n->plan->prefix + count;
    if (count < 0 || count > stride)
      return fail(error, "sequence %lld gets %lld tokens; there is room for 0 to %lld", (long long)b, (long long)count,
                  (long long)stride);
    if (n->lengths[b] + count > n->capacity)
      return fail(
          error,
          "sequence %lld would have %lld positions; the cache holds %lld: compile for more, or generate fewer tokens",
          (long long)b, (long long)(n->lengths[b] + count), (long long)n->capacity);
    if (count && n->plan->positions && tokens > n->plan->positions)
      return fail(error,
                  "sequence %lld would have %lld tokens; the model has %lld positions: use a shorter prompt, or "
                  "generate fewer tokens",
                  (long long)b, (long long)tokens, (long long)n->plan->positions);
    for (int64_t i = 0; i < count; ++i)
      if (ids[b * stride + i] < 0 || ids[b * stride + i] >= n->plan->vocabulary)
        return fail(error, "token %lld of sequence %lld is %d; the vocabulary has %lld", (long long)i, (long long)b,
                    ids[b * stride + i], (long long)n->plan->vocabulary);
  }
  return true;
}

// The chunk in which a row's `remaining` tokens go on: by this row alone, so that a row among others is cut as it is by
// itself. A chunk may be filled to a quarter: that is still cheaper than token by token.
static int64_t chunk_of_row(const lmn_network *n, int64_t length, int64_t remaining) {
  int64_t best = 1;
  for (int i = 0; i < n->plan->entry_count; ++i) {
    const plan_entry *e = &n->plan->entries[i];
    if (!of_cache(e, n->cache_batch, n->capacity) || e->length <= 1 || length + e->length > n->capacity) continue;
    if (e->length > 4 * remaining) continue;
    bool fits = e->length >= remaining, best_fits = best >= remaining;
    if (fits ? (!best_fits || e->length < best) : (!best_fits && e->length > best)) best = e->length;
  }
  return best;
}

// Rows that take part in a run of `chunk`: those that want it. The others are run on a dummy token behind their last
// one, which the next real token overwrites; a row whose cache is full has nothing to lose. False where that would
// touch what a row still needs.
static bool room_for_idle(const lmn_network *n, const int64_t *wanted, int64_t chunk) {
  for (int64_t b = 0; b < n->cache_batch; ++b) {
    bool idle = b >= n->rows || wanted[b] != chunk;
    if (idle && n->lengths[b] < n->capacity && n->lengths[b] + chunk > n->capacity) return false;
  }
  return true;
}

static bool run_chunk(lmn_network *n, const plan_entry *entry, const int32_t *ids, int64_t stride,
                      const int32_t *counts, const int64_t *wanted, int64_t *done, lmn_error *error) {
  if (!network_prepare(n, entry, error)) return false;
  int64_t chunk = entry->length, width = logits_width(n);
  int32_t *to = network_input(n, entry, "input_ids"), *lengths = network_input(n, entry, "lengths");
  int32_t *real = network_input(n, entry, "counts"), *positions = network_input(n, entry, "positions");
  const float *logits = network_output(n, entry, "logits");
  if (!to || !lengths || !logits)
    return fail(error, "%s: %s has no input_ids, lengths or logits", n->artifact, entry->name);
  for (int64_t b = 0; b < n->cache_batch; ++b) {
    bool active = b < n->rows && wanted[b] == chunk;
    int64_t left = active ? counts[b] - done[b] : 0, count = left < chunk ? left : chunk;
    int64_t length = n->lengths[b] + chunk <= n->capacity ? n->lengths[b] : n->capacity - chunk;
    lengths[b] = (int32_t)length;
    if (real) real[b] = active ? (int32_t)count : 1;
    for (int64_t i = 0; i < chunk; ++i) {
      to[b * chunk + i] = i < count ? ids[b * stride + done[b] + i] : 0;
      if (!positions) continue;
      int64_t position = length - n->plan->prefix + i;
      if (position < 0) position = 0;
      positions[b * chunk + i] = (int32_t)(position < n->plan->positions ? position : n->plan->positions - 1);
    }
  }
  if (!network_run(n, entry, error)) return false;
  for (int64_t b = 0; b < n->rows; ++b) {
    if (wanted[b] != chunk) continue;
    int64_t left = counts[b] - done[b], count = left < chunk ? left : chunk;
    done[b] += count;
    n->lengths[b] += count;
    if (done[b] == counts[b]) memcpy(n->logits + b * width, logits + b * width, (size_t)width * sizeof(float));
  }
  return true;
}

// The largest chunk that a row wants now; 0: every row has its tokens.
static int64_t next_chunk(const lmn_network *n, const int32_t *counts, const int64_t *done, int64_t *wanted) {
  int64_t largest = 0;
  for (int64_t b = 0; b < n->rows; ++b) {
    wanted[b] = done[b] < counts[b] ? chunk_of_row(n, n->lengths[b], counts[b] - done[b]) : 0;
    if (wanted[b] > largest) largest = wanted[b];
  }
  if (largest <= 1 || room_for_idle(n, wanted, largest)) return largest;
  for (int64_t b = 0; b < n->rows; ++b) wanted[b] = wanted[b] != 0;
  return 1;
}

bool lmn_extend(lmn_network *n, const int32_t *ids, int64_t stride, const int32_t *counts, const float **logits,
                lmn_error *error) {
  n->vertex_runs = 0;
  if (!check_extend(n, ids, stride, counts, error)) return false;
  int64_t *done = memory_zero((size_t)n->rows * sizeof *done), *wanted = memory_zero((size_t)n->rows * sizeof *wanted);
  bool ok = true;
  for (int64_t chunk; ok && (chunk = next_chunk(n, counts, done, wanted));) {
    const plan_entry *entry = chunk_entry(n, chunk);
    ok = entry ? run_chunk(n, entry, ids, stride, counts, wanted, done, error)
               : fail(error, "%s: has no entry of chunk %lld for %lld sequences and %lld positions", n->artifact,
                      (long long)chunk, (long long)n->cache_batch, (long long)n->capacity);
  }
  if (ok && logits) *logits = n->logits;
  free(done);
  free(wanted);
  return ok;
}
