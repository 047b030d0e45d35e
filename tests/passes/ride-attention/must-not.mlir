// Must not: a gradient with another reader; a rotation of other heads, of other lengths, forwards, by positions of its own, by a table that is
// made later.
func.func @entry() {
  %qkv = "kernel.buffer"() {space = "input", name = "qkv"} : () -> tensor<16x16xf32>
  %dout = "kernel.buffer"() {space = "input", name = "dout"} : () -> tensor<16x8xf32>
  %table = "kernel.buffer"() {space = "constant", name = "0.8"} : () -> tensor<8x4xf32>
  %lengths = "kernel.buffer"() {space = "input", name = "lengths"} : () -> tensor<2xi32>
  %out0, %lse0 = "kernel.attention"(%qkv) {heads = 2 : i64, key_value_heads = 1 : i64, head_size = 4 : i64, length = 8 : i64, batch = 2 : i64, segments = 1 : i64, scale = 5.000000e-01 : f64} : (tensor<16x16xf32>) -> (tensor<16x8xf32>, tensor<16x2xf32>)
  %d0 = "kernel.attention_grad"(%qkv, %out0, %lse0, %dout) {heads = 2 : i64, key_value_heads = 1 : i64, head_size = 4 : i64, length = 8 : i64, batch = 2 : i64, segments = 1 : i64, scale = 5.000000e-01 : f64} : (tensor<16x16xf32>, tensor<16x8xf32>, tensor<16x2xf32>, tensor<16x8xf32>) -> tensor<16x16xf32>
  %out1, %lse1 = "kernel.attention"(%qkv) {heads = 2 : i64, key_value_heads = 1 : i64, head_size = 4 : i64, length = 8 : i64, batch = 2 : i64, segments = 1 : i64, scale = 5.000000e-01 : f64} : (tensor<16x16xf32>) -> (tensor<16x8xf32>, tensor<16x2xf32>)
  %d1 = "kernel.attention_grad"(%qkv, %out1, %lse1, %dout) {heads = 2 : i64, key_value_heads = 1 : i64, head_size = 4 : i64, length = 8 : i64, batch = 2 : i64, segments = 1 : i64, scale = 5.000000e-01 : f64} : (tensor<16x16xf32>, tensor<16x8xf32>, tensor<16x2xf32>, tensor<16x8xf32>) -> tensor<16x16xf32>
  %out2, %lse2 = "kernel.attention"(%qkv) {heads = 2 : i64, key_value_heads = 1 : i64, head_size = 4 : i64, length = 8 : i64, batch = 2 : i64, segments = 1 : i64, scale = 5.000000e-01 : f64} : (tensor<16x16xf32>) -> (tensor<16x8xf32>, tensor<16x2xf32>)
  %d2 = "kernel.attention_grad"(%qkv, %out2, %lse2, %dout) {heads = 2 : i64, key_value_heads = 1 : i64, head_size = 4 : i64, length = 8 : i64, batch = 2 : i64, segments = 1 : i64, scale = 5.000000e-01 : f64} : (tensor<16x16xf32>, tensor<16x8xf32>, tensor<16x2xf32>, tensor<16x8xf32>) -> tensor<16x16xf32>
  %out3, %lse3 = "kernel.attention"(%qkv) {heads = 2 : i64, key_value_heads = 1 : i64, head_size = 4 : i64, length = 8 : i64, batch = 2 : i64, segments = 1 : i64, scale = 5.000000e-01 : f64} : (tensor<16x16xf32>) -> (tensor<16x8xf32>, tensor<16x2xf32>)
  %d3 = "kernel.attention_grad"(%qkv, %out3, %lse3, %dout) {heads = 2 : i64, key_value_heads = 1 : i64, head_size = 4 : i64, length = 8 : i64, batch = 2 : i64, segments = 1 : i64, scale = 5.000000e-01 : f64} : (tensor<16x16xf32>, tensor<16x8xf32>, tensor<16x2xf32>, tensor<16x8xf32>) -> tensor<16x16xf32>
  %out4, %lse4 = "kernel.attention"(%qkv) {heads = 2 : i64, key_value_heads = 1 : i64, head_size = 4 : i64, length = 8 : i64, batch = 2 : i64, segments = 1 : i64, scale = 5.000000e-01 : f64} : (tensor<16x16xf32>) -> (tensor<16x8xf32>, tensor<16x2xf32>)
  %d4 = "kernel.attention_grad"(%qkv, %out4, %lse4, %dout) {heads = 2 : i64, key_value_heads = 1 : i64, head_size = 4 : i64, length = 8 : i64, batch = 2 : i64, segments = 1 : i64, scale = 5.000000e-01 : f64} : (tensor<16x16xf32>, tensor<16x8xf32>, tensor<16x2xf32>, tensor<16x8xf32>) -> tensor<16x16xf32>
  %out5, %lse5 = "kernel.attention"(%qkv) {heads = 2 : i64, key_value_heads = 1 : i64, head_size = 4 : i64, length = 8 : i64, batch = 2 : i64, segments = 1 : i64, scale = 5.000000e-01 : f64} : (tensor<16x16xf32>) -> (tensor<16x8xf32>, tensor<16x2xf32>)
  %d5 = "kernel.attention_grad"(%qkv, %out5, %lse5, %dout) {heads = 2 : i64, key_value_heads = 1 : i64, head_size = 4 : i64, length = 8 : i64, batch = 2 : i64, segments = 1 : i64, scale = 5.000000e-01 : f64} : (tensor<16x16xf32>, tensor<16x8xf32>, tensor<16x2xf32>, tensor<16x8xf32>) -> tensor<16x16xf32>
  %late = "kernel.buffer"() {space = "constant", name = "1.8"} : () -> tensor<8x4xf32>
  %x0 = "kernel.rope"(%d0, %table) {heads = 3 : i64, head_size = 4 : i64, length = 8 : i64, inverse = 1 : i64} : (tensor<16x16xf32>, tensor<8x4xf32>) -> tensor<16x16xf32>
  %x1 = "kernel.rope"(%d1, %table) {heads = 2 : i64, head_size = 4 : i64, length = 8 : i64, inverse = 1 : i64} : (tensor<16x16xf32>, tensor<8x4xf32>) -> tensor<16x16xf32>
  %x2 = "kernel.rope"(%d2, %table) {heads = 3 : i64, head_size = 4 : i64, length = 4 : i64, inverse = 1 : i64} : (tensor<16x16xf32>, tensor<8x4xf32>) -> tensor<16x16xf32>
  %x3 = "kernel.rope"(%d3, %table) {heads = 3 : i64, head_size = 4 : i64, length = 8 : i64, inverse = 0 : i64} : (tensor<16x16xf32>, tensor<8x4xf32>) -> tensor<16x16xf32>
  %x4 = "kernel.rope"(%d4, %table, %lengths) {heads = 3 : i64, head_size = 4 : i64, length = 8 : i64, inverse = 1 : i64} : (tensor<16x16xf32>, tensor<8x4xf32>, tensor<2xi32>) -> tensor<16x16xf32>
  %x5 = "kernel.rope"(%d5, %late) {heads = 3 : i64, head_size = 4 : i64, length = 8 : i64, inverse = 1 : i64} : (tensor<16x16xf32>, tensor<8x4xf32>) -> tensor<16x16xf32>
  "kernel.output"(%d0) {name = "o0"} : (tensor<16x16xf32>) -> ()
  "kernel.output"(%x0) {name = "o1"} : (tensor<16x16xf32>) -> ()
  "kernel.output"(%x1) {name = "o2"} : (tensor<16x16xf32>) -> ()
  "kernel.output"(%x2) {name = "o3"} : (tensor<16x16xf32>) -> ()
  "kernel.output"(%x3) {name = "o4"} : (tensor<16x16xf32>) -> ()
  "kernel.output"(%x4) {name = "o5"} : (tensor<16x16xf32>) -> ()
  "kernel.output"(%x5) {name = "o6"} : (tensor<16x16xf32>) -> ()
  return
}
