// One result read is enough to stay, and an op that writes a cache or an output stays without readers.
func.func @entry() {
  %x = "nn.input"() {name = "x"} : () -> tensor<3x24xf32>
  %lengths = "nn.input"() {name = "lengths"} : () -> tensor<3xi32>
  %w = "nn.parameter"() {names = ["w"]} : () -> tensor<24xf32>
  %y, %r = "nn.norm"(%x, %w) {kind = "rms", eps = 1.0e-06 : f64, groups = 1 : i64, operandSegmentSizes = array<i32: 1, 1, 0>} : (tensor<3x24xf32>, tensor<24xf32>) -> (tensor<3x24xf32>, tensor<3xf32>)
  %o = "nn.attention_cached"(%x, %lengths) {heads = 1 : i64, key_value_heads = 1 : i64, head_size = 8 : i64, length = 1 : i64, batch = 3 : i64, segments = 1 : i64, scale = 1.0 : f64, capacity = 4 : i64, cache = 0 : i64} : (tensor<3x24xf32>, tensor<3xi32>) -> tensor<3x8xf32>
  "nn.gradient"(%r) {names = ["w"]} : (tensor<3xf32>) -> ()
  return
}
