// What turns queries and keys runs with the product that makes them, right behind it.
func.func @entry() {
  %x = "kernel.buffer"() {space = "input", name = "x"} : () -> tensor<16x8xf32>
  %w = "kernel.buffer"() {space = "parameter", name = "w"} : () -> tensor<16x8xf32>
  %table = "kernel.buffer"() {space = "constant", name = "0.8"} : () -> tensor<8x4xf32>
  %q0 = "kernel.gemm"(%x, %w) {m = 16 : i64, n = 16 : i64, k = 8 : i64, groups = 1 : i64, trans_a = 0 : i64, trans_b = 1 : i64, lda = 8 : i64, ldb = 8 : i64, ldc = 16 : i64, a_stride = 0 : i64, b_stride = 0 : i64, c_stride = 256 : i64, operandSegmentSizes = array<i32: 1, 1, 0, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<16x8xf32>, tensor<16x8xf32>) -> tensor<16x16xf32>
  %other = "kernel.zero"() : () -> tensor<16x16xf32>
  %y0 = "kernel.rope"(%q0, %table) {heads = 3 : i64, head_size = 4 : i64, length = 8 : i64, inverse = 0 : i64} : (tensor<16x16xf32>, tensor<8x4xf32>) -> tensor<16x16xf32>
  "kernel.output"(%y0) {name = "o0"} : (tensor<16x16xf32>) -> ()
  "kernel.output"(%other) {name = "o1"} : (tensor<16x16xf32>) -> ()
  return
}
