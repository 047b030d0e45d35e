// A norm that is made again for the gradient of the weight behind it: by the kernel of its own gradient, from the statistic that is
// there, and the product goes behind.
func.func private @rms_square(%x: f32, %w: f32) -> f32 {
  %y = arith.mulf %x, %x : f32
  return %y : f32
}
func.func private @rms_8_3(%x: f32, %w: f32, %q: f32) -> f32 {
  %r = math.rsqrt %q : f32
  %n = arith.mulf %x, %r : f32
  %y = arith.mulf %n, %w : f32
  return %y : f32
}
func.func private @rms_rstd_8_3(%q: f32) -> f32 {
  %r = math.rsqrt %q : f32
  return %r : f32
}
func.func private @product(%dy: f32, %x: f32, %rstd: f32, %w: f32) -> f32 {
  %g = arith.mulf %dy, %w : f32
  %y = arith.mulf %g, %x : f32
  return %y : f32
}
func.func private @dx(%dy: f32, %x: f32, %rstd: f32, %w: f32, %s: f32) -> f32 {
  %g = arith.mulf %dy, %w : f32
  %p = arith.mulf %x, %s : f32
  %d = arith.subf %g, %p : f32
  %y = arith.mulf %d, %rstd : f32
  return %y : f32
}
func.func private @dw(%dy: f32, %x: f32, %rstd: f32) -> f32 {
  %n = arith.mulf %x, %rstd : f32
  %y = arith.mulf %dy, %n : f32
  return %y : f32
}
func.func @entry() {
  %x = "kernel.buffer"() {space = "input", name = "x"} : () -> tensor<6x8xf32>
  %z = "kernel.buffer"() {space = "input", name = "z"} : () -> tensor<6x4xf32>
  %w = "kernel.buffer"() {space = "parameter", name = "w"} : () -> tensor<8xf32>
  %v = "kernel.buffer"() {space = "parameter", name = "v"} : () -> tensor<4x8xf32>
  %y0, %r0 = "kernel.row"(%x, %w) {groups = 1 : i64, stages = [@rms_square, @rms_8_3], reductions = ["sum"], finish = @rms_rstd_8_3, operandSegmentSizes = array<i32: 1, 0, 1>, resultSegmentSizes = array<i32: 1, 1>} : (tensor<6x8xf32>, tensor<8xf32>) -> (tensor<6x8xf32>, tensor<6xf32>)
  %y1, %r1 = "kernel.row"(%x, %w) {groups = 1 : i64, stages = [@rms_square, @rms_8_3], reductions = ["sum"], finish = @rms_rstd_8_3, operandSegmentSizes = array<i32: 1, 0, 1>, resultSegmentSizes = array<i32: 1, 1>} : (tensor<6x8xf32>, tensor<8xf32>) -> (tensor<6x8xf32>, tensor<6xf32>)
  %dv = "kernel.gemm"(%z, %y1) {operandSegmentSizes = array<i32: 1, 1, 0, 0, 0>, resultSegmentSizes = array<i32: 1, 0>, groups = 1 : i64, m = 4 : i64, n = 8 : i64, k = 6 : i64, trans_a = 1 : i64, trans_b = 0 : i64, lda = 4 : i64, ldb = 8 : i64, ldc = 8 : i64, a_stride = 24 : i64, b_stride = 48 : i64, c_stride = 32 : i64} : (tensor<6x4xf32>, tensor<6x8xf32>) -> tensor<4x8xf32>
  %dy = "kernel.gemm"(%z, %v) {operandSegmentSizes = array<i32: 1, 1, 0, 0, 0>, resultSegmentSizes = array<i32: 1, 0>, groups = 1 : i64, m = 6 : i64, n = 8 : i64, k = 4 : i64, trans_a = 0 : i64, trans_b = 0 : i64, lda = 4 : i64, ldb = 8 : i64, ldc = 8 : i64, a_stride = 24 : i64, b_stride = 32 : i64, c_stride = 48 : i64} : (tensor<6x4xf32>, tensor<4x8xf32>) -> tensor<6x8xf32>
  %d = "kernel.row"(%dy, %x, %r1, %w) {groups = 1 : i64, stages = [@product, @dx], reductions = ["sum"], operandSegmentSizes = array<i32: 2, 1, 1>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<6x8xf32>, tensor<6x8xf32>, tensor<6xf32>, tensor<8xf32>) -> tensor<6x8xf32>
  %gw = "kernel.column"(%dy, %x, %r1) {groups = 1 : i64, body = @dw, operandSegmentSizes = array<i32: 2, 1>} : (tensor<6x8xf32>, tensor<6x8xf32>, tensor<6xf32>) -> tensor<8xf32>
  "kernel.output"(%y0) {name = "y"} : (tensor<6x8xf32>) -> ()
  "kernel.output"(%dv) {name = "dv"} : (tensor<4x8xf32>) -> ()
  "kernel.output"(%d) {name = "d"} : (tensor<6x8xf32>) -> ()
  "kernel.output"(%gw) {name = "gw"} : (tensor<8xf32>) -> ()
  return
}
