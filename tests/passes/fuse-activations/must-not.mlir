// Not fused: float32, few rows, a width that TMA cannot halve, a parameter that does not begin where TMA can, and a
// gradient's product that is read besides; a value made again in front of what its gradient is of stays a kernel of its own.
func.func private @glu_silu(%g: f32, %u: f32) -> f32 {
  %y = arith.mulf %g, %u : f32
  return %y : f32
}
func.func private @glu_grad_silu(%g: f32, %u: f32, %dy: f32) -> (f32, f32) {
  %a = arith.mulf %dy, %u : f32
  %b = arith.mulf %dy, %g : f32
  return %a, %b : f32, f32
}
func.func private @identity(%x: f32) -> f32 {
  return %x : f32
}
func.func @entry() {
  %a = "kernel.buffer"() {space = "input", name = "a"} : () -> tensor<64x8xbf16>
  %w = "kernel.buffer"() {space = "input", name = "w"} : () -> tensor<32x8xbf16>
  %wp = "kernel.buffer"() {space = "weight", name = "nowhere"} : () -> tensor<32x8xbf16>
  %a32 = "kernel.buffer"() {space = "input", name = "a32"} : () -> tensor<64x8xf32>
  %w32 = "kernel.buffer"() {space = "parameter", name = "w32"} : () -> tensor<32x8xf32>
  %few = "kernel.buffer"() {space = "input", name = "few"} : () -> tensor<32x8xbf16>
  %odd = "kernel.buffer"() {space = "input", name = "odd"} : () -> tensor<24x8xbf16>
  %x = "kernel.buffer"() {space = "input", name = "x"} : () -> tensor<64x32xbf16>
  %dz = "kernel.buffer"() {space = "input", name = "dz"} : () -> tensor<64x8xbf16>
  %v = "kernel.buffer"() {space = "input", name = "v"} : () -> tensor<8x16xbf16>
  %p = "kernel.gemm"(%a32, %w32) {m = 64 : i64, n = 32 : i64, k = 8 : i64, groups = 1 : i64, trans_a = 0 : i64, trans_b = 1 : i64, lda = 8 : i64, ldb = 8 : i64, ldc = 32 : i64, a_stride = 512 : i64, b_stride = 256 : i64, c_stride = 2048 : i64, operandSegmentSizes = array<i32: 1, 1, 0, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<64x8xf32>, tensor<32x8xf32>) -> tensor<64x32xf32>
  %q = "kernel.glu"(%p) {body = @glu_silu} : (tensor<64x32xf32>) -> tensor<64x16xf32>
  "kernel.output"(%q) {name = "q"} : (tensor<64x16xf32>) -> ()
  %p4 = "kernel.gemm"(%a, %wp) {m = 64 : i64, n = 32 : i64, k = 8 : i64, groups = 1 : i64, trans_a = 0 : i64, trans_b = 1 : i64, lda = 8 : i64, ldb = 8 : i64, ldc = 32 : i64, a_stride = 512 : i64, b_stride = 256 : i64, c_stride = 2048 : i64, operandSegmentSizes = array<i32: 1, 1, 0, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<64x8xbf16>, tensor<32x8xbf16>) -> tensor<64x32xbf16>
  %q4 = "kernel.glu"(%p4) {body = @glu_silu} : (tensor<64x32xbf16>) -> tensor<64x16xbf16>
  "kernel.output"(%q4) {name = "q4"} : (tensor<64x16xbf16>) -> ()
  %p2 = "kernel.gemm"(%few, %w) {m = 32 : i64, n = 32 : i64, k = 8 : i64, groups = 1 : i64, trans_a = 0 : i64, trans_b = 1 : i64, lda = 8 : i64, ldb = 8 : i64, ldc = 32 : i64, a_stride = 256 : i64, b_stride = 256 : i64, c_stride = 1024 : i64, operandSegmentSizes = array<i32: 1, 1, 0, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<32x8xbf16>, tensor<32x8xbf16>) -> tensor<32x32xbf16>
  %q2 = "kernel.glu"(%p2) {body = @glu_silu} : (tensor<32x32xbf16>) -> tensor<32x16xbf16>
  "kernel.output"(%q2) {name = "q2"} : (tensor<32x16xbf16>) -> ()
  %p3 = "kernel.gemm"(%a, %odd) {m = 64 : i64, n = 24 : i64, k = 8 : i64, groups = 1 : i64, trans_a = 0 : i64, trans_b = 1 : i64, lda = 8 : i64, ldb = 8 : i64, ldc = 24 : i64, a_stride = 512 : i64, b_stride = 192 : i64, c_stride = 1536 : i64, operandSegmentSizes = array<i32: 1, 1, 0, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<64x8xbf16>, tensor<24x8xbf16>) -> tensor<64x24xbf16>
  %q3 = "kernel.glu"(%p3) {body = @glu_silu} : (tensor<64x24xbf16>) -> tensor<64x12xbf16>
  "kernel.output"(%q3) {name = "q3"} : (tensor<64x12xbf16>) -> ()
  %dy = "kernel.gemm"(%dz, %v) {m = 64 : i64, n = 16 : i64, k = 8 : i64, groups = 1 : i64, trans_a = 0 : i64, trans_b = 0 : i64, lda = 8 : i64, ldb = 16 : i64, ldc = 16 : i64, a_stride = 512 : i64, b_stride = 128 : i64, c_stride = 1024 : i64, operandSegmentSizes = array<i32: 1, 1, 0, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<64x8xbf16>, tensor<8x16xbf16>) -> tensor<64x16xbf16>
  %dx = "kernel.glu_grad"(%x, %dy) {body = @glu_grad_silu} : (tensor<64x32xbf16>, tensor<64x16xbf16>) -> tensor<64x32xbf16>
  "kernel.output"(%dx) {name = "dx"} : (tensor<64x32xbf16>) -> ()
  "kernel.output"(%dy) {name = "dy"} : (tensor<64x16xbf16>) -> ()
  %y = "kernel.glu"(%x) {body = @glu_silu} : (tensor<64x32xbf16>) -> tensor<64x16xbf16>
  %late = "kernel.row"(%dz) {groups = 1 : i64, stages = [@identity], reductions = [], operandSegmentSizes = array<i32: 1, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<64x8xbf16>) -> tensor<64x8xbf16>
  %dy2 = "kernel.gemm"(%late, %v) {m = 64 : i64, n = 16 : i64, k = 8 : i64, groups = 1 : i64, trans_a = 0 : i64, trans_b = 0 : i64, lda = 8 : i64, ldb = 16 : i64, ldc = 16 : i64, a_stride = 512 : i64, b_stride = 128 : i64, c_stride = 1024 : i64, operandSegmentSizes = array<i32: 1, 1, 0, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<64x8xbf16>, tensor<8x16xbf16>) -> tensor<64x16xbf16>
  %dx2 = "kernel.glu_grad"(%x, %dy2) {body = @glu_grad_silu} : (tensor<64x32xbf16>, tensor<64x16xbf16>) -> tensor<64x32xbf16>
  "kernel.output"(%dx2) {name = "dx2"} : (tensor<64x32xbf16>) -> ()
  "kernel.output"(%y) {name = "y"} : (tensor<64x16xbf16>) -> ()
  return
}
