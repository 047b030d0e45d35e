// Rows as examples of at most T inputs, and examples as sequences: one each, or packed, as many as fit.
#include "runtime/dataset_parts.h"

#include <stdlib.h>
#include <string.h>

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

void shuffle(int64_t *order, int64_t count, random_stream stream) {
  for (int64_t i = 0; i < count; ++i) order[i] = i;
  for (int64_t i = count - 1; i > 0; --i) {
    int64_t k = (int64_t)(random_uniform(&stream) * (double)(i + 1)), swap = order[i];
    order[i] = order[k];
    order[k] = swap;
  }
}

static void add(packing *p, example e) {
  GROW(p->examples, p->example_count, p->example_capacity);
  p->examples[p->example_count++] = e;
}

// A document or stream: pieces that overlap by the one id which is the last label of one and the first input of the
// next.
static void add_document(packing *p, const token_row *r, int64_t length) {
  for (int64_t start = 0; start + 1 < r->count; start += length)
    add(p,
        (example){.offset = r->offset + start, .count = (int32_t)least(length + 1, r->count - start), .labelled = 1});
}

// Takes ids away behind the prefix until `prompt` of them are left.
static void cut_prompt(example *e, int64_t prompt, int64_t prefix) {
  int32_t cut = e->labelled - (int32_t)prompt;
  e->head = (int32_t)(prompt > prefix ? prefix : 0);
  e->offset += cut + e->head;
  e->count -= cut;
  e->labelled -= cut;
}

// Prompt and completion. The completion is cut at its end; a prompt that leaves it less than half of the room, at its
// start.
static void add_pair(packing *p, const token_row *r, int64_t length, int64_t prefix, dataset_counts *counts) {
  int64_t room = length + 1, completion = r->count - r->labelled;
  int64_t prompt = least(r->labelled, room - least(completion, room / 2));
  example e = {.offset = r->offset, .count = (int32_t)least(r->count, INT32_MAX), .labelled = (int32_t)r->labelled};
  if (prompt < r->labelled) cut_prompt(&e, prompt, prefix), ++counts->cut_prompts;
  if (e.count > room) e.count = (int32_t)room, ++counts->cut_completions;
  add(p, e);
}

static void add_classified(packing *p, const token_row *r, int64_t length, int64_t prefix, dataset_counts *counts) {
  example e = {.offset = r->offset, .count = (int32_t)r->count, .labelled = (int32_t)r->count, .label = r->label};
  if (r->count > length) cut_prompt(&e, length, prefix), ++counts->cut_prompts;
  add(p, e);
}

typedef struct bins {         // sequences that are being filled, by the inputs that still fit
  int64_t *first, *next, *of; // first: by room, -1: none; of: an example's sequence
  uint64_t *filled;           // which rooms have one
  int64_t count;
} bins;

static void put_bin(bins *b, int64_t bin, int64_t room) {
  b->next[bin] = b->first[room];
  b->first[room] = bin;
  b->filled[room / 64] |= (uint64_t)1 << (room % 64);
}

// The sequence with the least room that has `size`; -1: none.
static int64_t take_bin(bins *b, int64_t size, int64_t length, int64_t *room) {
  for (int64_t word = size / 64; word <= length / 64; ++word) {
    uint64_t bits = b->filled[word];
    if (word == size / 64) bits &= ~(uint64_t)0 << (size % 64);
    if (!bits) continue;
    *room = word * 64 + __builtin_ctzll(bits);
    int64_t bin = b->first[*room];
    b->first[*room] = b->next[bin];
    if (b->first[*room] < 0) b->filled[word] &= ~((uint64_t)1 << (*room % 64));
    return bin;
  }
  return -1;
}

// Best fit: every example goes where the least room is left. In a random order, so that neighbours in the files do not
// stay together.
static void assign(packing *p, bins *b, const dataset_options *o) {
  int64_t count = p->example_count, *visit = memory_alloc((size_t)(count + 1) * sizeof *visit);
  if (o->shuffle) shuffle(visit, count, random_named(o->seed, "packing"));
  for (int64_t i = 0; i < count; ++i) {
    int64_t e = o->shuffle ? visit[i] : i, size = p->examples[e].count - 1, room = o->length;
    int64_t bin = o->packed ? take_bin(b, size, o->length, &room) : -1;
    if (bin < 0) bin = b->count++, room = o->length;
    b->of[e] = bin;
    if (o->packed) put_bin(b, bin, room - size);
  }
  free(visit);
}

static void form_sequences(packing *p, const dataset_options *o) {
  size_t count = (size_t)p->example_count + 1, rooms = (size_t)o->length + 1;
  bins b = {.first = memory_alloc(rooms * sizeof *b.first),
            .next = memory_alloc(count * sizeof *b.next),
            .of = memory_alloc(count * sizeof *b.of),
            .filled = memory_zero((rooms / 64 + 1) * sizeof *b.filled)};
  memset(b.first, -1, rooms * sizeof *b.first);
  if (o->packed) assign(p, &b, o);
  else
    for (b.count = 0; b.count < p->example_count; ++b.count) b.of[b.count] = b.count;
  p->sequences = b.count;
  // at[s + 1] counts sequence s, then becomes its begin, then, filled in, its end; which is where s + 1 begins
  p->begin = memory_zero((size_t)(b.count + 3) * sizeof *p->begin);
  p->order = memory_alloc(count * sizeof *p->order);
  int64_t *at = p->begin;
  for (int64_t e = 0; e < p->example_count; ++e) ++at[b.of[e] + 2];
  for (int64_t s = 2; s <= b.count; ++s) at[s] += at[s - 1];
  for (int64_t e = 0; e < p->example_count; ++e) p->order[at[b.of[e] + 1]++] = e;
  free(b.first), free(b.next), free(b.of), free(b.filled);
}

void pack_rows(packing *p, const tokenized *rows, const dataset_options *o, int64_t prefix, dataset_counts *counts) {
  for (int64_t i = 0; i < rows->row_count; ++i) {
    const token_row *r = &rows->rows[i];
    if (o->classes) add_classified(p, r, o->length, prefix, counts);
    else if (o->completion) add_pair(p, r, o->length, prefix, counts);
    else add_document(p, r, o->length);
  }
  form_sequences(p, o);
  counts->rows = rows->row_count;
  counts->sequences = p->sequences;
  for (int64_t e = 0; e < p->example_count; ++e) {
    const example *x = &p->examples[e];
    counts->tokens += o->classes ? x->count : x->count - 1;
    counts->labels += o->classes ? 1 : x->count - x->labelled;
  }
}

void pack_free(packing *p) {
  free(p->examples);
  free(p->order);
  free(p->begin);
}
