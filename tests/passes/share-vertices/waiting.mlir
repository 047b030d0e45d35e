// Models 1 and 2: the path 1 2 1 beside the path 2 1. The second path waits for the first one's model 1, so that
// three runs do for five vertices.
func.func @entry() {
  %ids = "lmn.input"() {name = "input_ids"} : () -> tensor<2x3xi32>
  %x = "lmn.embed"(%ids) {model = 0 : i64, batch = 2 : i64, length = 3 : i64, prefix = 0 : i64, prefix_only = 0 : i64, operandSegmentSizes = array<i32: 1, 0>} : (tensor<2x3xi32>) -> tensor<6x8xf32>
  %m = "lmn.mask"() {length = 3 : i64, segments = 1 : i64} : () -> tensor<3x3xi1>
  %a0 = "lmn.vertex"(%x, %m) {model = 1 : i64, instance = -1 : i64, nodes = array<i64: 1>, segments = 1 : i64} : (tensor<6x8xf32>, tensor<3x3xi1>) -> tensor<6x8xf32>
  %a1 = "lmn.vertex"(%a0, %m) {model = 2 : i64, instance = -1 : i64, nodes = array<i64: 2>, segments = 1 : i64} : (tensor<6x8xf32>, tensor<3x3xi1>) -> tensor<6x8xf32>
  %a2 = "lmn.vertex"(%a1, %m) {model = 1 : i64, instance = -1 : i64, nodes = array<i64: 3>, segments = 1 : i64} : (tensor<6x8xf32>, tensor<3x3xi1>) -> tensor<6x8xf32>
  %b0 = "lmn.vertex"(%x, %m) {model = 2 : i64, instance = -1 : i64, nodes = array<i64: 4>, segments = 1 : i64} : (tensor<6x8xf32>, tensor<3x3xi1>) -> tensor<6x8xf32>
  %b1 = "lmn.vertex"(%b0, %m) {model = 1 : i64, instance = -1 : i64, nodes = array<i64: 5>, segments = 1 : i64} : (tensor<6x8xf32>, tensor<3x3xi1>) -> tensor<6x8xf32>
  "lmn.output"(%a2) {name = "node.a"} : (tensor<6x8xf32>) -> ()
  "lmn.output"(%b1) {name = "node.b"} : (tensor<6x8xf32>) -> ()
  return
}
