// Weights, products and hidden states become bf16, views with their offsets; vectors, one a row, and what adds up to a gradient stay float32; an
// output that is read here too is copied, one that is not is made in float32; what float32 a product reads is copied.
func.func private @sum2(%x: f32, %y: f32) -> f32 {
  %z = arith.addf %x, %y : f32
  return %z : f32
}
func.func private @id(%x: f32) -> f32 {
  return %x : f32
}
func.func @entry() {
  %x = "kernel.buffer"() {space = "input", name = "x"} : () -> tensor<6x8xf32>
  %table = "kernel.buffer"() {space = "constant", name = "0.3"} : () -> tensor<3x4xf32>
  %w = "kernel.buffer"() {space = "parameter", name = "input->a.0.weight"} : () -> tensor<16x8xf32>
  %b = "kernel.buffer"() {space = "parameter", name = "input->a.0.bias"} : () -> tensor<8xf32>
  %w1 = "kernel.view"(%w) {offset = 256 : i64} : (tensor<16x8xf32>) -> tensor<8x8xf32>
  %y = "kernel.gemm"(%x, %w1) {m = 6 : i64, n = 8 : i64, k = 8 : i64, groups = 1 : i64, trans_a = 0 : i64, trans_b = 1 : i64, lda = 8 : i64, ldb = 8 : i64, ldc = 8 : i64, a_stride = 0 : i64, b_stride = 0 : i64, c_stride = 0 : i64, operandSegmentSizes = array<i32: 1, 1, 0, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<6x8xf32>, tensor<8x8xf32>) -> tensor<6x8xf32>
  %z = "kernel.rope"(%y, %table) {heads = 1 : i64, head_size = 4 : i64, length = 3 : i64, inverse = 0 : i64, operandSegmentSizes = array<i32: 1, 1, 0>} : (tensor<6x8xf32>, tensor<3x4xf32>) -> tensor<6x8xf32>
  %n, %r = "kernel.row"(%z, %b) {groups = 1 : i64, stages = [@id, @sum2], reductions = ["sum"], finish = @id, operandSegmentSizes = array<i32: 1, 0, 1>, resultSegmentSizes = array<i32: 1, 1>} : (tensor<6x8xf32>, tensor<8xf32>) -> (tensor<6x8xf32>, tensor<6xf32>)
  %o = "kernel.row"(%n, %z) {groups = 1 : i64, stages = [@sum2], reductions = [], operandSegmentSizes = array<i32: 2, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
  %g1 = "kernel.gemm"(%y, %n) {m = 8 : i64, n = 8 : i64, k = 6 : i64, groups = 1 : i64, trans_a = 1 : i64, trans_b = 0 : i64, lda = 8 : i64, ldb = 8 : i64, ldc = 8 : i64, a_stride = 0 : i64, b_stride = 0 : i64, c_stride = 0 : i64, operandSegmentSizes = array<i32: 1, 1, 0, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<8x8xf32>
  %g2 = "kernel.gemm"(%n, %y, %g1) {m = 8 : i64, n = 8 : i64, k = 6 : i64, groups = 1 : i64, trans_a = 1 : i64, trans_b = 0 : i64, lda = 8 : i64, ldb = 8 : i64, ldc = 8 : i64, a_stride = 0 : i64, b_stride = 0 : i64, c_stride = 0 : i64, operandSegmentSizes = array<i32: 1, 1, 1, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<6x8xf32>, tensor<6x8xf32>, tensor<8x8xf32>) -> tensor<8x8xf32>
  %g3 = "kernel.gemm"(%n, %n) {m = 8 : i64, n = 8 : i64, k = 6 : i64, groups = 1 : i64, trans_a = 1 : i64, trans_b = 0 : i64, lda = 8 : i64, ldb = 8 : i64, ldc = 8 : i64, a_stride = 0 : i64, b_stride = 0 : i64, c_stride = 0 : i64, operandSegmentSizes = array<i32: 1, 1, 0, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<8x8xf32>
  %g = "kernel.row"(%g2, %g3) {groups = 1 : i64, stages = [@sum2], reductions = [], operandSegmentSizes = array<i32: 2, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<8x8xf32>, tensor<8x8xf32>) -> tensor<8x8xf32>
  "kernel.gradient"(%g) {names = ["input->a.0.weight"]} : (tensor<8x8xf32>) -> ()
  "kernel.output"(%n) {name = "n"} : (tensor<6x8xf32>) -> ()
  "kernel.output"(%o) {name = "o"} : (tensor<6x8xf32>) -> ()
  "kernel.output"(%r) {name = "r"} : (tensor<6xf32>) -> ()
  return
}
