// A chain that ends in nothing goes from its end to its beginning.
func.func @entry() {
  %x = "nn.input"() {name = "x"} : () -> tensor<6x8xf32>
  %y = "nn.input"() {name = "y"} : () -> tensor<6x8xf32>
  %a = "nn.activation"(%y) {kind = "silu"} : (tensor<6x8xf32>) -> tensor<6x8xf32>
  %b = "nn.add"(%a, %x) {scale = 1.0 : f64} : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
  %c = "nn.add"(%b, %b) {scale = 1.0 : f64} : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
  "nn.output"(%x) {name = "x"} : (tensor<6x8xf32>) -> ()
  return
}
