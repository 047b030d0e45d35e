// Where the operands of a product for sm_90a are: the first dims are its sizes, those behind them say where in args and
// maps each begins (products_sm90.c), so that the kernel is for any number of groups.

enum { DIM_M, DIM_N, DIM_K, DIM_LDA, DIM_LDB, DIM_LDC, DIM_GROUPS, DIM_C, DIM_COLUMNS, DIM_ROWS, DIM_EXTRAS, DIM_ADDS, DIM_MAPS };
enum { ADDS_ROWS = 2 }; // DIM_ADDS where PAIRS: 0: C becomes the sums; else they are added to it, which is then fetched
                        // by rows, or not
constexpr int ROW_MAPS = 2, RESULT_MAPS = ROW_MAPS + ROWS; // maps of A and of B are 0 and 1; result 0 is C
constexpr int DIM_FIRST = DIM_MAPS + (STAGED ? RESULT_MAPS + RESULTS : ROW_MAPS); // the first piece of every group

// Matrix i has map first + i * each, in which it is number i * step.
struct operand_maps {
  int first, each, step;
};
static __device__ __forceinline__ operand_maps maps_of(const parameters &p, int operand) {
  const int said = FIXED_MAPS ? fixed_maps(operand) : (int)p.dims[DIM_MAPS + operand];
  return {said & 0xffff, said >> 16 & 1, said >> 17};
}

// Known to the text where a cluster shares a tile, which leaves no registers to ask.
static __device__ __forceinline__ int adds(const parameters &p) { return FIXED_ADDS ? ADDS : (int)p.dims[DIM_ADDS]; }
static __device__ __forceinline__ void *c_of(const parameters &p, int group) {
  return p.args[(int)p.dims[DIM_C] + group];
}
static __device__ __forceinline__ float column_of(const parameters &p, int kind, int group, int column) {
  const int at = (int)p.dims[DIM_COLUMNS] + kind * (int)p.dims[DIM_GROUPS] + group;
  return column < (int)p.dims[DIM_N] ? ((const float *)p.args[at])[column] : 0.0f;
}
static __device__ __forceinline__ void *scratch_of(const parameters &p) { // behind the extras
  return p.args[(int)p.dims[DIM_EXTRAS] + EXTRAS];
}
