// Two groups that read the same rows: the sums find their operands in other views of the same piece, and what is added
// becomes a list.
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
  %x = "kernel.buffer"() {space = "input", name = "x"} : () -> tensor<3x8xf32>
  %r = "kernel.buffer"() {space = "input", name = "r"} : () -> tensor<6x8xf32>
  %w = "kernel.buffer"() {space = "parameter", name = "w"} : () -> tensor<8xf32>
  %v = "kernel.buffer"() {space = "parameter", name = "v"} : () -> tensor<8xf32>
  %dy0 = "kernel.view"(%dy) {offset = 0 : i64} : (tensor<6x8xf32>) -> tensor<3x8xf32>
  %dy1 = "kernel.view"(%dy) {offset = 96 : i64} : (tensor<6x8xf32>) -> tensor<3x8xf32>
  %ey0 = "kernel.view"(%dy) {offset = 0 : i64} : (tensor<6x8xf32>) -> tensor<3x8xf32>
  %ey1 = "kernel.view"(%dy) {offset = 96 : i64} : (tensor<6x8xf32>) -> tensor<3x8xf32>
  %d = "kernel.row"(%dy0, %dy1, %x, %x, %w, %v) {groups = 2 : i64, lists = 1 : i64, stages = [@product, @dx], reductions = ["sum"], operandSegmentSizes = array<i32: 4, 0, 2>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<3x8xf32>, tensor<3x8xf32>, tensor<3x8xf32>, tensor<3x8xf32>, tensor<8xf32>, tensor<8xf32>) -> tensor<6x8xf32>
  %g:2 = "kernel.column"(%ey0, %ey1, %x, %x) {groups = 2 : i64, lists = 1 : i64, body = @dw, operandSegmentSizes = array<i32: 4, 0>} : (tensor<3x8xf32>, tensor<3x8xf32>, tensor<3x8xf32>, tensor<3x8xf32>) -> (tensor<8xf32>, tensor<8xf32>)
  %s = "kernel.row"(%d, %r) {groups = 1 : i64, stages = [@sum2], reductions = [], operandSegmentSizes = array<i32: 2, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
  "kernel.output"(%s) {name = "s"} : (tensor<6x8xf32>) -> ()
  "kernel.output"(%g#0) {name = "g0"} : (tensor<8xf32>) -> ()
  "kernel.output"(%g#1) {name = "g1"} : (tensor<8xf32>) -> ()
  return
}
