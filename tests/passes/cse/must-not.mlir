// Other operands, attributes or result types are other values; ops that do something are never merged.
func.func @entry() {
  %x = "nn.input"() {name = "x"} : () -> tensor<6x8xf32>
  %a = "nn.activation"(%x) {kind = "silu"} : (tensor<6x8xf32>) -> tensor<6x8xf32>
  %b = "nn.activation"(%x) {kind = "relu"} : (tensor<6x8xf32>) -> tensor<6x8xf32>
  %z0 = "nn.zero"() : () -> tensor<6x8xf32>
  %z1 = "nn.zero"() : () -> tensor<3x8xf32>
  %c = "nn.add"(%a, %b) {scale = 1.0 : f64} : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
  %d = "nn.add"(%b, %a) {scale = 1.0 : f64} : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
  %e = "nn.add"(%a, %b, %z0) {scale = 1.0 : f64} : (tensor<6x8xf32>, tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
  %lengths = "nn.input"() {name = "lengths"} : () -> tensor<3xi32>
  %qkv = "nn.input"() {name = "qkv"} : () -> tensor<3x24xf32>
  %o0 = "nn.attention_cached"(%qkv, %lengths) {heads = 1 : i64, key_value_heads = 1 : i64, head_size = 8 : i64, length = 1 : i64, batch = 3 : i64, segments = 1 : i64, scale = 1.0 : f64, capacity = 4 : i64, cache = 0 : i64} : (tensor<3x24xf32>, tensor<3xi32>) -> tensor<3x8xf32>
  %o1 = "nn.attention_cached"(%qkv, %lengths) {heads = 1 : i64, key_value_heads = 1 : i64, head_size = 8 : i64, length = 1 : i64, batch = 3 : i64, segments = 1 : i64, scale = 1.0 : f64, capacity = 4 : i64, cache = 0 : i64} : (tensor<3x24xf32>, tensor<3xi32>) -> tensor<3x8xf32>
  "nn.output"(%c) {name = "y"} : (tensor<6x8xf32>) -> ()
  "nn.output"(%c) {name = "y"} : (tensor<6x8xf32>) -> ()
  "nn.output"(%d) {name = "d"} : (tensor<6x8xf32>) -> ()
  "nn.output"(%e) {name = "e"} : (tensor<6x8xf32>) -> ()
  "nn.output"(%z1) {name = "z"} : (tensor<3x8xf32>) -> ()
  return
}
