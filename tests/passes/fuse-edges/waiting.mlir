// Arrow 5's target waits for arrow 6, of the next frontier: it waits too, and both are one op.
func.func @entry() {
  %ids = "lmn.input"() {name = "input_ids"} : () -> tensor<2x3xi32>
  %x = "lmn.embed"(%ids) {model = 0 : i64, batch = 2 : i64, length = 3 : i64, prefix = 0 : i64, prefix_only = 0 : i64, operandSegmentSizes = array<i32: 1, 0>} : (tensor<2x3xi32>) -> tensor<6x8xf32>
  %m = "lmn.mask"() {length = 3 : i64, segments = 1 : i64} : () -> tensor<3x3xi1>
  %t = "lmn.rotary"() {model = 0 : i64, length = 3 : i64, dim = 4 : i64} : () -> tensor<3x4xf32>
  %e5 = "lmn.edge"(%x, %m, %t) {arrows = array<i64: 5>, operandSegmentSizes = array<i32: 1, 1, 1>} : (tensor<6x8xf32>, tensor<3x3xi1>, tensor<3x4xf32>) -> tensor<6x8xf32>
  %a = "lmn.vertex"(%x, %m) {model = 2 : i64, instance = -1 : i64, nodes = array<i64: 1>, segments = 1 : i64} : (tensor<6x8xf32>, tensor<3x3xi1>) -> tensor<6x8xf32>
  %e6 = "lmn.edge"(%a, %m, %t) {arrows = array<i64: 6>, operandSegmentSizes = array<i32: 1, 1, 1>} : (tensor<6x8xf32>, tensor<3x3xi1>, tensor<3x4xf32>) -> tensor<6x8xf32>
  %s = "lmn.aggregate"(%e6, %e5) {kind = "sum", node = 2 : i64} : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
  "lmn.output"(%s) {name = "hidden"} : (tensor<6x8xf32>) -> ()
  return
}
