// A product of two groups, with what is added to each of them from elsewhere: the lists go to its epilogue.
func.func private @sum2(%x0: f32, %x1: f32) -> f32 {
  %s = arith.addf %x0, %x1 : f32
  return %s : f32
}
func.func @entry() {
  %a = "kernel.buffer"() {space = "input", name = "a"} : () -> tensor<6x8xf32>
  %h = "kernel.buffer"() {space = "input", name = "h"} : () -> tensor<6x4xf32>
  %w = "kernel.buffer"() {space = "parameter", name = "w"} : () -> tensor<4x8xf32>
  %p = "kernel.gemm"(%a, %w, %w) {m = 3 : i64, n = 4 : i64, k = 8 : i64, groups = 2 : i64, trans_a = 0 : i64, trans_b = 1 : i64, lda = 8 : i64, ldb = 8 : i64, ldc = 4 : i64, a_stride = 24 : i64, b_stride = 0 : i64, c_stride = 12 : i64, operandSegmentSizes = array<i32: 1, 2, 0, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<6x8xf32>, tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<6x4xf32>
  %p0 = "kernel.view"(%p) {offset = 0 : i64} : (tensor<6x4xf32>) -> tensor<3x4xf32>
  %p1 = "kernel.view"(%p) {offset = 48 : i64} : (tensor<6x4xf32>) -> tensor<3x4xf32>
  %h0 = "kernel.view"(%h) {offset = 0 : i64} : (tensor<6x4xf32>) -> tensor<3x4xf32>
  %y = "kernel.row"(%p0, %p1, %h0, %h0) {groups = 2 : i64, stages = [@sum2], reductions = [], lists = 1 : i64, operandSegmentSizes = array<i32: 4, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<3x4xf32>, tensor<3x4xf32>, tensor<3x4xf32>, tensor<3x4xf32>) -> tensor<6x4xf32>
  "kernel.output"(%y) {name = "y"} : (tensor<6x4xf32>) -> ()
  return
}
