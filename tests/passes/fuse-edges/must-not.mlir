// One frontier, but other structures: no bias (2), another size (3), another model's layer (8), a layer alone (7).
func.func @entry() {
  %ids = "lmn.input"() {name = "input_ids"} : () -> tensor<2x3xi32>
  %x = "lmn.embed"(%ids) {model = 0 : i64, batch = 2 : i64, length = 3 : i64, prefix = 0 : i64, prefix_only = 0 : i64, operandSegmentSizes = array<i32: 1, 0>} : (tensor<2x3xi32>) -> tensor<6x8xf32>
  %m = "lmn.mask"() {length = 3 : i64, segments = 1 : i64} : () -> tensor<3x3xi1>
  %t = "lmn.rotary"() {model = 0 : i64, length = 3 : i64, dim = 4 : i64} : () -> tensor<3x4xf32>
  %e0 = "lmn.edge"(%x) {arrows = array<i64: 0>, operandSegmentSizes = array<i32: 1, 0, 0>} : (tensor<6x8xf32>) -> tensor<6x8xf32>
  %e2 = "lmn.edge"(%x) {arrows = array<i64: 2>, operandSegmentSizes = array<i32: 1, 0, 0>} : (tensor<6x8xf32>) -> tensor<6x8xf32>
  %e3 = "lmn.edge"(%x) {arrows = array<i64: 3>, operandSegmentSizes = array<i32: 1, 0, 0>} : (tensor<6x8xf32>) -> tensor<6x12xf32>
  %e4 = "lmn.edge"(%x, %m, %t) {arrows = array<i64: 4>, operandSegmentSizes = array<i32: 1, 1, 1>} : (tensor<6x8xf32>, tensor<3x3xi1>, tensor<3x4xf32>) -> tensor<6x8xf32>
  %e7 = "lmn.edge"(%x, %m, %t) {arrows = array<i64: 7>, operandSegmentSizes = array<i32: 1, 1, 1>} : (tensor<6x8xf32>, tensor<3x3xi1>, tensor<3x4xf32>) -> tensor<6x8xf32>
  %e8 = "lmn.edge"(%x, %m, %t) {arrows = array<i64: 8>, operandSegmentSizes = array<i32: 1, 1, 1>} : (tensor<6x8xf32>, tensor<3x3xi1>, tensor<3x4xf32>) -> tensor<6x8xf32>
  %s = "lmn.aggregate"(%e0, %e2, %e4, %e7, %e8) {kind = "sum", node = 2 : i64} : (tensor<6x8xf32>, tensor<6x8xf32>, tensor<6x8xf32>, tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
  "lmn.output"(%s) {name = "hidden"} : (tensor<6x8xf32>) -> ()
  "lmn.output"(%e3) {name = "node.b"} : (tensor<6x12xf32>) -> ()
  return
}
