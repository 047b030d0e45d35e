// Work keeps its order: a product does not move to its reader.
func.func private @sum2(%x: f32, %y: f32) -> f32 {
  %z = arith.addf %x, %y : f32
  return %z : f32
}
func.func @entry() {
  %x = "kernel.buffer"() {space = "input", name = "x"} : () -> tensor<6x8xf32>
  %y = "kernel.buffer"() {space = "input", name = "y"} : () -> tensor<6x8xf32>
  %g = "kernel.gemm"(%x, %y) {m = 8 : i64, n = 8 : i64, k = 6 : i64, groups = 1 : i64, trans_a = 1 : i64, trans_b = 0 : i64, lda = 8 : i64, ldb = 8 : i64, ldc = 8 : i64, a_stride = 48 : i64, b_stride = 48 : i64, c_stride = 64 : i64, operandSegmentSizes = array<i32: 1, 1, 0, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<8x8xf32>
  %h = "kernel.gemm"(%y, %x) {m = 8 : i64, n = 8 : i64, k = 6 : i64, groups = 1 : i64, trans_a = 1 : i64, trans_b = 0 : i64, lda = 8 : i64, ldb = 8 : i64, ldc = 8 : i64, a_stride = 48 : i64, b_stride = 48 : i64, c_stride = 64 : i64, operandSegmentSizes = array<i32: 1, 1, 0, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<8x8xf32>
  %s = "kernel.row"(%h, %h) {groups = 1 : i64, stages = [@sum2], reductions = [], operandSegmentSizes = array<i32: 2, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<8x8xf32>, tensor<8x8xf32>) -> tensor<8x8xf32>
  %t = "kernel.row"(%g, %s) {groups = 1 : i64, stages = [@sum2], reductions = [], operandSegmentSizes = array<i32: 2, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<8x8xf32>, tensor<8x8xf32>) -> tensor<8x8xf32>
  "kernel.output"(%t) {name = "t"} : (tensor<8x8xf32>) -> ()
  return
}
