// Frozen weights: below the trained one no backward pass at all, above it input gradients only. A part of a stack that
// nothing reads has the gradient zero.
func.func @entry() {
  %x = "nn.input"() {name = "x"} : () -> tensor<3x32xf32>
  %labels = "nn.input"() {name = "labels"} : () -> tensor<1x3xi32>
  %scale = "nn.input"() {name = "scale"} : () -> tensor<1xf32>
  %frozen = "nn.parameter"() {names = ["qwen.model.layers.0.self_attn.o_proj.weight"]} : () -> tensor<32x32xf32>
  %w = "nn.parameter"() {names = ["input->a.0.weight"]} : () -> tensor<32x32xf32>
  %head = "nn.parameter"() {names = ["qwen.model.embed_tokens.weight"]} : () -> tensor<131x32xf32>
  %below = "nn.linear"(%x, %frozen) {groups = 1 : i64, input_major = 0 : i64, operandSegmentSizes = array<i32: 1, 1, 0>} : (tensor<3x32xf32>, tensor<32x32xf32>) -> tensor<3x32xf32>
  %y = "nn.linear"(%below, %w) {groups = 1 : i64, input_major = 0 : i64, operandSegmentSizes = array<i32: 1, 1, 0>} : (tensor<3x32xf32>, tensor<32x32xf32>) -> tensor<3x32xf32>
  %both = "nn.stack"(%y, %y) : (tensor<3x32xf32>, tensor<3x32xf32>) -> tensor<6x32xf32>
  %one = "nn.unstack"(%both) {index = 1 : i64, count = 2 : i64} : (tensor<6x32xf32>) -> tensor<3x32xf32>
  %above = "nn.linear"(%one, %frozen) {groups = 1 : i64, input_major = 0 : i64, operandSegmentSizes = array<i32: 1, 1, 0>} : (tensor<3x32xf32>, tensor<32x32xf32>) -> tensor<3x32xf32>
  %loss, %right = "nn.cross_entropy"(%above, %head, %labels, %scale) {smoothing = 0.0 : f64} : (tensor<3x32xf32>, tensor<131x32xf32>, tensor<1x3xi32>, tensor<1xf32>) -> (tensor<1xf32>, tensor<1xf32>)
  "nn.output"(%loss) {name = "loss"} : (tensor<1xf32>) -> ()
  return
}
