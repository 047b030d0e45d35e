// Two products with their gated units: nothing else reads the first's gate and up, the second's are kept. The third is grouped.
func.func private @glu_silu(%g: f32, %u: f32) -> f32 {
  %y = arith.mulf %g, %u : f32
  return %y : f32
}
func.func private @glu_grad_silu(%g: f32, %u: f32, %dy: f32) -> (f32, f32) {
  %a = arith.mulf %dy, %u : f32
  %b = arith.mulf %dy, %g : f32
  return %a, %b : f32, f32
}
func.func @entry() {
  %a = "kernel.buffer"() {space = "input", name = "a"} : () -> tensor<64x8xbf16>
  %w = "kernel.buffer"() {space = "input", name = "w"} : () -> tensor<32x8xbf16>
  %a2 = "kernel.buffer"() {space = "input", name = "a2"} : () -> tensor<128x8xbf16>
  %x = "kernel.gemm"(%a, %w) {m = 64 : i64, n = 32 : i64, k = 8 : i64, groups = 1 : i64, trans_a = 0 : i64, trans_b = 1 : i64, lda = 8 : i64, ldb = 8 : i64, ldc = 32 : i64, a_stride = 512 : i64, b_stride = 256 : i64, c_stride = 2048 : i64, operandSegmentSizes = array<i32: 1, 1, 0, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<64x8xbf16>, tensor<32x8xbf16>) -> tensor<64x32xbf16>
  %y = "kernel.glu"(%x) {body = @glu_silu} : (tensor<64x32xbf16>) -> tensor<64x16xbf16>
  "kernel.output"(%y) {name = "y"} : (tensor<64x16xbf16>) -> ()
  %x2 = "kernel.gemm"(%a, %w) {m = 64 : i64, n = 32 : i64, k = 8 : i64, groups = 1 : i64, trans_a = 0 : i64, trans_b = 1 : i64, lda = 8 : i64, ldb = 8 : i64, ldc = 32 : i64, a_stride = 512 : i64, b_stride = 256 : i64, c_stride = 2048 : i64, operandSegmentSizes = array<i32: 1, 1, 0, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<64x8xbf16>, tensor<32x8xbf16>) -> tensor<64x32xbf16>
  %y2 = "kernel.glu"(%x2) {body = @glu_silu} : (tensor<64x32xbf16>) -> tensor<64x16xbf16>
  "kernel.output"(%x2) {name = "x2"} : (tensor<64x32xbf16>) -> ()
  "kernel.output"(%y2) {name = "y2"} : (tensor<64x16xbf16>) -> ()
  %x3 = "kernel.gemm"(%a2, %w, %w) {m = 64 : i64, n = 32 : i64, k = 8 : i64, groups = 2 : i64, trans_a = 0 : i64, trans_b = 1 : i64, lda = 8 : i64, ldb = 8 : i64, ldc = 32 : i64, a_stride = 512 : i64, b_stride = 256 : i64, c_stride = 2048 : i64, operandSegmentSizes = array<i32: 1, 2, 0, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<128x8xbf16>, tensor<32x8xbf16>, tensor<32x8xbf16>) -> tensor<128x32xbf16>
  %y3 = "kernel.glu"(%x3) {body = @glu_silu} : (tensor<128x32xbf16>) -> tensor<128x16xbf16>
  "kernel.output"(%y3) {name = "y3"} : (tensor<128x16xbf16>) -> ()
  return
}
