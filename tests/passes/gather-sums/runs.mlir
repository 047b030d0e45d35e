// Two runs of a bias: the parts of both are added up at the end, when the gradients are. What an output reads is added
// up at once.
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
  %x = "kernel.buffer"() {space = "input", name = "x"} : () -> tensor<64x8xf32>
  %y = "kernel.buffer"() {space = "input", name = "y"} : () -> tensor<64x8xf32>
  %w = "kernel.buffer"() {space = "parameter", name = "w"} : () -> tensor<8x8xf32>
  %a = "kernel.column"(%x) {groups = 1 : i64, body = @identity, operandSegmentSizes = array<i32: 1, 0>} : (tensor<64x8xf32>) -> tensor<8xf32>
  %b = "kernel.column"(%y) {groups = 1 : i64, body = @identity, operandSegmentSizes = array<i32: 1, 0>} : (tensor<64x8xf32>) -> tensor<8xf32>
  %g = "kernel.row"(%a, %b) {groups = 1 : i64, stages = [@sum2], reductions = [], operandSegmentSizes = array<i32: 2, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<8xf32>, tensor<8xf32>) -> tensor<8xf32>
  "kernel.gradient"(%g) {names = ["b"]} : (tensor<8xf32>) -> ()
  %c = "kernel.column"(%x, %y) {groups = 1 : i64, body = @dw, operandSegmentSizes = array<i32: 2, 0>} : (tensor<64x8xf32>, tensor<64x8xf32>) -> tensor<8xf32>
  "kernel.gradient"(%c) {names = ["c"]} : (tensor<8xf32>) -> ()
  %o = "kernel.column"(%y) {groups = 1 : i64, body = @identity, operandSegmentSizes = array<i32: 1, 0>} : (tensor<64x8xf32>) -> tensor<8xf32>
  "kernel.output"(%o) {name = "o"} : (tensor<8xf32>) -> ()
  return
}
