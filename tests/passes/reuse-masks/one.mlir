// Same masks, and same tables of two models that turn alike (0 and 1): one of each is left, at the top.
func.func @entry() {
  %ids = "lmn.input"() {name = "input_ids"} : () -> tensor<2x3xi32>
  %starts = "lmn.input"() {name = "starts"} : () -> tensor<2x3xi32>
  %x = "lmn.embed"(%ids) {model = 0 : i64, batch = 2 : i64, length = 3 : i64, prefix = 0 : i64, prefix_only = 0 : i64, operandSegmentSizes = array<i32: 1, 0>} : (tensor<2x3xi32>) -> tensor<6x8xf32>
  %m0 = "lmn.mask"(%starts) {length = 3 : i64, segments = 1 : i64} : (tensor<2x3xi32>) -> tensor<3x3xi1>
  %t1 = "lmn.rotary"() {model = 1 : i64, length = 3 : i64, dim = 4 : i64} : () -> tensor<3x4xf32>
  %a = "lmn.vertex"(%x, %m0, %t1) {model = 1 : i64, instance = -1 : i64, nodes = array<i64: 1>, segments = 1 : i64} : (tensor<6x8xf32>, tensor<3x3xi1>, tensor<3x4xf32>) -> tensor<6x8xf32>
  %m1 = "lmn.mask"(%starts) {length = 3 : i64, segments = 1 : i64} : (tensor<2x3xi32>) -> tensor<3x3xi1>
  %t0 = "lmn.rotary"() {model = 0 : i64, length = 3 : i64, dim = 4 : i64} : () -> tensor<3x4xf32>
  %b = "lmn.vertex"(%a, %m1, %t0) {model = 0 : i64, instance = -1 : i64, nodes = array<i64: 2>, segments = 1 : i64} : (tensor<6x8xf32>, tensor<3x3xi1>, tensor<3x4xf32>) -> tensor<6x8xf32>
  "lmn.output"(%b) {name = "hidden"} : (tensor<6x8xf32>) -> ()
  return
}
