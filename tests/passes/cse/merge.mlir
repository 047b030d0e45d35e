// The second op that computes the same goes, and then those that read it are the same too.
func.func @entry() {
  %x = "nn.input"() {name = "x"} : () -> tensor<6x8xf32>
  %a = "nn.activation"(%x) {kind = "silu"} : (tensor<6x8xf32>) -> tensor<6x8xf32>
  %b = "nn.activation"(%x) {kind = "silu"} : (tensor<6x8xf32>) -> tensor<6x8xf32>
  %c = "nn.unstack"(%a) {index = 0 : i64, count = 2 : i64} : (tensor<6x8xf32>) -> tensor<3x8xf32>
  %d = "nn.unstack"(%b) {count = 2 : i64, index = 0 : i64} : (tensor<6x8xf32>) -> tensor<3x8xf32>
  %w0 = "nn.parameter"() {names = ["w"]} : () -> tensor<8xf32>
  %w1 = "nn.parameter"() {names = ["w"]} : () -> tensor<8xf32>
  %y0, %r0 = "nn.norm"(%c, %w0) {kind = "rms", eps = 1.0e-06 : f64, groups = 1 : i64, operandSegmentSizes = array<i32: 1, 1, 0>} : (tensor<3x8xf32>, tensor<8xf32>) -> (tensor<3x8xf32>, tensor<3xf32>)
  %y1, %r1 = "nn.norm"(%d, %w1) {kind = "rms", eps = 1.0e-06 : f64, groups = 1 : i64, operandSegmentSizes = array<i32: 1, 1, 0>} : (tensor<3x8xf32>, tensor<8xf32>) -> (tensor<3x8xf32>, tensor<3xf32>)
  %s = "nn.add"(%y0, %y1) {scale = 1.0 : f64} : (tensor<3x8xf32>, tensor<3x8xf32>) -> tensor<3x8xf32>
  "nn.output"(%s) {name = "y"} : (tensor<3x8xf32>) -> ()
  "nn.output"(%r1) {name = "r"} : (tensor<3xf32>) -> ()
  return
}
