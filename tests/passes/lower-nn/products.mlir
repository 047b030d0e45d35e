// A product and its two gradients are the same kernel with other transposes; a bias is a formula of its own until fuse-kernels.
func.func @entry() {
  %x = "nn.input"() {name = "x"} : () -> tensor<6x32xf32>
  %dy = "nn.input"() {name = "dy"} : () -> tensor<6x8xf32>
  %w = "nn.parameter"() {names = ["w"]} : () -> tensor<8x32xf32>
  %v = "nn.parameter"() {names = ["v"]} : () -> tensor<32x8xf32>
  %b = "nn.parameter"() {names = ["b"]} : () -> tensor<8xf32>
  %y = "nn.linear"(%x, %w, %b) {groups = 1 : i64, input_major = 0 : i64, operandSegmentSizes = array<i32: 1, 1, 1>} : (tensor<6x32xf32>, tensor<8x32xf32>, tensor<8xf32>) -> tensor<6x8xf32>
  %z = "nn.linear"(%x, %v) {groups = 1 : i64, input_major = 1 : i64, operandSegmentSizes = array<i32: 1, 1, 0>} : (tensor<6x32xf32>, tensor<32x8xf32>) -> tensor<6x8xf32>
  %dx = "nn.linear_dx"(%dy, %w, %w) {groups = 2 : i64, input_major = 0 : i64} : (tensor<6x8xf32>, tensor<8x32xf32>, tensor<8x32xf32>) -> tensor<6x32xf32>
  %dw:2 = "nn.linear_dw"(%x, %dy) {groups = 2 : i64, input_major = 0 : i64} : (tensor<6x32xf32>, tensor<6x8xf32>) -> (tensor<8x32xf32>, tensor<8x32xf32>)
  "nn.output"(%y) {name = "y"} : (tensor<6x8xf32>) -> ()
  "nn.output"(%z) {name = "z"} : (tensor<6x8xf32>) -> ()
  "nn.output"(%dx) {name = "dx"} : (tensor<6x32xf32>) -> ()
  "nn.output"(%dw#1) {name = "dw"} : (tensor<8x32xf32>) -> ()
  return
}
