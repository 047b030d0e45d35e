// The order of the tiles of a product for sm_90a, and how those are cut that are too few.

constexpr int CLUSTER = CLUSTER_M * CLUSTER_N;
constexpr int SHARING = PING_PONG ? 1 : 2; // consumers of one tile
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

// Tiles that are too few for all clusters of a grid are cut along k (stream-K): every cluster gets the same number of
// stages. First each tile's whole clusters, which walk along k side by side and share what they read; what is left of
// every tile is dealt out to the clusters that remain. Each part has a slot of its own, in the order of k.

struct split_plan {
  int first, left, stages; // tiles before `first` are whole; so many follow, of so many stages each
  int clusters, whole;     // whole: clusters that one of them has for itself
  int rest, start, tail;   // rest: clusters that share the tails, the stages from `start` on
};

struct split_part {
  int tile, start, stages, slot;
  int before; // parts that the cluster has, where it has no such
};

static __device__ __forceinline__ split_plan split_of(int tiles, int clusters, int stages) {
  int waves = tiles / clusters;
  const int over = tiles % clusters;
  if (waves && over && over < clusters / 8) --waves; // too few for all of them
  split_plan s;
  s.first = waves * clusters, s.left = tiles - s.first, s.stages = stages, s.clusters = clusters;
  s.whole = s.left ? clusters / s.left : 0;
  s.rest = s.left ? clusters - s.whole * s.left : 0;
  s.start = s.rest ? s.whole * s.left * stages / clusters : stages;
  s.tail = stages - s.start;
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
    part.start = share * s.left * s.stages / s.clusters;
    part.stages =
        (!s.rest && share == s.whole - 1 ? s.stages : (share + 1) * s.left * s.stages / s.clusters) - part.start;
    part.slot = part.tile * s.whole + share;
  } else if (s.rest) {
    const int c = cluster - s.whole * s.left, total = s.left * s.tail;
    const int from = total * c / s.rest, to = total * (c + 1) / s.rest;
    if (to <= from) return part;
    const int tile = from / s.tail + i;
    part.before = (to - 1) / s.tail - from / s.tail + 1;
    if (i >= part.before) return part;
    const int begin = max(from, tile * s.tail), end = min(to, (tile + 1) * s.tail);
    part.tile = tile;
    part.start = s.start + begin - tile * s.tail;
    part.stages = end - begin;
    part.slot = s.whole * s.left + c + tile;
  }
  return part;
}

// The parts of a tile that is cut: slots whole + 0 …, then tail + 0 …
struct tile_parts {
  int whole, wholes, tail, tails;
};

static __device__ __forceinline__ tile_parts parts_of(const split_plan &s, int tile) {
  tile_parts parts = {tile * s.whole, s.whole, 0, 0};
  if (s.tail) {
    const int total = s.left * s.tail, first = ((tile * s.tail + 1) * s.rest + total - 1) / total - 1;
    parts.tails = ((tile + 1) * s.tail * s.rest + total - 1) / total - first;
    parts.tail = s.whole * s.left + first + tile;
  }
  return parts;
}
