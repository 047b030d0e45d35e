// What turns queries' and keys' gradients back runs with the gradient, right behind it.
func.func @entry() {
  %qkv = "kernel.buffer"() {space = "input", name = "qkv"} : () -> tensor<16x16xf32>
  %dout = "kernel.buffer"() {space = "input", name = "dout"} : () -> tensor<16x8xf32>
  %table = "kernel.buffer"() {space = "constant", name = "0.8"} : () -> tensor<8x4xf32>
  %out0, %lse0 = "kernel.attention"(%qkv) {heads = 2 : i64, key_value_heads = 1 : i64, head_size = 4 : i64, length = 8 : i64, batch = 2 : i64, segments = 1 : i64, scale = 5.000000e-01 : f64} : (tensor<16x16xf32>) -> (tensor<16x8xf32>, tensor<16x2xf32>)
  %d0 = "kernel.attention_grad"(%qkv, %out0, %lse0, %dout) {heads = 2 : i64, key_value_heads = 1 : i64, head_size = 4 : i64, length = 8 : i64, batch = 2 : i64, segments = 1 : i64, scale = 5.000000e-01 : f64} : (tensor<16x16xf32>, tensor<16x8xf32>, tensor<16x2xf32>, tensor<16x8xf32>) -> tensor<16x16xf32>
  %other = "kernel.zero"() : () -> tensor<16x16xf32>
  %x = "kernel.rope"(%d0, %table) {heads = 3 : i64, head_size = 4 : i64, length = 8 : i64, inverse = 1 : i64} : (tensor<16x16xf32>, tensor<8x4xf32>) -> tensor<16x16xf32>
  "kernel.output"(%x) {name = "o0"} : (tensor<16x16xf32>) -> ()
  "kernel.output"(%other) {name = "o1"} : (tensor<16x16xf32>) -> ()
  return
}
