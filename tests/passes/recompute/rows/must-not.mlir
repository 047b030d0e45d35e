// Must not: statistics alone are no reason to make a norm again (its weight is frozen: nothing asks for its result); the
// head's operand is read forward and backward at the same place.
func.func @entry() {
  %x = "nn.input"() {name = "x"} : () -> tensor<6x32xf32>
  %labels = "nn.input"() {name = "labels"} : () -> tensor<2x3xi32>
  %scale = "nn.input"() {name = "scale"} : () -> tensor<1xf32>
  %w = "nn.parameter"() {names = ["input->a.0.weight"]} : () -> tensor<32x32xf32>
  %g = "nn.parameter"() {names = ["qwen.model.norm.weight"]} : () -> tensor<32xf32>
  %head = "nn.parameter"() {names = ["qwen.model.embed_tokens.weight"]} : () -> tensor<131x32xf32>
  %h = "nn.linear"(%x, %w) {groups = 1 : i64, input_major = 0 : i64, operandSegmentSizes = array<i32: 1, 1, 0>} : (tensor<6x32xf32>, tensor<32x32xf32>) -> tensor<6x32xf32>
  %n, %r = "nn.norm"(%h, %g) {kind = "rms", eps = 1.0e-6 : f64, groups = 1 : i64, operandSegmentSizes = array<i32: 1, 1, 0>, resultSegmentSizes = array<i32: 1, 1, 0>} : (tensor<6x32xf32>, tensor<32xf32>) -> (tensor<6x32xf32>, tensor<6xf32>)
  %s = "nn.add"(%n, %h) {scale = 1.0 : f64} : (tensor<6x32xf32>, tensor<6x32xf32>) -> tensor<6x32xf32>
  %loss, %right = "nn.cross_entropy"(%s, %head, %labels, %scale) {smoothing = 0.0 : f64} : (tensor<6x32xf32>, tensor<131x32xf32>, tensor<2x3xi32>, tensor<1xf32>) -> (tensor<1xf32>, tensor<1xf32>)
  "nn.output"(%loss) {name = "loss"} : (tensor<1xf32>) -> ()
  return
}
