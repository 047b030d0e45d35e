#include "codegen/cuda/products_sm90_tiles.h"

enum { SWIZZLE = 128, SHARED_SPARE = 1536 }; // bytes; of shared memory: up to a multiple of 1024, and the barriers

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
  // Where an epilogue keeps the memory busy, loads take longer.
  const int busy = p->glu == GLU_GRAD, wanted[] = {STAGES_GOOD + busy, STAGES_GOOD, STAGES_LEAST};
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

int64_t tiles_cut(const product *p, const choice *c, int64_t *bytes) {
  int64_t tiles = tiles_of(p, c), clusters = clusters_of(c), waves = tiles / clusters, over = tiles % clusters;
  if (waves && over && over < clusters / 8) --waves;
  int64_t left = tiles - waves * clusters;
  *bytes = (clusters + left) * c->cluster_m * c->cluster_n * rows_of(c) * c->width * (int64_t)sizeof(float);
  return left;
}

// What was measured on an H100 of products of whole tiles, TFLOP/s: of B as it is stored for a forward product and
// for an input gradient, each of a few and of many steps, and of a weight gradient.
typedef struct candidate {
  choice choice;
  int forward[2], input[2], weight;
} candidate;

static const candidate candidates[] = {
    {{.width = 192, .blocks = 2, .ping_pong = true, .cluster_m = 1, .cluster_n = 1}, {714, 600}, {675, 610}, 1},
    {{.width = 192, .blocks = 2, .ping_pong = true, .cluster_m = 2, .cluster_n = 1}, {700, 646}, {1, 1}, 1},
    {{.width = 128, .blocks = 2, .ping_pong = true, .cluster_m = 1, .cluster_n = 1}, {535, 538}, {545, 523}, 400},
    {{.width = 128, .blocks = 2, .ping_pong = true, .cluster_m = 2, .cluster_n = 1}, {600, 597}, {600, 556}, 1},
    {{.width = 128, .blocks = 2, .cluster_m = 2, .cluster_n = 1}, {580, 600}, {607, 670}, 540},
    {{.width = 224, .blocks = 1, .cluster_m = 1, .cluster_n = 1}, {646, 687}, {570, 545}, 630},
    {{.width = 224, .blocks = 1, .cluster_m = 2, .cluster_n = 1}, {652, 707}, {656, 676}, 670},
    {{.width = 256, .blocks = 1, .cluster_m = 1, .cluster_n = 1}, {645, 632}, {680, 660}, 480},
    {{.width = 192, .blocks = 1, .cluster_m = 1, .cluster_n = 1}, {600, 600}, {550, 520}, 600},
    {{.width = 192, .blocks = 1, .ping_pong = true, .cluster_m = 1, .cluster_n = 1}, {600, 560}, {575, 560}, 400},
    {{.width = 64, .blocks = 2, .ping_pong = true, .cluster_m = 1, .cluster_n = 1}, {350, 350}, {350, 350}, 300},
    {{.width = 64, .blocks = 1, .ping_pong = true, .cluster_m = 1, .cluster_n = 1}, {230, 230}, {230, 230}, 200},
};

// The same of an input gradient with a gated unit's gradient, which moves about as many bytes as there is time for: of
// less and of more than FEW_STEPS, with ping-pong.
static int gated_rate(const product *p, const candidate *from) {
  enum { FEW_STEPS = 12 };
  static const struct {
    int width, blocks, few, more;
  } rates[] = {{192, 2, 314, 458}, {192, 1, 349, 431}, {128, 2, 312, 418}};
  const choice *c = &from->choice;
  for (size_t i = 0; c->ping_pong && i < LENGTH(rates); ++i)
    if (c->width == rates[i].width && c->blocks == rates[i].blocks)
      return steps_of(p) < FEW_STEPS || p->extras ? rates[i].few : rates[i].more;
  return from->input[0] / 2;
}

// The time of a product, in microseconds.
static double time_of(const product *p, const candidate *from, const choice *c) {
  enum { MANY_STEPS = 32, LAUNCH = 8, MEMORY = 2000000 }; // microseconds; bytes in one
  const int many = steps_of(p) >= MANY_STEPS;
  const int rate = p->glu == GLU_GRAD ? gated_rate(p, from)
                   : p->gemm.trans_a  ? from->weight
                   : p->gemm.trans_b  ? from->forward[many]
                                      : from->input[many];
  int64_t tiles = tiles_of(p, c), clusters = clusters_of(c);
  double work = 2.0 * rows_of(c) * c->width * STEP * (double)steps_of(p) * PROCESSORS;
  double waves = c->split ? (double)tiles / (double)clusters : (double)blocks_of(tiles, clusters);
  int64_t parts = 0;
  if (c->split) tiles_cut(p, c, &parts);
  return waves * work / (rate * 1e6) + (c->split ? LAUNCH + 2.0 * (double)parts / MEMORY : 0);
}

static bool usable(const product *p, choice *c, bool staged) {
  enum { SUMS = 256 }; // of a row, beside which there are registers for more than a plain result
  bool plain = staged && (p->glu || p->kinds + row_parts(p) + result_parts(p) <= 3),
       fits = plain || c->width * c->blocks <= SUMS, chunks = c->width / sums_of(p) % 32 == 0;
  if (!fits || !chunks || (p->glu && !staged)) return false;
  c->staged = staged;
  int64_t tiles = tiles_of(p, c), clusters = clusters_of(c), steps = steps_of(p);
  bool same = p->pieces % p->gemm.groups == 0;
  c->split = !staged && !p->body && !is_bf16(p->types.c) && !c->ping_pong && (!p->several || p->gemm.groups == 1) &&
             same && tiles % clusters != 0 && steps >= 16 && tiles * steps < INT32_MAX / (2 * PROCESSORS);
  return fill_shared(p, c);
}

// "192x2p 2x1 4 32 2": the width, 64-row blocks of a consumer, p of ping-pong, the cluster, and, where they are given,
// stages, columns of a chunk, buffers; what measurements are made with.
static bool read_choice(const char *tiles, choice *c) {
  char mode[2] = "";
  *c = (choice){0};
  int count = sscanf(tiles, "%dx%d%1[p] %dx%d %d %d %d", &c->width, &c->blocks, mode, &c->cluster_m, &c->cluster_n,
                     &c->stages, &c->chunk, &c->buffers);
  if (count < 5)
    count = 1 + sscanf(tiles, "%dx%d %dx%d %d %d %d", &c->width, &c->blocks, &c->cluster_m, &c->cluster_n, &c->stages,
                       &c->chunk, &c->buffers);
  c->ping_pong = *mode != 0;
  return count == 5 || count == 8;
}

choice choose_tiles(const product *p, bool staged, const char *tiles) {
  choice best = {0};
  double least = 0;
  if (tiles && read_choice(tiles, &best)) return usable(p, &best, staged) ? best : (choice){0};
  for (size_t i = 0; i < LENGTH(candidates); ++i) {
    choice c = candidates[i].choice;
    for (bool more = usable(p, &c, staged); more; c.split = false) {
      double time = time_of(p, &candidates[i], &c);
      if (!best.width || time < least) best = c, least = time;
      more = c.split; // then whole
    }
  }
  return best;
}
