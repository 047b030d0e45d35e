// Four edges from two sources into two targets: the mean of their last products and of what stands beside them is one
// product with two pieces a target, a scale and four addends; backward, what the edges are given is read in place, and
// what they give back is one product again.
func.func @entry() {
  %w0 = "nn.parameter"() {names = ["w0"]} : () -> tensor<4x8xf32>
  %w1 = "nn.parameter"() {names = ["w1"]} : () -> tensor<4x8xf32>
  %a = "nn.input"() {name = "a"} : () -> tensor<12x8xf32>
  %h = "nn.input"() {name = "h"} : () -> tensor<12x4xf32>
  %p = "nn.linear"(%a, %w0, %w1, %w0, %w1) {groups = 4 : i64, input_major = 0 : i64, operandSegmentSizes = array<i32: 1, 4, 0>} : (tensor<12x8xf32>, tensor<4x8xf32>, tensor<4x8xf32>, tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<12x4xf32>
  %m = "nn.add"(%h, %p) {scale = 1.0 : f64} : (tensor<12x4xf32>, tensor<12x4xf32>) -> tensor<12x4xf32>
  %m0 = "nn.unstack"(%m) {index = 0 : i64, count = 4 : i64} : (tensor<12x4xf32>) -> tensor<3x4xf32>
  %m1 = "nn.unstack"(%m) {index = 1 : i64, count = 4 : i64} : (tensor<12x4xf32>) -> tensor<3x4xf32>
  %m2 = "nn.unstack"(%m) {index = 2 : i64, count = 4 : i64} : (tensor<12x4xf32>) -> tensor<3x4xf32>
  %m3 = "nn.unstack"(%m) {index = 3 : i64, count = 4 : i64} : (tensor<12x4xf32>) -> tensor<3x4xf32>
  %y = "nn.segment_sum"(%m0, %m2, %m1, %m3) {counts = array<i64: 2, 2>, scale = 0.5 : f64} : (tensor<3x4xf32>, tensor<3x4xf32>, tensor<3x4xf32>, tensor<3x4xf32>) -> tensor<6x4xf32>
  "nn.output"(%y) {name = "y"} : (tensor<6x4xf32>) -> ()
  %dy = "nn.input"() {name = "dy"} : () -> tensor<6x4xf32>
  %dy0 = "nn.unstack"(%dy) {index = 0 : i64, count = 2 : i64} : (tensor<6x4xf32>) -> tensor<3x4xf32>
  %dy1 = "nn.unstack"(%dy) {index = 1 : i64, count = 2 : i64} : (tensor<6x4xf32>) -> tensor<3x4xf32>
  %dm = "nn.segment_sum"(%dy0, %dy1, %dy0, %dy1) {counts = array<i64: 1, 1, 1, 1>, scale = 1.0 : f64} : (tensor<3x4xf32>, tensor<3x4xf32>, tensor<3x4xf32>, tensor<3x4xf32>) -> tensor<12x4xf32>
  %dw:4 = "nn.linear_dw"(%a, %dm) {groups = 4 : i64, input_major = 0 : i64} : (tensor<12x8xf32>, tensor<12x4xf32>) -> (tensor<4x8xf32>, tensor<4x8xf32>, tensor<4x8xf32>, tensor<4x8xf32>)
  %dx = "nn.linear_dx"(%dm, %w0, %w1, %w0, %w1) {groups = 4 : i64, input_major = 0 : i64} : (tensor<12x4xf32>, tensor<4x8xf32>, tensor<4x8xf32>, tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<12x8xf32>
  %dx0 = "nn.unstack"(%dx) {index = 0 : i64, count = 4 : i64} : (tensor<12x8xf32>) -> tensor<3x8xf32>
  %dx1 = "nn.unstack"(%dx) {index = 1 : i64, count = 4 : i64} : (tensor<12x8xf32>) -> tensor<3x8xf32>
  %dx2 = "nn.unstack"(%dx) {index = 2 : i64, count = 4 : i64} : (tensor<12x8xf32>) -> tensor<3x8xf32>
  %dx3 = "nn.unstack"(%dx) {index = 3 : i64, count = 4 : i64} : (tensor<12x8xf32>) -> tensor<3x8xf32>
  %da = "nn.segment_sum"(%dx0, %dx1, %dx2, %dx3) {counts = array<i64: 2, 2>, scale = 1.0 : f64} : (tensor<3x8xf32>, tensor<3x8xf32>, tensor<3x8xf32>, tensor<3x8xf32>) -> tensor<6x8xf32>
  "nn.output"(%da) {name = "da"} : (tensor<6x8xf32>) -> ()
  "nn.output"(%dw#0) {name = "dw"} : (tensor<4x8xf32>) -> ()
  return
}
