// Must not: a product with another reader; a rotation back, by positions of its own, by a table that is made later, of what is no product.
func.func @entry() {
  %x = "kernel.buffer"() {space = "input", name = "x"} : () -> tensor<16x8xf32>
  %w = "kernel.buffer"() {space = "parameter", name = "w"} : () -> tensor<16x8xf32>
  %table = "kernel.buffer"() {space = "constant", name = "0.8"} : () -> tensor<8x4xf32>
  %lengths = "kernel.buffer"() {space = "input", name = "lengths"} : () -> tensor<2xi32>
  %q0 = "kernel.gemm"(%x, %w) {m = 16 : i64, n = 16 : i64, k = 8 : i64, groups = 1 : i64, trans_a = 0 : i64, trans_b = 1 : i64, lda = 8 : i64, ldb = 8 : i64, ldc = 16 : i64, a_stride = 0 : i64, b_stride = 0 : i64, c_stride = 256 : i64, operandSegmentSizes = array<i32: 1, 1, 0, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<16x8xf32>, tensor<16x8xf32>) -> tensor<16x16xf32>
  %q1 = "kernel.gemm"(%x, %w) {m = 16 : i64, n = 16 : i64, k = 8 : i64, groups = 1 : i64, trans_a = 0 : i64, trans_b = 1 : i64, lda = 8 : i64, ldb = 8 : i64, ldc = 16 : i64, a_stride = 0 : i64, b_stride = 0 : i64, c_stride = 256 : i64, operandSegmentSizes = array<i32: 1, 1, 0, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<16x8xf32>, tensor<16x8xf32>) -> tensor<16x16xf32>
  %q2 = "kernel.gemm"(%x, %w) {m = 16 : i64, n = 16 : i64, k = 8 : i64, groups = 1 : i64, trans_a = 0 : i64, trans_b = 1 : i64, lda = 8 : i64, ldb = 8 : i64, ldc = 16 : i64, a_stride = 0 : i64, b_stride = 0 : i64, c_stride = 256 : i64, operandSegmentSizes = array<i32: 1, 1, 0, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<16x8xf32>, tensor<16x8xf32>) -> tensor<16x16xf32>
  %q3 = "kernel.gemm"(%x, %w) {m = 16 : i64, n = 16 : i64, k = 8 : i64, groups = 1 : i64, trans_a = 0 : i64, trans_b = 1 : i64, lda = 8 : i64, ldb = 8 : i64, ldc = 16 : i64, a_stride = 0 : i64, b_stride = 0 : i64, c_stride = 256 : i64, operandSegmentSizes = array<i32: 1, 1, 0, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<16x8xf32>, tensor<16x8xf32>) -> tensor<16x16xf32>
  %q4 = "kernel.zero"() : () -> tensor<16x16xf32>
  %late = "kernel.buffer"() {space = "constant", name = "1.8"} : () -> tensor<8x4xf32>
  %y0 = "kernel.rope"(%q0, %table) {heads = 3 : i64, head_size = 4 : i64, length = 8 : i64, inverse = 0 : i64} : (tensor<16x16xf32>, tensor<8x4xf32>) -> tensor<16x16xf32>
  %y1 = "kernel.rope"(%q1, %table) {heads = 3 : i64, head_size = 4 : i64, length = 8 : i64, inverse = 1 : i64} : (tensor<16x16xf32>, tensor<8x4xf32>) -> tensor<16x16xf32>
  %y2 = "kernel.rope"(%q2, %table, %lengths) {heads = 3 : i64, head_size = 4 : i64, length = 8 : i64, inverse = 0 : i64} : (tensor<16x16xf32>, tensor<8x4xf32>, tensor<2xi32>) -> tensor<16x16xf32>
  %y3 = "kernel.rope"(%q3, %late) {heads = 3 : i64, head_size = 4 : i64, length = 8 : i64, inverse = 0 : i64} : (tensor<16x16xf32>, tensor<8x4xf32>) -> tensor<16x16xf32>
  %y4 = "kernel.rope"(%q4, %table) {heads = 3 : i64, head_size = 4 : i64, length = 8 : i64, inverse = 0 : i64} : (tensor<16x16xf32>, tensor<8x4xf32>) -> tensor<16x16xf32>
  "kernel.output"(%q0) {name = "o0"} : (tensor<16x16xf32>) -> ()
  "kernel.output"(%y0) {name = "o1"} : (tensor<16x16xf32>) -> ()
  "kernel.output"(%y1) {name = "o2"} : (tensor<16x16xf32>) -> ()
  "kernel.output"(%y2) {name = "o3"} : (tensor<16x16xf32>) -> ()
  "kernel.output"(%y3) {name = "o4"} : (tensor<16x16xf32>) -> ()
  "kernel.output"(%y4) {name = "o5"} : (tensor<16x16xf32>) -> ()
  return
}
