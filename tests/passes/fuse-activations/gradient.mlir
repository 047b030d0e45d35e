// The gradient of a gated unit, and one whose value is made again for the weight's gradient: its product goes in front of that.
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
  %x = "kernel.buffer"() {space = "input", name = "x"} : () -> tensor<64x32xbf16>
  %x2 = "kernel.buffer"() {space = "input", name = "x2"} : () -> tensor<64x32xbf16>
  %dz = "kernel.buffer"() {space = "input", name = "dz"} : () -> tensor<128x8xbf16>
  %v = "kernel.buffer"() {space = "input", name = "v"} : () -> tensor<8x16xbf16>
  %d0 = "kernel.view"(%dz) {offset = 0 : i64} : (tensor<128x8xbf16>) -> tensor<64x8xbf16>
  %dy = "kernel.gemm"(%d0, %v) {m = 64 : i64, n = 16 : i64, k = 8 : i64, groups = 1 : i64, trans_a = 0 : i64, trans_b = 0 : i64, lda = 8 : i64, ldb = 16 : i64, ldc = 16 : i64, a_stride = 512 : i64, b_stride = 128 : i64, c_stride = 1024 : i64, operandSegmentSizes = array<i32: 1, 1, 0, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<64x8xbf16>, tensor<8x16xbf16>) -> tensor<64x16xbf16>
  %dx = "kernel.glu_grad"(%x, %dy) {body = @glu_grad_silu} : (tensor<64x32xbf16>, tensor<64x16xbf16>) -> tensor<64x32xbf16>
  "kernel.output"(%dx) {name = "dx"} : (tensor<64x32xbf16>) -> ()
  %d1 = "kernel.view"(%dz) {offset = 1024 : i64} : (tensor<128x8xbf16>) -> tensor<64x8xbf16>
  %y = "kernel.glu"(%x2) {body = @glu_silu} : (tensor<64x32xbf16>) -> tensor<64x16xbf16>
  %dv = "kernel.gemm"(%d1, %y) {m = 8 : i64, n = 16 : i64, k = 64 : i64, groups = 1 : i64, trans_a = 1 : i64, trans_b = 0 : i64, lda = 8 : i64, ldb = 16 : i64, ldc = 16 : i64, a_stride = 512 : i64, b_stride = 1024 : i64, c_stride = 128 : i64, operandSegmentSizes = array<i32: 1, 1, 0, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<64x8xbf16>, tensor<64x16xbf16>) -> tensor<8x16xf32>
  %d2 = "kernel.view"(%dz) {offset = 1024 : i64} : (tensor<128x8xbf16>) -> tensor<64x8xbf16>
  %dy2 = "kernel.gemm"(%d2, %v) {m = 64 : i64, n = 16 : i64, k = 8 : i64, groups = 1 : i64, trans_a = 0 : i64, trans_b = 0 : i64, lda = 8 : i64, ldb = 16 : i64, ldc = 16 : i64, a_stride = 512 : i64, b_stride = 128 : i64, c_stride = 1024 : i64, operandSegmentSizes = array<i32: 1, 1, 0, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<64x8xbf16>, tensor<8x16xbf16>) -> tensor<64x16xbf16>
  %dx2 = "kernel.glu_grad"(%x2, %dy2) {body = @glu_grad_silu} : (tensor<64x32xbf16>, tensor<64x16xbf16>) -> tensor<64x32xbf16>
  "kernel.output"(%dx2) {name = "dx2"} : (tensor<64x32xbf16>) -> ()
  "kernel.output"(%dv) {name = "dv"} : (tensor<8x16xf32>) -> ()
  return
}
