// Must not: the norm's gradient is read elsewhere too; a sum of rows that the kernel has not; a sum that is wanted before
// the kernel has what it reads.
func.func private @product(%dy: f32, %x: f32, %w: f32) -> f32 {
  %g = arith.mulf %dy, %w : f32
  %y = arith.mulf %g, %x : f32
  return %y : f32
}
func.func private @dx(%dy: f32, %x: f32, %w: f32, %s: f32) -> f32 {
  %g = arith.mulf %dy, %w : f32
  %p = arith.mulf %x, %s : f32
  %y = arith.subf %g, %p : f32
  return %y : f32
}
func.func private @dw(%dy: f32, %x: f32) -> f32 {
  %y = arith.mulf %dy, %x : f32
  return %y : f32
}
func.func private @identity(%x: f32) -> f32 {
  return %x : f32
}
func.func private @sum2(%x: f32, %y: f32) -> f32 {
  %z = arith.addf %x, %y : f32
  return %z : f32
}
func.func @entry() {
  %dy = "kernel.buffer"() {space = "input", name = "dy"} : () -> tensor<6x8xf32>
  %x = "kernel.buffer"() {space = "input", name = "x"} : () -> tensor<6x8xf32>
  %r = "kernel.buffer"() {space = "input", name = "r"} : () -> tensor<6x8xf32>
  %w = "kernel.buffer"() {space = "parameter", name = "w"} : () -> tensor<8xf32>
  %gw = "kernel.column"(%dy, %x) {groups = 1 : i64, body = @dw, operandSegmentSizes = array<i32: 2, 0>} : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<8xf32>
  %e = "kernel.row"(%gw, %w) {groups = 1 : i64, stages = [@sum2], reductions = [], operandSegmentSizes = array<i32: 2, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<8xf32>, tensor<8xf32>) -> tensor<8xf32>
  %d = "kernel.row"(%dy, %x, %e) {groups = 1 : i64, stages = [@product, @dx], reductions = ["sum"], operandSegmentSizes = array<i32: 2, 0, 1>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<6x8xf32>, tensor<6x8xf32>, tensor<8xf32>) -> tensor<6x8xf32>
  %s = "kernel.row"(%d, %r) {groups = 1 : i64, stages = [@sum2], reductions = [], operandSegmentSizes = array<i32: 2, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
  %gr = "kernel.column"(%r) {groups = 1 : i64, body = @identity, operandSegmentSizes = array<i32: 1, 0>} : (tensor<6x8xf32>) -> tensor<8xf32>
  "kernel.output"(%d) {name = "d"} : (tensor<6x8xf32>) -> ()
  "kernel.output"(%s) {name = "s"} : (tensor<6x8xf32>) -> ()
  "kernel.output"(%gr) {name = "gr"} : (tensor<8xf32>) -> ()
  return
}
