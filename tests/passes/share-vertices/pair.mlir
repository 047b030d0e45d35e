// Two vertices of one model that are ready together: one run. The third waits for them and runs by itself.
func.func @entry() {
  %ids = "lmn.input"() {name = "input_ids"} : () -> tensor<2x3xi32>
  %x = "lmn.embed"(%ids) {model = 0 : i64, batch = 2 : i64, length = 3 : i64, prefix = 0 : i64, prefix_only = 0 : i64, operandSegmentSizes = array<i32: 1, 0>} : (tensor<2x3xi32>) -> tensor<6x8xf32>
  %ex, %ey = "lmn.edge"(%x, %x) {arrows = array<i64: 0, 1>, operandSegmentSizes = array<i32: 2, 0, 0>} : (tensor<6x8xf32>, tensor<6x8xf32>) -> (tensor<6x8xf32>, tensor<6x8xf32>)
  %m0 = "lmn.mask"() {length = 3 : i64, segments = 1 : i64} : () -> tensor<3x3xi1>
  %a = "lmn.vertex"(%ex, %m0) {model = 2 : i64, instance = -1 : i64, nodes = array<i64: 1>, segments = 1 : i64} : (tensor<6x8xf32>, tensor<3x3xi1>) -> tensor<6x8xf32>
  %m1 = "lmn.mask"() {length = 3 : i64, segments = 1 : i64} : () -> tensor<3x3xi1>
  %b = "lmn.vertex"(%ey, %m1) {model = 2 : i64, instance = -1 : i64, nodes = array<i64: 2>, segments = 1 : i64} : (tensor<6x8xf32>, tensor<3x3xi1>) -> tensor<6x8xf32>
  %s = "lmn.aggregate"(%a, %b) {kind = "sum", node = 3 : i64} : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
  %c = "lmn.vertex"(%s, %m1) {model = 2 : i64, instance = -1 : i64, nodes = array<i64: 3>, segments = 1 : i64} : (tensor<6x8xf32>, tensor<3x3xi1>) -> tensor<6x8xf32>
  "lmn.output"(%c) {name = "hidden"} : (tensor<6x8xf32>) -> ()
  return
}
