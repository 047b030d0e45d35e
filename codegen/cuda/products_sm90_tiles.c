#include "codegen/cuda/products_sm90_tiles.h"

enum { SWIZZLE = 128, SHARED_SPARE = 1536 }; // bytes; of shared memory: up to a multiple of 1024, and the barriers
enum { FEW_STEPS = 12 };

int64_t tiles_of(const product *p, const choice *c) {
  return blocks_of(p->gemm.m, (int64_t)rows_of(c) * c->cluster_m) *
         blocks_of(p->gemm.n, (int64_t)c->width * c->cluster_n) * p->gemm.groups;
}

int64_t steps_of(const product *p) { return blocks_of(p->gemm.k, STEP) * (p->pieces / p->gemm.groups); }

static int64_t stage_bytes(const product *p, const choice *c) {
  int64_t b = p->gemm.trans_b ? c->width * SWIZZLE : blocks_of(c->width, 64) * 64 * SWIZZLE;
  return rows_of(c) * SWIZZLE + b;
}

static int64_t buffer_bytes(const product *p, const choice *c) { // of both consumers
  int together = sums_of(p) > 1 ? 1 : result_parts(p), parts = row_parts(p) > together ? row_parts(p) : together;
  return 2 * (int64_t)parts * 64 * c->blocks * c->chunk * 2;
}

int64_t shared_bytes(const product *p, const choice *c) {
  return c->stages * stage_bytes(p, c) + (c->staged ? c->buffers * buffer_bytes(p, c) : 0) + 1024;
}

// As many stages as there is room for beside the least number of buffers, which get what is left.
static bool fill_shared(const product *p, choice *c) {
  enum { STAGES_MOST = 7, STAGES_GOOD = 4, STAGES_LEAST = 2, BUFFERS_MOST = 6 };
  // Where an epilogue keeps the memory busy for long, loads take longer.
  const int busy = p->glu == GLU_GRAD && steps_of(p) >= FEW_STEPS,
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

int clusters_of(const choice *c) {
  enum {
    OF_FOUR = 32,
    OF_EIGHT = 16
  }; // a cluster's blocks run on one part of the GPU, and those are not all of one size
  int size = cluster_of(c);
  return size <= 2 ? PROCESSORS / size : size == 4 ? OF_FOUR : OF_EIGHT;
}

// Tiles that are cut.
static int64_t tiles_cut(const product *p, const choice *c) {
  int64_t tiles = tiles_of(p, c), clusters = clusters_of(c), waves = tiles / clusters, over = tiles % clusters;
  if (c->cluster_k > 1) return tiles;
  if (waves && over && over < clusters / 8) --waves;
  return tiles - waves * clusters;
}

int64_t parts_bytes(const product *p, const choice *c) {
  return (clusters_of(c) + tiles_cut(p, c)) * cluster_of(c) * rows_of(c) * c->width * (int64_t)sizeof(float);
}

// What was measured on an H200 of products of whole tiles, TFLOP/s: of B as it is stored for a forward product and
// for an input gradient, each of a few and of many steps, and of a weight gradient.
typedef struct candidate {
  int width, blocks;
  bool ping_pong;
  int cluster_m, cluster_n;
  int forward[2], input[2], weight;
} candidate;

static const candidate candidates[] = {
    {192, 2, true, 1, 1, {714, 600}, {675, 610}, 400},  //
    {192, 2, true, 2, 1, {700, 646}, {1, 1}, 1},        //
    {128, 2, true, 1, 1, {535, 538}, {545, 523}, 400},  //
    {128, 2, true, 2, 1, {600, 597}, {600, 556}, 1},    //
    {128, 2, false, 1, 1, {580, 600}, {607, 670}, 540}, //
    {128, 2, false, 2, 1, {580, 600}, {607, 670}, 540}, //
    {224, 1, false, 1, 1, {646, 687}, {570, 545}, 630}, //
    {224, 1, false, 2, 1, {652, 707}, {656, 676}, 670}, //
    {256, 1, false, 1, 1, {645, 632}, {680, 660}, 480}, //
    {256, 1, false, 2, 1, {645, 632}, {680, 660}, 480}, //
    {192, 1, false, 1, 1, {600, 600}, {550, 520}, 600}, //
    {192, 1, false, 2, 1, {600, 600}, {550, 520}, 600}, //
    {128, 1, false, 1, 1, {400, 400}, {400, 400}, 400}, //
    {192, 1, true, 1, 1, {600, 560}, {575, 560}, 400},  //
    {224, 1, true, 1, 1, {600, 560}, {575, 560}, 400},  //
    {256, 1, true, 1, 1, {600, 560}, {575, 560}, 400},  //
    {128, 1, true, 1, 1, {400, 400}, {400, 400}, 400},  //
    {96, 2, true, 1, 1, {400, 400}, {400, 400}, 400},   //
    {64, 2, true, 1, 1, {350, 350}, {350, 350}, 300},   //
    {64, 1, true, 1, 1, {230, 230}, {230, 230}, 200},   //
};

// How those can be cut along k: 0 not at all, else the blocks of a cluster that share a tile.
static const int cuts[] = {0, 1, 2, 4, 8};

static choice choice_of(int i) {
  const candidate *from = &candidates[i / (int)LENGTH(cuts)];
  const int cut = cuts[i % (int)LENGTH(cuts)];
  return (choice){.width = from->width,
                  .blocks = from->blocks,
                  .ping_pong = from->ping_pong,
                  .cluster_m = from->cluster_m,
                  .cluster_n = from->cluster_n,
                  .split = cut > 0,
                  .cluster_k = cut > 0 ? cut : 1};
}

const char *tiles_text(arena *a, const choice *c) {
  const char *tiles =
      arena_printf(a, "%dx%d%s %dx%d", c->width, c->blocks, c->ping_pong ? "p" : "", c->cluster_m, c->cluster_n);
  return c->split ? arena_printf(a, "%sx%d", tiles, c->cluster_k) : tiles;
}

enum { CHOICES = (int)(LENGTH(candidates) * LENGTH(cuts)) };

const char *cuda_tiles(arena *a, int i) {
  if (i >= CHOICES) return NULL;
  choice c = choice_of(i);
  return tiles_text(a, &c);
}

// The same of an input gradient with a gated unit's gradient, which moves about as many bytes as there is time for: of
// less and of more than FEW_STEPS, with ping-pong.
static int gated_rate(const product *p, const candidate *from) {
  static const struct {
    int width, blocks, few, more;
  } rates[] = {{192, 2, 314, 458}, {192, 1, 349, 431}, {128, 2, 312, 418}};
  for (size_t i = 0; from->ping_pong && i < LENGTH(rates); ++i)
    if (from->width == rates[i].width && from->blocks == rates[i].blocks)
      return steps_of(p) < FEW_STEPS || p->extras ? rates[i].few : rates[i].more;
  return from->input[0] / 2;
}

// The time of a product, in microseconds.
static double time_of(const product *p, const candidate *from, const choice *c) {
  enum { MANY_STEPS = 32, CUT = 3 }; // CUT: microseconds in which a part is written, or read and added
  const int many = steps_of(p) >= MANY_STEPS;
  const int rate = p->glu == GLU_GRAD ? gated_rate(p, from)
                   : p->gemm.trans_a  ? from->weight
                   : p->gemm.trans_b  ? from->forward[many]
                                      : from->input[many];
  int64_t tiles = tiles_of(p, c), clusters = clusters_of(c);
  double work = 2.0 * rows_of(c) * c->width * STEP * (double)steps_of(p) * PROCESSORS;
  double waves = c->split ? (double)tiles / (double)clusters : (double)blocks_of(tiles, clusters);
  double parts = c->split ? (double)clusters / (double)tiles_cut(p, c) : 0;
  return waves * work / (rate * 1e6) + (c->split ? CUT + parts : 0);
}

// Whether tiles can be cut along k, in parts long enough.
static bool can_split(const product *p, const choice *c) {
  enum { SHORTEST = 4 };
  const int64_t tiles = tiles_of(p, c), cut = tiles_cut(p, c), clusters = clusters_of(c), steps = steps_of(p);
  bool alike =
      !p->glu && p->pieces % p->gemm.groups == 0 && (!p->several || (p->gemm.groups == 1 && c->cluster_k == 1));
  bool shares =
      c->cluster_k == 1 || (!c->ping_pong && cluster_of(c) == c->cluster_k && c->width / 8 % c->cluster_k == 0);
  return alike && shares && cut && cut * steps >= (int64_t)SHORTEST * clusters * c->cluster_k &&
         tiles * steps < INT32_MAX / (2 * PROCESSORS) && cut * cluster_of(c) * 2 <= ARRIVALS;
}

// Fills in what follows from the tiles.
static bool usable(const product *p, choice *c, bool staged) {
  enum {
    SUMS = 256,
    SUMS_FEW = 192,
    MANY_KINDS = 3
  }; // of a row, beside which there are registers for more than a
     // plain result, for more still
  c->staged = staged && c->cluster_k == 1;
  bool plain = c->staged && !c->split && (p->glu || p->kinds + row_parts(p) + result_parts(p) <= 3);
  bool fits = plain || c->width * c->blocks <= (p->kinds < MANY_KINDS ? SUMS : SUMS_FEW),
       chunks = c->width / sums_of(p) % 32 == 0;
  if (!fits || !chunks || (p->glu && !c->staged) || (c->split && !can_split(p, c))) return false;
  return fill_shared(p, c);
}

// "192x2p 2x1x4 4 32 2": the width, 64-row blocks of a consumer, p of ping-pong, the cluster, where it is cut along k
// its blocks that share a tile, and, where they are given, stages, columns of a chunk, buffers; what measurements are
// made with.
static bool read_choice(const char *tiles, choice *c) {
  *c = (choice){0};
  int used = 0;
  if (sscanf(tiles, "%dx%d%n", &c->width, &c->blocks, &used) != 2) return false;
  c->ping_pong = tiles[used] == 'p';
  tiles += used + c->ping_pong;
  if (sscanf(tiles, "%dx%d%n", &c->cluster_m, &c->cluster_n, &used) != 2) return false;
  tiles += used;
  c->split = *tiles == 'x', c->cluster_k = 1;
  if (c->split && sscanf(tiles, "x%d%n", &c->cluster_k, &used) != 1) return false;
  tiles += c->split ? used : 0;
  return !*tiles || sscanf(tiles, "%d %d %d", &c->stages, &c->chunk, &c->buffers) == 3;
}

// All that suit, with their times; returns the number of the fastest, or -1.
static int time_all(const product *p, bool staged, choice all[CHOICES], double times[CHOICES]) {
  int best = -1;
  for (int i = 0; i < CHOICES; ++i) {
    all[i] = choice_of(i);
    times[i] = usable(p, &all[i], staged) ? time_of(p, &candidates[i / (int)LENGTH(cuts)], &all[i]) : 0;
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
