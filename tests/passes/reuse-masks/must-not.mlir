// Masks of other segments, lengths and starts, and tables of another base (model 3) or length, stay apart.
func.func @entry() {
  %starts = "lmn.input"() {name = "starts"} : () -> tensor<2x3xi32>
  %x = "lmn.input"() {name = "x"} : () -> tensor<6x8xf32>
  %y = "lmn.input"() {name = "y"} : () -> tensor<12x8xf32>
  %m0 = "lmn.mask"(%starts) {length = 3 : i64, segments = 1 : i64} : (tensor<2x3xi32>) -> tensor<3x3xi1>
  %t0 = "lmn.rotary"() {model = 0 : i64, length = 3 : i64, dim = 4 : i64} : () -> tensor<3x4xf32>
  %a = "lmn.vertex"(%x, %m0, %t0) {model = 0 : i64, instance = -1 : i64, nodes = array<i64: 1>, segments = 1 : i64} : (tensor<6x8xf32>, tensor<3x3xi1>, tensor<3x4xf32>) -> tensor<6x8xf32>
  %m1 = "lmn.mask"() {length = 3 : i64, segments = 1 : i64} : () -> tensor<3x3xi1>
  %t1 = "lmn.rotary"() {model = 3 : i64, length = 3 : i64, dim = 6 : i64} : () -> tensor<3x6xf32>
  %b = "lmn.vertex"(%x, %m1, %t1) {model = 3 : i64, instance = -1 : i64, nodes = array<i64: 2>, segments = 1 : i64} : (tensor<6x8xf32>, tensor<3x3xi1>, tensor<3x6xf32>) -> tensor<6x8xf32>
  %m2 = "lmn.mask"(%starts) {length = 3 : i64, segments = 2 : i64} : (tensor<2x3xi32>) -> tensor<6x6xi1>
  %t2 = "lmn.rotary"() {model = 0 : i64, length = 6 : i64, dim = 4 : i64} : () -> tensor<6x4xf32>
  %c = "lmn.vertex"(%y, %m2, %t2) {model = 0 : i64, instance = -1 : i64, nodes = array<i64: 3>, segments = 2 : i64} : (tensor<12x8xf32>, tensor<6x6xi1>, tensor<6x4xf32>) -> tensor<12x8xf32>
  "lmn.output"(%a) {name = "node.a"} : (tensor<6x8xf32>) -> ()
  "lmn.output"(%b) {name = "node.b"} : (tensor<6x8xf32>) -> ()
  "lmn.output"(%c) {name = "node.c"} : (tensor<12x8xf32>) -> ()
  return
}
