// Layers: the sum is kept, everything between the sums is made again, once for all its readers.
func.func @entry() {
  %x = "nn.input"() {name = "x"} : () -> tensor<6x32xf32>
  %labels = "nn.input"() {name = "labels"} : () -> tensor<2x3xi32>
  %scale = "nn.input"() {name = "scale"} : () -> tensor<1xf32>
  %w = "nn.parameter"() {names = ["input->a.0.weight"]} : () -> tensor<32x32xf32>
  %head = "nn.parameter"() {names = ["qwen.model.embed_tokens.weight"]} : () -> tensor<131x32xf32>
  %h = "nn.linear"(%x, %w) {groups = 1 : i64, input_major = 0 : i64, operandSegmentSizes = array<i32: 1, 1, 0>} : (tensor<6x32xf32>, tensor<32x32xf32>) -> tensor<6x32xf32>
  %s = "nn.add"(%x, %h) {scale = 1.0 : f64} : (tensor<6x32xf32>, tensor<6x32xf32>) -> tensor<6x32xf32>
  %u = "nn.linear"(%s, %w) {groups = 1 : i64, input_major = 0 : i64, operandSegmentSizes = array<i32: 1, 1, 0>} : (tensor<6x32xf32>, tensor<32x32xf32>) -> tensor<6x32xf32>
  %a = "nn.activation"(%u) {kind = "silu"} : (tensor<6x32xf32>) -> tensor<6x32xf32>
  %d = "nn.linear"(%a, %w) {groups = 1 : i64, input_major = 0 : i64, operandSegmentSizes = array<i32: 1, 1, 0>} : (tensor<6x32xf32>, tensor<32x32xf32>) -> tensor<6x32xf32>
  %t = "nn.add"(%s, %d) {scale = 1.0 : f64} : (tensor<6x32xf32>, tensor<6x32xf32>) -> tensor<6x32xf32>
  %loss, %right = "nn.cross_entropy"(%t, %head, %labels, %scale) {smoothing = 0.0 : f64} : (tensor<6x32xf32>, tensor<131x32xf32>, tensor<2x3xi32>, tensor<1xf32>) -> (tensor<1xf32>, tensor<1xf32>)
  "nn.output"(%loss) {name = "loss"} : (tensor<1xf32>) -> ()
  return
}
