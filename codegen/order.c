// What each launch waits for: an op for those that wrote what it reads or writes, and for those that read what it
// writes, of the bytes where all of it lies, since plan-memory uses them again; and of these only for what it would not
// wait for anyhow. The launches of one op follow each other.
#include "codegen/order.h"

#include <stdlib.h>
#include <string.h>

typedef struct range {
  plan_space space;
  int64_t begin, end;
} range;

typedef struct piece { // bytes that have one history
  range at;
  int writer; // the last op that wrote them; -1: none
  int *readers, count, capacity;
} piece;

typedef struct order {
  ir *m;
  int64_t scratch;
  piece *pieces; // ordered, apart
  int count, capacity;
  uint64_t *before; // of each op, `words` of bits: all ops that it waits for
  int words;
  int *waits, wait_count, wait_capacity; // of the op at hand
  range *reads, *writes;                 // likewise
  int read_count, read_capacity, write_count, write_capacity;
} order;

static int64_t imax(int64_t a, int64_t b) { return a > b ? a : b; }

// ---- the bytes of an op -------------------------------------------------------------------------

static void add_range(range **list, int *count, int *capacity, plan_ref at, int64_t bytes) {
  if (bytes <= 0) return;
  GROW(*list, *count, *capacity);
  (*list)[(*count)++] = (range){at.space, at.offset, at.offset + bytes};
}

static void read_bytes(order *o, plan_ref at, int64_t bytes) {
  add_range(&o->reads, &o->read_count, &o->read_capacity, at, bytes);
}

static void write_bytes(order *o, plan_ref at, int64_t bytes) {
  add_range(&o->writes, &o->write_count, &o->write_capacity, at, bytes);
}

// A product's rows may be further apart than its value says.
static int64_t product_bytes(MlirOperation op, MlirValue v, const char *operand) {
  bool a = !strcmp(operand, "a"), b = !strcmp(operand, "b");
  int64_t m = ir_int(op, "m"), n = ir_int(op, "n"), k = ir_int(op, "k");
  bool turned = a ? ir_int(op, "trans_a") != 0 : b && ir_int(op, "trans_b") != 0;
  int64_t rows = a ? m : b ? k : m, columns = a ? k : n;
  if (turned) rows = a ? k : n, columns = a ? m : k;
  int64_t leading = ir_int(op, a   ? "lda"
                               : b ? "ldb"
                                   : "ldc"),
          stride = ir_int(op, a   ? "a_stride"
                              : b ? "b_stride"
                                  : "c_stride");
  int64_t elements = (rows - 1) * leading + columns + (ir_int(op, "groups") - 1) * stride;
  return elements * value_element_bytes(v);
}

static void list_bytes(order *o, MlirOperation op) {
  ir *m = o->m;
  bool product = ir_code(m, op) == KERNEL_GEMM;
  segment a = {0}, b = {0}, c = {0};
  if (product) a = ir_operands(m, op, 0), b = ir_operands(m, op, 1), c = ir_results(m, op, 0);
  for (int i = 0; i < (int)mlirOperationGetNumOperands(op); ++i) {
    MlirValue v = mlirOperationGetOperand(op, i);
    int64_t bytes = value_bytes(v);
    if (i >= a.first && i < a.first + a.count) bytes = imax(bytes, product_bytes(op, v, "a"));
    if (i >= b.first && i < b.first + b.count) bytes = imax(bytes, product_bytes(op, v, "b"));
    read_bytes(o, ir_place(v), bytes);
  }
  for (int i = 0; i < (int)mlirOperationGetNumResults(op); ++i) {
    MlirValue v = mlirOperationGetResult(op, i);
    int64_t bytes = value_bytes(v);
    if (i >= c.first && i < c.first + c.count) bytes = imax(bytes, product_bytes(op, v, "c"));
    write_bytes(o, ir_place(v), bytes);
  }
}

// Ops that touch memory which is no operand of theirs.
static bool touches_more(op_code code) {
  return code == KERNEL_GRADIENT_NORM || code == KERNEL_ADAMW || code == KERNEL_ATTENTION_CACHED;
}

static void list_all(order *o, MlirOperation op, const plan_launch *launches, int count) {
  o->read_count = o->write_count = o->wait_count = 0;
  if (touches_more(ir_code(o->m, op)))
    for (int s = 0; s < SPACE_COUNT; ++s) write_bytes(o, (plan_ref){(plan_space)s, 0}, INT64_MAX);
  else list_bytes(o, op);
  bool scratch = false;
  for (int i = 0; i < count; ++i)
    for (int k = 0; k < launches[i].arg_count; ++k)
      scratch |= launches[i].args[k].space == SPACE_ARENA && launches[i].args[k].offset >= o->scratch;
  if (scratch) write_bytes(o, (plan_ref){SPACE_ARENA, o->scratch}, INT64_MAX - o->scratch);
}

// ---- pieces -------------------------------------------------------------------------------------

static bool ends_before(const range *a, plan_space space, int64_t offset) {
  return a->space < space || (a->space == space && a->end <= offset);
}

// The first piece that does not end before that.
static int find_piece(const order *o, plan_space space, int64_t offset) {
  int low = 0, high = o->count;
  while (low < high) {
    int middle = (low + high) / 2;
    if (ends_before(&o->pieces[middle].at, space, offset)) low = middle + 1;
    else high = middle;
  }
  return low;
}

static void insert_piece(order *o, int at, piece p) {
  GROW(o->pieces, o->count, o->capacity);
  memmove(&o->pieces[at + 1], &o->pieces[at], (size_t)(o->count - at) * sizeof p);
  o->pieces[at] = p;
  o->count++;
}

// Cuts the piece that the offset is inside of, if there is one.
static void cut(order *o, plan_space space, int64_t offset) {
  int i = find_piece(o, space, offset);
  if (i == o->count || o->pieces[i].at.space != space || o->pieces[i].at.begin >= offset) return;
  piece upper = o->pieces[i];
  upper.readers = memory_alloc((size_t)upper.capacity * sizeof *upper.readers + 1);
  if (upper.count) memcpy(upper.readers, o->pieces[i].readers, (size_t)upper.count * sizeof *upper.readers);
  upper.at.begin = o->pieces[i].at.end = offset;
  insert_piece(o, i + 1, upper);
}

// Makes pieces of exactly the range's bytes; they are [first, the result).
static int cover(order *o, const range *r, int *first) {
  cut(o, r->space, r->begin);
  cut(o, r->space, r->end);
  int i = *first = find_piece(o, r->space, r->begin);
  for (int64_t at = r->begin; at < r->end; at = o->pieces[i++].at.end) {
    bool there = i < o->count && o->pieces[i].at.space == r->space && o->pieces[i].at.begin == at;
    if (there) continue;
    bool bounded = i < o->count && o->pieces[i].at.space == r->space && o->pieces[i].at.begin < r->end;
    int64_t end = bounded ? o->pieces[i].at.begin : r->end;
    insert_piece(o, i, (piece){.at = {r->space, at, end}, .writer = -1});
  }
  return i;
}

static void wait_for(order *o, int op) {
  if (op < 0) return;
  GROW(o->waits, o->wait_count, o->wait_capacity);
  o->waits[o->wait_count++] = op;
}

static void note_read(order *o, const range *r, int op) {
  int first, end = cover(o, r, &first);
  for (int i = first; i < end; ++i) {
    piece *p = &o->pieces[i];
    wait_for(o, p->writer);
    GROW(p->readers, p->count, p->capacity);
    p->readers[p->count++] = op;
  }
}

static void note_write(order *o, const range *r, int op) {
  int first, end = cover(o, r, &first);
  for (int i = first; i < end; ++i) {
    piece *p = &o->pieces[i];
    wait_for(o, p->writer);
    for (int k = 0; k < p->count; ++k)
      if (p->readers[k] != op) wait_for(o, p->readers[k]);
    free(p->readers);
  }
  o->pieces[first] = (piece){.at = *r, .writer = op};
  memmove(&o->pieces[first + 1], &o->pieces[end], (size_t)(o->count - end) * sizeof *o->pieces);
  o->count -= end - first - 1;
}

// ---- what is waited for -------------------------------------------------------------------------

static int latest_first(const void *a, const void *b) { return *(const int *)b - *(const int *)a; }

static bool has(const uint64_t *bits, int i) { return bits[i / 64] >> i % 64 & 1; }

// Keeps of the op's waits what none of the others waits for.
static void reduce(order *o, int op) {
  uint64_t *all = o->before + (size_t)op * (size_t)o->words;
  int kept = 0;
  if (o->wait_count) qsort(o->waits, (size_t)o->wait_count, sizeof *o->waits, latest_first);
  for (int i = 0; i < o->wait_count; ++i) {
    int other = o->waits[i];
    if (other == op || has(all, other)) continue;
    const uint64_t *its = o->before + (size_t)other * (size_t)o->words;
    for (int w = 0; w < o->words; ++w) all[w] |= its[w];
    all[other / 64] |= 1ull << other % 64;
    o->waits[kept++] = other;
  }
  o->wait_count = kept;
}

// The launch before it alone is what a launch waits for where nothing is said.
static void set_after(arena *a, const order *o, const int *first, plan_launch *l, int launch) {
  if (o->wait_count == 1 && first[o->waits[0] + 1] == launch) return;
  l->ordered = true;
  l->after_count = o->wait_count;
  l->after = ARENA_ARRAY(a, int64_t, o->wait_count + 1);
  for (int i = 0; i < o->wait_count; ++i) l->after[i] = first[o->waits[o->wait_count - 1 - i] + 1] - 1;
}

void order_launches(arena *a, ir *m, const op_list *ops, const int *first, int64_t scratch, plan_entry *entry) {
  enum { MOST = 1 << 15 }; // `before` takes the square of it in bits; more ops stay a chain
  if (ops->count > MOST) return;
  order o = {.m = m, .scratch = scratch, .words = ops->count / 64 + 1};
  o.before = memory_zero((size_t)(ops->count + 1) * (size_t)o.words * sizeof *o.before);
  for (int i = 0; i < ops->count; ++i) {
    int count = first[i + 1] - first[i];
    if (!count) continue;
    plan_launch *l = &entry->launches[first[i]];
    list_all(&o, ops->items[i], l, count);
    for (int k = 0; k < o.read_count; ++k) note_read(&o, &o.reads[k], i);
    for (int k = 0; k < o.write_count; ++k) note_write(&o, &o.writes[k], i);
    reduce(&o, i);
    if (first[i]) set_after(a, &o, first, l, first[i]);
  }
  for (int i = 0; i < o.count; ++i) free(o.pieces[i].readers);
  free(o.pieces);
  free(o.before);
  free(o.waits);
  free(o.reads);
  free(o.writes);
}
