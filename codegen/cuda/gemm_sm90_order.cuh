// The order of the tiles of a product for sm_90a, and how those are cut that are too few.

constexpr int CLUSTER = CLUSTER_M * CLUSTER_N;     // blocks that share operands; CLUSTER_K: that cut one tile
constexpr int SHARING = PING_PONG ? 1 : CONSUMERS; // consumers of one tile
constexpr int BM = 64 * BLOCKS * SHARING;

struct tile_place {
  int group, row, column;
};

// Group by group; in one, RASTER rows of tiles at a time, column by column, so that what they read stays in the L2
// cache.
static __device__ __forceinline__ tile_place place_of(int tile, int rows, int columns) {
  const int group = tile / (rows * columns);
  int rest = tile - group * (rows * columns);
  const int band = rest / (RASTER * columns);
  rest -= band * (RASTER * columns);
  const int high = min(RASTER, rows - band * RASTER), column = rest / high;
  return {group, band * RASTER + rest - column * high, column};
}

// Tiles that are too few for all clusters of a grid are cut along k, so that every cluster gets about the same number of
// stages. Clusters that work at one time are to be at few places of k: what they read is then still in the L2 cache. So
// each tile first has as many clusters for itself as there are of them for every tile, at the same share of k each; of
// what is left of the tiles, their tails, the clusters that remain take one after the other, and cut only those that do
// not make another round. A tail costs as much as TAIL stages more, by which tails are shorter. Each part has a slot of
// its own, in the order of k.

constexpr int TAIL = 8;

struct split_plan {
  int first, left, stages; // tiles before `first` are whole; so many follow, of so many stages each
  int clusters, whole;     // clusters that do them; whole: as many for one of them alone
  int rest, start, tail;   // rest: clusters that do the tails, the stages from `start` on
  int rounds, cutting;     // rounds of tails that are not cut; clusters that share those that are
};

struct split_part {
  int tile, start, stages, slot;
  int before; // parts that the cluster has, where it has no such
};

static __device__ __forceinline__ split_plan split_of(int tiles, int clusters, int stages) {
  split_plan s;
  s.first = tiles / clusters * clusters, s.left = tiles - s.first, s.stages = stages;
  s.clusters = min(clusters, s.left * max(stages / SHORTEST, 1));
  s.whole = s.left ? s.clusters / s.left : 0;
  s.rest = s.left ? s.clusters - s.whole * s.left : 0;
  // Rounded down: a cluster of the rest does several.
  s.tail = s.rest ? max(s.rest * stages - TAIL * s.whole * s.left, 0) / s.clusters : 0;
  if (!s.tail) s.rest = 0, s.clusters = s.whole * s.left;
  s.start = stages - s.tail;
  s.rounds = s.rest ? s.left / s.rest : 0;
  s.cutting = min(s.rest, (s.left - s.rounds * s.rest) * max(2 * s.tail / SHORTEST, 1));
  return s;
}

// Part i of a cluster.
static __device__ __forceinline__ split_part split_part_of(const split_plan &s, int cluster, int i) {
  split_part part = {};
  if (cluster < s.whole * s.left) {
    const int share = cluster / s.left;
    part.before = 1;
    if (i > 0) return part;
    part.tile = cluster - share * s.left;
    part.start = share * s.start / s.whole;
    part.stages = (share + 1) * s.start / s.whole - part.start;
    part.slot = part.tile * s.whole + share;
  } else if (cluster < s.clusters) {
    const int c = cluster - s.whole * s.left, once = s.rounds * s.rest; // tails before `once` are not cut
    const int total = c < s.cutting ? (s.left - once) * s.tail : 0;
    const int from = total ? total * c / s.cutting : 0, to = total ? total * (c + 1) / s.cutting : 0;
    part.before = s.rounds + (total ? (to - 1) / s.tail - from / s.tail + 1 : 0);
    if (i >= part.before) return part;
    const int tile = from / s.tail + i - s.rounds; // of those that are cut
    const int begin = max(from, tile * s.tail), end = min(to, (tile + 1) * s.tail);
    const bool cut = i >= s.rounds;
    part.tile = cut ? once + tile : i * s.rest + c;
    part.start = cut ? s.start + begin - tile * s.tail : s.start;
    part.stages = cut ? end - begin : s.tail;
    part.slot = s.whole * s.left + (cut ? once + c + tile : part.tile);
  }
  return part;
}

// The parts of a tile that is cut: slots whole + 0 …, then tail + 0 …
struct tile_parts {
  int whole, wholes, tail, tails;
};

static __device__ __forceinline__ tile_parts parts_of(const split_plan &s, int tile) {
  tile_parts parts = {tile * s.whole, s.whole, s.whole * s.left + tile, s.tail ? 1 : 0};
  const int once = s.rounds * s.rest;
  if (s.tail && tile >= once) {
    tile -= once;
    const int total = (s.left - once) * s.tail, first = ((tile * s.tail + 1) * s.cutting + total - 1) / total - 1;
    parts.tails = ((tile + 1) * s.tail * s.cutting + total - 1) / total - first;
    parts.tail = s.whole * s.left + once + first + tile;
  }
  return parts;
}
