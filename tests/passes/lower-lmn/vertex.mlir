// A vertex run: every layer of the model, its final norm, and one mark that the runtime counts.
func.func @entry() {
  %x = "lmn.input"() {name = "x"} : () -> tensor<6x32xf32>
  %mask = "lmn.mask"() {length = 3 : i64, segments = 1 : i64} : () -> tensor<3x3xi1>
  %table = "lmn.rotary"() {model = 0 : i64, length = 3 : i64, dim = 16 : i64} : () -> tensor<3x16xf32>
  %h = "lmn.vertex"(%x, %mask, %table) {model = 0 : i64, instance = -1 : i64, nodes = array<i64: 1>, segments = 1 : i64} : (tensor<6x32xf32>, tensor<3x3xi1>, tensor<3x16xf32>) -> tensor<6x32xf32>
  "lmn.output"(%h) {name = "h"} : (tensor<6x32xf32>) -> ()
  return
}
