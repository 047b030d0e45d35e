// A weight used twice has one gradient, the sum; the input, behind which nothing is trained, has none.
func.func @entry() {
  %x = "nn.input"() {name = "x"} : () -> tensor<6x32xf32>
  %labels = "nn.input"() {name = "labels"} : () -> tensor<2x3xi32>
  %scale = "nn.input"() {name = "scale"} : () -> tensor<1xf32>
  %w = "nn.parameter"() {names = ["input->a.0.weight"]} : () -> tensor<32x32xf32>
  %b = "nn.parameter"() {names = ["input->a.0.bias"]} : () -> tensor<32xf32>
  %head = "nn.parameter"() {names = ["qwen.model.embed_tokens.weight"]} : () -> tensor<131x32xf32>
  %y = "nn.linear"(%x, %w, %b) {groups = 1 : i64, input_major = 0 : i64, operandSegmentSizes = array<i32: 1, 1, 1>} : (tensor<6x32xf32>, tensor<32x32xf32>, tensor<32xf32>) -> tensor<6x32xf32>
  %z = "nn.linear"(%y, %w) {groups = 1 : i64, input_major = 0 : i64, operandSegmentSizes = array<i32: 1, 1, 0>} : (tensor<6x32xf32>, tensor<32x32xf32>) -> tensor<6x32xf32>
  %loss, %right = "nn.cross_entropy"(%z, %head, %labels, %scale) {smoothing = 0.0 : f64} : (tensor<6x32xf32>, tensor<131x32xf32>, tensor<2x3xi32>, tensor<1xf32>) -> (tensor<1xf32>, tensor<1xf32>)
  "nn.output"(%loss) {name = "loss"} : (tensor<1xf32>) -> ()
  return
}
