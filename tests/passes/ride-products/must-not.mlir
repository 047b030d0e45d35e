// Must not: a product with few rows, or very wide, is cut by columns; a formula over other rows; one that reads what a later launch makes; one
// that reads a zero.
func.func private @sum2(%x: f32, %y: f32) -> f32 {
  %z = arith.addf %x, %y : f32
  return %z : f32
}
func.func private @glu(%g: f32, %u: f32) -> f32 {
  %y = arith.mulf %g, %u : f32
  return %y : f32
}
func.func private @square(%x: f32, %w: f32) -> f32 {
  %y = arith.mulf %x, %x : f32
  return %y : f32
}
func.func private @scaled(%x: f32, %w: f32, %s: f32) -> f32 {
  %t = arith.mulf %x, %w : f32
  %y = arith.mulf %t, %s : f32
  return %y : f32
}
func.func @entry() {
  %x = "kernel.buffer"() {space = "input", name = "x"} : () -> tensor<256x8xf32>
  %few = "kernel.buffer"() {space = "input", name = "few"} : () -> tensor<96x8xf32>
  %w = "kernel.buffer"() {space = "parameter", name = "w"} : () -> tensor<8x8xf32>
  %wide = "kernel.buffer"() {space = "parameter", name = "wide"} : () -> tensor<2064x8xf32>
  %a = "kernel.gemm"(%few, %w) {m = 96 : i64, n = 8 : i64, k = 8 : i64, groups = 1 : i64, trans_a = 0 : i64, trans_b = 1 : i64, lda = 8 : i64, ldb = 8 : i64, ldc = 8 : i64, a_stride = 0 : i64, b_stride = 0 : i64, c_stride = 768 : i64, operandSegmentSizes = array<i32: 1, 1, 0, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<96x8xf32>, tensor<8x8xf32>) -> tensor<96x8xf32>
  %a1 = "kernel.row"(%a, %few) {groups = 1 : i64, stages = [@sum2], reductions = [], operandSegmentSizes = array<i32: 2, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<96x8xf32>, tensor<96x8xf32>) -> tensor<96x8xf32>
  %b = "kernel.gemm"(%x, %wide) {m = 256 : i64, n = 2064 : i64, k = 8 : i64, groups = 1 : i64, trans_a = 0 : i64, trans_b = 1 : i64, lda = 8 : i64, ldb = 8 : i64, ldc = 2064 : i64, a_stride = 0 : i64, b_stride = 0 : i64, c_stride = 528384 : i64, operandSegmentSizes = array<i32: 1, 1, 0, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<256x8xf32>, tensor<2064x8xf32>) -> tensor<256x2064xf32>
  %b1 = "kernel.glu"(%b) {body = @glu} : (tensor<256x2064xf32>) -> tensor<256x1032xf32>
  %c = "kernel.gemm"(%x, %w) {m = 256 : i64, n = 8 : i64, k = 8 : i64, groups = 1 : i64, trans_a = 0 : i64, trans_b = 1 : i64, lda = 8 : i64, ldb = 8 : i64, ldc = 8 : i64, a_stride = 0 : i64, b_stride = 0 : i64, c_stride = 2048 : i64, operandSegmentSizes = array<i32: 1, 1, 0, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<256x8xf32>, tensor<8x8xf32>) -> tensor<256x8xf32>
  %zero = "kernel.zero"() : () -> tensor<256x8xf32>
  %c1 = "kernel.row"(%c, %zero) {groups = 1 : i64, stages = [@sum2], reductions = [], operandSegmentSizes = array<i32: 2, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<256x8xf32>, tensor<256x8xf32>) -> tensor<256x8xf32>
  %d = "kernel.gemm"(%x, %w) {m = 256 : i64, n = 8 : i64, k = 8 : i64, groups = 1 : i64, trans_a = 0 : i64, trans_b = 1 : i64, lda = 8 : i64, ldb = 8 : i64, ldc = 8 : i64, a_stride = 0 : i64, b_stride = 0 : i64, c_stride = 2048 : i64, operandSegmentSizes = array<i32: 1, 1, 0, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<256x8xf32>, tensor<8x8xf32>) -> tensor<256x8xf32>
  %k = "kernel.copy"(%x) {n0 = 1 : i64, n1 = 256 : i64, columns = 8 : i64, from = 0 : i64, from0 = 0 : i64, from1 = 8 : i64, to = array<i64: 0>, to0 = 0 : i64, to1 = 8 : i64, zero = 0 : i64} : (tensor<256x8xf32>) -> tensor<256x8xf32>
  %d1 = "kernel.row"(%d, %k) {groups = 1 : i64, stages = [@sum2], reductions = [], operandSegmentSizes = array<i32: 2, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<256x8xf32>, tensor<256x8xf32>) -> tensor<256x8xf32>
  %e = "kernel.gemm"(%x, %w) {m = 256 : i64, n = 8 : i64, k = 8 : i64, groups = 1 : i64, trans_a = 0 : i64, trans_b = 1 : i64, lda = 8 : i64, ldb = 8 : i64, ldc = 8 : i64, a_stride = 0 : i64, b_stride = 0 : i64, c_stride = 2048 : i64, operandSegmentSizes = array<i32: 1, 1, 0, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<256x8xf32>, tensor<8x8xf32>) -> tensor<256x8xf32>
  %half = "kernel.view"(%e) {offset = 4096 : i64} : (tensor<256x8xf32>) -> tensor<128x8xf32>
  %e1 = "kernel.row"(%half, %half) {groups = 1 : i64, stages = [@sum2], reductions = [], operandSegmentSizes = array<i32: 2, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<128x8xf32>, tensor<128x8xf32>) -> tensor<128x8xf32>
  "kernel.output"(%a1) {name = "a1"} : (tensor<96x8xf32>) -> ()
  "kernel.output"(%b1) {name = "b1"} : (tensor<256x1032xf32>) -> ()
  "kernel.output"(%c1) {name = "c1"} : (tensor<256x8xf32>) -> ()
  "kernel.output"(%d1) {name = "d1"} : (tensor<256x8xf32>) -> ()
  "kernel.output"(%e1) {name = "e1"} : (tensor<128x8xf32>) -> ()
  return
}
