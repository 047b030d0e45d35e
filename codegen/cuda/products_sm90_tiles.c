#include "codegen/cuda/products_sm90_tiles.h"

#include <math.h>

enum { SWIZZLE = 128, SHARED_SPARE = 1536 }; // bytes; of shared memory: up to a multiple of 1024, and the barriers
enum { FEW_STEPS = 12, MANY_STEPS = 32, LONG_STEPS = 384 };

int clusters_of(const choice *c) {
  // All blocks of a cluster are in one group of processors; so an H100 has room for as many.
  static const int along_k[] = {[2] = 66, [3] = 39, [4] = 30, [5] = 22, [6] = 17, [7] = 15, [8] = 15};
  return c->cluster_k > 1 ? along_k[c->cluster_k] : PROCESSORS / cluster_of(c);
}

int64_t tiles_of(const product *p, const choice *c) {
  return blocks_of(p->gemm.m, (int64_t)rows_of(c) * c->cluster_m) *
         blocks_of(p->gemm.n, (int64_t)c->width * c->cluster_n) * p->gemm.groups;
}

int64_t steps_of(const product *p) { return blocks_of(p->gemm.k, STEP) * (p->pieces / p->gemm.groups); }

static int64_t stage_bytes(const product *p, const choice *c) {
  int64_t b = p->gemm.trans_b ? c->width * SWIZZLE : blocks_of(c->width, 64) * 64 * SWIZZLE;
  return rows_of(c) * SWIZZLE + b;
}

static int64_t buffer_bytes(const product *p, const choice *c) { // of all rings
  int together = sums_of(p) > 1 ? 1 : result_parts(p), parts = row_parts(p) > together ? row_parts(p) : together;
  return (c->one_ring ? 1 : c->consumers) * (int64_t)parts * 64 * c->part_blocks * c->chunk * 2;
}

int64_t shared_bytes(const product *p, const choice *c) {
  return c->stages * stage_bytes(p, c) + (c->staged ? c->buffers * buffer_bytes(p, c) : 0) + 1024;
}

// As many stages as there is room for beside the least number of buffers, which get what is left.
static bool fill_shared(const product *p, choice *c) {
  enum { STAGES_MOST = 7, STAGES_GOOD = 4, STAGES_LEAST = 2, BUFFERS_MOST = 6 };
  // Where an epilogue keeps the memory busy for long, loads take longer.
  const int busy = steps_of(p) >= FEW_STEPS && (p->glu == GLU_GRAD ? !c->one_ring : c->part_blocks < c->blocks),
            wanted[] = {STAGES_GOOD + busy, STAGES_GOOD, STAGES_LEAST};
  const int64_t room = CUDA_SHARED_BYTES - SHARED_SPARE;
  if (c->stages) return shared_bytes(p, c) <= room + 1024;
  const int least = !c->staged ? 0 : p->rows || result_parts(p) > 1 ? 2 : 1, columns = c->width / sums_of(p);
  for (size_t i = 0; i < LENGTH(wanted); ++i)
    for (c->chunk = columns % 64 ? 32 : 64; c->chunk >= 32; c->chunk /= 2) {
      int64_t buffers = c->staged ? buffer_bytes(p, c) : 0, stages = (room - least * buffers) / stage_bytes(p, c);
      if (stages < wanted[i]) continue;
      c->stages = stages > STAGES_MOST ? STAGES_MOST : (int)stages;
      int64_t left = buffers ? (room - c->stages * stage_bytes(p, c)) / buffers : 1;
      c->buffers = left > BUFFERS_MOST ? BUFFERS_MOST : (int)left;
      return true;
    }
  return false;
}

// Tiles that are cut.
static int64_t tiles_cut(const product *p, const choice *c) { return tiles_of(p, c) % clusters_of(c); }

int64_t parts_bytes(const product *p, const choice *c) {
  return (clusters_of(c) + tiles_cut(p, c)) * cluster_of(c) * rows_of(c) * c->width * (int64_t)sizeof(float);
}

// TFLOP/s that an H100 measured: of whole tiles, of B as it is stored for a forward product and for an input gradient,
// each of a few and of many steps; of bf16 results of tiles cut along k (an H200); of a weight gradient, of whole tiles
// and of cut ones, of up to LONG_STEPS and of more. 1: they are not for that.
typedef struct candidate {
  int width, blocks;
  char kind; // 'p': with ping-pong; 't': three consumers
  int cluster_m, cluster_n;
  int forward[2], input[2], cut, weight, weight_cut[2];
} candidate;

static const candidate candidates[] = {
    {192, 2, 'p', 1, 1, {690, 722}, {690, 735}, 1, 621, {694, 694}},   //
    {192, 2, 'p', 2, 1, {690, 720}, {690, 735}, 1, 649, {620, 620}},   //
    {128, 2, 'p', 1, 1, {595, 640}, {620, 630}, 618, 512, {585, 585}}, //
    {128, 2, 'p', 2, 1, {570, 650}, {630, 660}, 706, 545, {525, 525}}, //
    {128, 2, ' ', 1, 1, {625, 690}, {650, 720}, 774, 816, {651, 651}}, //
    {128, 2, ' ', 2, 1, {630, 720}, {710, 780}, 764, 640, {691, 691}}, //
    {224, 1, ' ', 1, 1, {650, 755}, {595, 660}, 729, 782, {595, 595}}, //
    {224, 1, ' ', 2, 1, {640, 760}, {725, 810}, 758, 808, {650, 710}}, //
    {256, 1, ' ', 1, 1, {612, 686}, {690, 720}, 788, 600, {721, 721}}, //
    {256, 1, ' ', 2, 1, {620, 712}, {650, 740}, 683, 640, {653, 653}}, //
    {192, 1, ' ', 1, 1, {640, 700}, {650, 740}, 805, 650, {580, 580}}, //
    {192, 1, ' ', 2, 1, {640, 700}, {650, 740}, 1, 600, {570, 570}},   //
    {128, 1, ' ', 1, 1, {577, 651}, {609, 676}, 1, 690, {480, 480}},   //
    {128, 3, 'p', 1, 1, {1, 1}, {1, 1}, 1, 1, {645, 695}},             //
    {96, 3, 'p', 1, 1, {1, 1}, {1, 1}, 1, 1, {578, 578}},              //
    {192, 1, 'p', 1, 1, {600, 500}, {600, 645}, 555, 635, {468, 468}}, //
    {256, 1, 'p', 1, 1, {400, 400}, {430, 420}, 1, 1, {542, 542}},     //
    {64, 2, 'p', 1, 1, {454, 435}, {462, 485}, 1, 440, {1, 1}},        //
    {64, 1, 'p', 1, 1, {309, 299}, {302, 306}, 1, 200, {1, 1}},        //
    {192, 1, 't', 1, 1, {595, 650}, {620, 725}, 1, 1, {1, 1}},         //
    {128, 1, 't', 1, 1, {1, 1}, {1, 1}, 1, 1, {1, 1}},                 //
    {192, 2, ' ', 1, 1, {1, 1}, {1, 1}, 1, 1, {1, 1}},                 //
};

// Each whole, cut along k, and cut along k by clusters of 2 … blocks.
enum { WHOLE, CUT, WAYS = 9 };

static choice choice_of(int i) {
  const candidate *from = &candidates[i / WAYS];
  return (choice){.width = from->width,
                  .blocks = from->blocks,
                  .consumers = from->kind == 't' ? 3 : 2,
                  .ping_pong = from->kind == 'p',
                  .cluster_m = from->cluster_m,
                  .cluster_n = from->cluster_n,
                  .cluster_k = i % WAYS > CUT ? i % WAYS : 1,
                  .split = i % WAYS == CUT};
}

const char *tiles_text(arena *a, const choice *c) {
  const char *kind = c->ping_pong ? "p" : c->consumers > 2 ? "t" : "";
  return arena_printf(a, "%dx%d%s %dx%d%s%s", c->width, c->blocks, kind, c->cluster_m, c->cluster_n,
                      c->cluster_k > 1 ? arena_printf(a, "x%d", c->cluster_k) : "", c->split ? "c" : "");
}

enum { CHOICES = WAYS * (int)LENGTH(candidates) };

const char *cuda_tiles(arena *a, int i) {
  if (i >= CHOICES) return NULL;
  choice c = choice_of(i);
  return tiles_text(a, &c);
}

// The same of an input gradient with a gated unit's gradient, which moves about as many bytes as there is time for: of
// less and of more than FEW_STEPS (again: the value too). Without ping-pong nothing hides that.
static int gated_rate(const product *p, const candidate *from) {
  static const struct {
    int width, blocks, few, more, again;
  } rates[] = {{192, 2, 314, 486, 365}, {192, 1, 349, 431, 340}, {128, 2, 312, 418, 390}};
  for (size_t i = 0; from->kind == 'p' && i < LENGTH(rates); ++i)
    if (from->width == rates[i].width && from->blocks == rates[i].blocks)
      return steps_of(p) < FEW_STEPS ? rates[i].few : p->extras ? rates[i].again : rates[i].more;
  return from->input[0] == 1 ? 1 : from->input[0] / 4;
}

// The same of a weight gradient whose tiles clusters cut along k; 1: they are not for that.
static int shared_rate(const candidate *from) {
  static const struct {
    int width, blocks;
    char kind;
    int rate;
  } rates[] = {{192, 1, 't', 760}, {128, 1, 't', 720}, {192, 2, ' ', 830},
               {128, 2, ' ', 660}, {256, 1, ' ', 620}, {128, 1, ' ', 575}};
  for (size_t i = 0; from->cluster_m * from->cluster_n == 1 && i < LENGTH(rates); ++i)
    if (from->width == rates[i].width && from->blocks == rates[i].blocks && from->kind == rates[i].kind)
      return rates[i].rate;
  return 1;
}

// What an epilogue makes of that rate, which waits where no other tile is multiplied meanwhile: for a matrix
// beside C, or, where steps are neither very few nor many, for columns of each group. And clusters load less.
static double epilogue_factor(const product *p, const choice *c) {
  const bool middling = steps_of(p) >= FEW_STEPS && steps_of(p) < MANY_STEPS;
  if (c->ping_pong)
    return middling && p->gemm.trans_b && p->body && (p->glu || !p->extras) && c->cluster_m > 1 ? 1.02 : 1;
  if (!p->body || p->glu) return 1;
  if (p->extras) return c->blocks > 1 ? 0.55 : 0.85;
  if (!middling || !(p->kinds || p->rows)) return 1;
  return p->kinds && p->gemm.groups > 1 ? 0.75 : 0.93;
}

// The time of a product, in microseconds; 0: not worth a try.
static double time_of(const product *p, const candidate *from, const choice *c) {
  const double launch = 2.5;               // microseconds; the same:
  const double cut = 10, part = 1.5;       // of cutting, and for each part of a tile
  const double cut_weight = 6.4;           // of a weight gradient: of cutting,
  const double sum = 2.8e-4, end = 1.1e-4; // for a block's sums left to others, for those kept without ping-pong,
  const double f32 = 6e-7;                 // and for a value of C
  const int many = steps_of(p) >= MANY_STEPS;
  const int whole = p->glu == GLU_GRAD ? gated_rate(p, from)
                    : p->gemm.trans_a  ? from->weight
                    : p->gemm.trans_b  ? from->forward[many]
                                       : from->input[many];
  const double tiles = (double)tiles_of(p, c), clusters = clusters_of(c), area = (double)rows_of(c) * c->width;
  const double work = 2.0 * area * STEP * (double)steps_of(p) * PROCESSORS / 1e6;
  const bool weight = p->gemm.trans_a && !is_bf16(p->types.c);
  const double results = weight ? f32 * (double)(p->gemm.m * p->gemm.n * p->gemm.groups) : 0;
  if (c->cluster_k > 1) {
    const double once = 2, sent = 1.8e-4; // microseconds: of a tile; for a block's sums, were all sent
    const int rate = shared_rate(from);
    return rate == 1
               ? 0
               : launch + results + work / c->cluster_k / rate + once + sent * area * (c->cluster_k - 1) / c->cluster_k;
  }
  if (!c->split)
    return whole == 1 ? 0
                      : launch + results +
                            ceil(tiles / clusters) *
                                (work / (epilogue_factor(p, c) * whole) + (weight && !c->ping_pong ? end * area : 0));
  if (is_bf16(p->types.c) && tiles >= clusters) return 0; // what is left is finished sooner as a whole
  if (!weight) return launch + tiles / clusters * work / from->cut + cut + part * clusters / (double)tiles_cut(p, c);
  if (from->weight_cut[0] == 1) return 0;
  // Where many tiles of few steps are whole, cutting the rest is little won.
  const double rest = tiles >= clusters && !many ? 1.2 : 1;
  return rest * tiles / clusters * work / from->weight_cut[steps_of(p) > LONG_STEPS] + cut_weight + sum * area +
         results;
}

// Whether every group has as many pieces, one behind the other: their steps can be counted through.
static bool pieces_alike(const product *p) {
  return p->pieces % p->gemm.groups == 0 && (!p->several || p->gemm.groups == 1);
}

// Whether tiles can be cut along k, in parts long enough.
static bool can_split(const product *p, const choice *c) {
  enum { SUMS = 256 }; // of a thread, beside which there are registers for whole tiles' results and those of parts
  const int64_t tiles = tiles_of(p, c), cut = tiles_cut(p, c), steps = steps_of(p);
  if (p->gemm.trans_a && !is_bf16(p->types.c) && tiles >= clusters_of(c) && c->width * c->blocks > SUMS) return false;
  bool alike = !p->glu && c->consumers == 2 && pieces_alike(p);
  return alike && cut && steps >= 2 * SHORTEST && tiles * steps < INT32_MAX / (2 * PROCESSORS) &&
         cut * cluster_of(c) * 2 <= ARRIVALS;
}

// Whether clusters can cut tiles along k, all at one time, in shares long enough, and there is room for the sums sent.
static bool can_share(const product *p, const choice *c, bool plain) {
  enum { EIGHTH_BYTES = 512 }; // of a warp's sums
  enum { BLOCKS_FEW = 4 };     // of a cluster, beside which there are registers for more
  const int64_t eighths = c->blocks * c->width / 8, own = blocks_of(eighths, c->cluster_k);
  const int64_t sent = (c->cluster_k - 1) * 4 * (int64_t)c->consumers * own * EIGHTH_BYTES;
  if (c->blocks > 1 && c->cluster_k > BLOCKS_FEW) return false;
  return plain && tiles_of(p, c) <= clusters_of(c) && !c->staged && !c->split && !c->ping_pong &&
         c->cluster_m * c->cluster_n == 1 && pieces_alike(p) && steps_of(p) >= c->cluster_k * SHORTEST &&
         sent <= c->stages * stage_bytes(p, c);
}

// Fills in what follows from the tiles.
static bool usable(const product *p, choice *c, bool staged) {
  enum {
    SUMS = 256,
    SUMS_FEW = 192,
    MANY_KINDS = 3
  }; // of a row, beside which there are registers for more than a
     // plain result, for more still
  c->staged = staged;
  // Five values an element leave room for four stages of the largest tiles only so; and four are sent for further
  // ahead.
  if (!c->stages && p->glu == GLU_GRAD && c->ping_pong && c->blocks == 2 &&
      (p->extras || (c->width > 128 && steps_of(p) >= FEW_STEPS)))
    c->part_blocks = 1, c->one_ring = true;
  // And three values for five.
  if (!c->stages && p->glu == GLU_VALUE && p->stored && c->ping_pong && c->blocks == 2 && steps_of(p) >= FEW_STEPS)
    c->part_blocks = 1;
  if (!c->part_blocks) c->part_blocks = c->blocks;
  if (c->blocks % c->part_blocks || (c->one_ring && (!c->ping_pong || c->split))) return false;
  const int beside = p->kinds + row_parts(p) + result_parts(p);
  bool plain = c->staged ? !c->split && (p->glu || beside <= 3) : !p->body && !is_bf16(p->types.c);
  bool fits = plain || c->width * c->blocks <= (p->kinds < MANY_KINDS ? SUMS : SUMS_FEW),
       chunks = c->width / sums_of(p) % 32 == 0;
  if (!fits || !chunks || (p->glu && !c->staged) || (c->split && !can_split(p, c))) return false;
  return fill_shared(p, c) && (c->cluster_k == 1 || can_share(p, c, plain));
}

// Behind the tiles may stand stages, columns of a chunk and buffers, "192x2p 2x1 4 32 2", then blocks of 64 rows of a
// buffer and whether consumers share a ring of them; what measurements are made with.
static bool read_choice(const char *tiles, choice *c) {
  *c = (choice){0};
  int used = 0;
  if (sscanf(tiles, "%dx%d%n", &c->width, &c->blocks, &used) != 2) return false;
  c->ping_pong = tiles[used] == 'p';
  c->consumers = tiles[used] == 't' ? 3 : 2;
  tiles += used + (c->ping_pong || c->consumers > 2);
  if (sscanf(tiles, "%dx%d%n", &c->cluster_m, &c->cluster_n, &used) != 2) return false;
  tiles += used;
  c->cluster_k = 1, used = 0;
  if (sscanf(tiles, "x%d%n", &c->cluster_k, &used) == 1) tiles += used;
  if (c->cluster_k < 1 || c->cluster_k >= WAYS) return false;
  c->split = *tiles == 'c';
  tiles += c->split;
  int one = 0;
  int count = sscanf(tiles, "%d %d %d %d %d", &c->stages, &c->chunk, &c->buffers, &c->part_blocks, &one);
  c->one_ring = one;
  return !*tiles || count == 3 || count == 5;
}

// All that suit, with their times; returns the number of the fastest, or -1.
static int time_all(const product *p, bool staged, choice all[CHOICES], double times[CHOICES]) {
  int best = -1;
  for (int i = 0; i < CHOICES; ++i) {
    all[i] = choice_of(i);
    times[i] = usable(p, &all[i], staged) ? time_of(p, &candidates[i / WAYS], &all[i]) : 0;
    if (times[i] > 0 && (best < 0 || times[i] < times[best])) best = i;
  }
  return best;
}

choice choose_tiles(const product *p, bool staged, const char *tiles) {
  choice c, all[CHOICES];
  double times[CHOICES];
  if (tiles && read_choice(tiles, &c)) return usable(p, &c, staged) ? c : (choice){0};
  int best = time_all(p, staged, all, times);
  return best < 0 ? (choice){0} : all[best];
}

int tiles_worth_trying(const product *p, bool staged, choice tried[TILES_TRIED]) {
  const double slowest = 1.6; // times the fastest: what is expected is not that far off
  choice all[CHOICES];
  double times[CHOICES];
  int count = 0, best = time_all(p, staged, all, times);
  if (best >= 0) tried[count++] = all[best];
  for (int i = 0; i < CHOICES && count < TILES_TRIED; ++i)
    if (i != best && times[i] > 0 && times[i] < slowest * times[best]) tried[count++] = all[i];
  return count;
}

const char *product_key(arena *a, const product *p, const char *shape, bool staged) {
  text key = {0};
  text_printf(&key, "%s %s", shape, p->types.c);
  if (p->body) text_printf(&key, " epilogue %d %d %d", p->kinds, p->rows, p->extras);
  if (p->glu) text_printf(&key, " glu %d%s", (int)p->glu, p->stored ? " stored" : "");
  if (!staged && is_bf16(p->types.c)) text_add(&key, " unaligned");
  const char *kept = arena_string(a, key.data);
  text_free(&key);
  return kept;
}
