// The sum, the norm of it and the gate ride on the product that their rows come from, each behind the one it reads; the weight that one of them
// reads is moved in front.
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
  %w = "kernel.buffer"() {space = "parameter", name = "w"} : () -> tensor<8x8xf32>
  %w2 = "kernel.buffer"() {space = "parameter", name = "w2"} : () -> tensor<16x8xf32>
  %c = "kernel.gemm"(%x, %w) {m = 256 : i64, n = 8 : i64, k = 8 : i64, groups = 1 : i64, trans_a = 0 : i64, trans_b = 1 : i64, lda = 8 : i64, ldb = 8 : i64, ldc = 8 : i64, a_stride = 0 : i64, b_stride = 0 : i64, c_stride = 2048 : i64, operandSegmentSizes = array<i32: 1, 1, 0, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<256x8xf32>, tensor<8x8xf32>) -> tensor<256x8xf32>
  %d = "kernel.gemm"(%x, %w2) {m = 256 : i64, n = 16 : i64, k = 8 : i64, groups = 1 : i64, trans_a = 0 : i64, trans_b = 1 : i64, lda = 8 : i64, ldb = 8 : i64, ldc = 16 : i64, a_stride = 0 : i64, b_stride = 0 : i64, c_stride = 4096 : i64, operandSegmentSizes = array<i32: 1, 1, 0, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<256x8xf32>, tensor<16x8xf32>) -> tensor<256x16xf32>
  %s = "kernel.row"(%c, %x) {groups = 1 : i64, stages = [@sum2], reductions = [], operandSegmentSizes = array<i32: 2, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<256x8xf32>, tensor<256x8xf32>) -> tensor<256x8xf32>
  %g = "kernel.buffer"() {space = "parameter", name = "g"} : () -> tensor<8xf32>
  %n = "kernel.row"(%s, %g) {groups = 1 : i64, stages = [@square, @scaled], reductions = ["sum"], operandSegmentSizes = array<i32: 1, 0, 1>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<256x8xf32>, tensor<8xf32>) -> tensor<256x8xf32>
  %u = "kernel.glu"(%d) {body = @glu} : (tensor<256x16xf32>) -> tensor<256x8xf32>
  %z = "kernel.row"(%n, %u) {groups = 1 : i64, stages = [@sum2], reductions = [], operandSegmentSizes = array<i32: 2, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<256x8xf32>, tensor<256x8xf32>) -> tensor<256x8xf32>
  "kernel.output"(%z) {name = "z"} : (tensor<256x8xf32>) -> ()
  return
}
