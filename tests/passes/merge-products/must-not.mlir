// The first product's value is an output too; the second has no part in the second sum; the third's biases are of a
// sum of three and a sum of one. None is merged.
func.func @entry() {
  %w = "nn.parameter"() {names = ["w"]} : () -> tensor<4x8xf32>
  %b = "nn.parameter"() {names = ["b"]} : () -> tensor<4xf32>
  %a = "nn.input"() {name = "a"} : () -> tensor<6x8xf32>
  %c = "nn.input"() {name = "c"} : () -> tensor<12x8xf32>
  %h = "nn.input"() {name = "h"} : () -> tensor<3x4xf32>
  %p = "nn.linear"(%a, %w, %w) {groups = 2 : i64, input_major = 0 : i64, operandSegmentSizes = array<i32: 1, 2, 0>} : (tensor<6x8xf32>, tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<6x4xf32>
  "nn.output"(%p) {name = "p"} : (tensor<6x4xf32>) -> ()
  %p0 = "nn.unstack"(%p) {index = 0 : i64, count = 2 : i64} : (tensor<6x4xf32>) -> tensor<3x4xf32>
  %p1 = "nn.unstack"(%p) {index = 1 : i64, count = 2 : i64} : (tensor<6x4xf32>) -> tensor<3x4xf32>
  %y = "nn.segment_sum"(%p0, %p1) {counts = array<i64: 2>, scale = 1.0 : f64} : (tensor<3x4xf32>, tensor<3x4xf32>) -> tensor<3x4xf32>
  "nn.output"(%y) {name = "y"} : (tensor<3x4xf32>) -> ()
  %q = "nn.linear"(%a, %w, %w) {groups = 2 : i64, input_major = 0 : i64, operandSegmentSizes = array<i32: 1, 2, 0>} : (tensor<6x8xf32>, tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<6x4xf32>
  %q0 = "nn.unstack"(%q) {index = 0 : i64, count = 2 : i64} : (tensor<6x4xf32>) -> tensor<3x4xf32>
  %q1 = "nn.unstack"(%q) {index = 1 : i64, count = 2 : i64} : (tensor<6x4xf32>) -> tensor<3x4xf32>
  %z = "nn.segment_sum"(%q0, %q1, %h) {counts = array<i64: 2, 1>, scale = 1.0 : f64} : (tensor<3x4xf32>, tensor<3x4xf32>, tensor<3x4xf32>) -> tensor<6x4xf32>
  "nn.output"(%z) {name = "z"} : (tensor<6x4xf32>) -> ()
  %r = "nn.linear"(%c, %w, %w, %w, %w, %b, %b, %b, %b) {groups = 4 : i64, input_major = 0 : i64, operandSegmentSizes = array<i32: 1, 4, 4>} : (tensor<12x8xf32>, tensor<4x8xf32>, tensor<4x8xf32>, tensor<4x8xf32>, tensor<4x8xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>) -> tensor<12x4xf32>
  %r0 = "nn.unstack"(%r) {index = 0 : i64, count = 4 : i64} : (tensor<12x4xf32>) -> tensor<3x4xf32>
  %r1 = "nn.unstack"(%r) {index = 1 : i64, count = 4 : i64} : (tensor<12x4xf32>) -> tensor<3x4xf32>
  %r2 = "nn.unstack"(%r) {index = 2 : i64, count = 4 : i64} : (tensor<12x4xf32>) -> tensor<3x4xf32>
  %r3 = "nn.unstack"(%r) {index = 3 : i64, count = 4 : i64} : (tensor<12x4xf32>) -> tensor<3x4xf32>
  %s = "nn.segment_sum"(%r0, %r1, %r2, %r3) {counts = array<i64: 3, 1>, scale = 1.0 : f64} : (tensor<3x4xf32>, tensor<3x4xf32>, tensor<3x4xf32>, tensor<3x4xf32>) -> tensor<6x4xf32>
  "nn.output"(%s) {name = "s"} : (tensor<6x4xf32>) -> ()
  return
}
