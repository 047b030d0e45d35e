// Must not: a sum whose terms are lists gives a part for each group; they are not terms of one sum.
func.func private @sum2(%x: f32, %y: f32) -> f32 {
  %z = arith.addf %x, %y : f32
  return %z : f32
}
func.func @entry() {
  %x = "kernel.buffer"() {space = "input", name = "x"} : () -> tensor<6x8xf32>
  %w = "kernel.buffer"() {space = "parameter", name = "w"} : () -> tensor<8x8xf32>
  %a = "kernel.gemm"(%x, %w) {m = 6 : i64, n = 8 : i64, k = 8 : i64, groups = 1 : i64, trans_a = 0 : i64, trans_b = 1 : i64, lda = 8 : i64, ldb = 8 : i64, ldc = 8 : i64, a_stride = 48 : i64, b_stride = 64 : i64, c_stride = 48 : i64, operandSegmentSizes = array<i32: 1, 1, 0, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<6x8xf32>, tensor<8x8xf32>) -> tensor<6x8xf32>
  %b = "kernel.gemm"(%x, %w) {m = 6 : i64, n = 8 : i64, k = 8 : i64, groups = 1 : i64, trans_a = 0 : i64, trans_b = 1 : i64, lda = 8 : i64, ldb = 8 : i64, ldc = 8 : i64, a_stride = 48 : i64, b_stride = 64 : i64, c_stride = 48 : i64, operandSegmentSizes = array<i32: 1, 1, 0, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<6x8xf32>, tensor<8x8xf32>) -> tensor<6x8xf32>
  %c = "kernel.gemm"(%x, %w) {m = 6 : i64, n = 8 : i64, k = 8 : i64, groups = 1 : i64, trans_a = 0 : i64, trans_b = 1 : i64, lda = 8 : i64, ldb = 8 : i64, ldc = 8 : i64, a_stride = 48 : i64, b_stride = 64 : i64, c_stride = 48 : i64, operandSegmentSizes = array<i32: 1, 1, 0, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<6x8xf32>, tensor<8x8xf32>) -> tensor<6x8xf32>
  %d = "kernel.gemm"(%x, %w) {m = 6 : i64, n = 8 : i64, k = 8 : i64, groups = 1 : i64, trans_a = 0 : i64, trans_b = 1 : i64, lda = 8 : i64, ldb = 8 : i64, ldc = 8 : i64, a_stride = 48 : i64, b_stride = 64 : i64, c_stride = 48 : i64, operandSegmentSizes = array<i32: 1, 1, 0, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<6x8xf32>, tensor<8x8xf32>) -> tensor<6x8xf32>
  %y = "kernel.row"(%a, %b, %c, %d) {groups = 2 : i64, lists = 1 : i64, stages = [@sum2], reductions = [], operandSegmentSizes = array<i32: 4, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<6x8xf32>, tensor<6x8xf32>, tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<12x8xf32>
  "kernel.output"(%y) {name = "y"} : (tensor<12x8xf32>) -> ()
  return
}
