// Other instances (unshared vertices), other models and other numbers of segments do not run together.
func.func @entry() {
  %ids = "lmn.input"() {name = "input_ids"} : () -> tensor<2x3xi32>
  %x = "lmn.embed"(%ids) {model = 0 : i64, batch = 2 : i64, length = 3 : i64, prefix = 0 : i64, prefix_only = 0 : i64, operandSegmentSizes = array<i32: 1, 0>} : (tensor<2x3xi32>) -> tensor<6x8xf32>
  %m = "lmn.mask"() {length = 3 : i64, segments = 1 : i64} : () -> tensor<3x3xi1>
  %shared = "lmn.vertex"(%x, %m) {model = 2 : i64, instance = -1 : i64, nodes = array<i64: 1>, segments = 1 : i64} : (tensor<6x8xf32>, tensor<3x3xi1>) -> tensor<6x8xf32>
  %own = "lmn.vertex"(%x, %m) {model = 2 : i64, instance = 2 : i64, nodes = array<i64: 2>, segments = 1 : i64} : (tensor<6x8xf32>, tensor<3x3xi1>) -> tensor<6x8xf32>
  %own2 = "lmn.vertex"(%x, %m) {model = 2 : i64, instance = 3 : i64, nodes = array<i64: 3>, segments = 1 : i64} : (tensor<6x8xf32>, tensor<3x3xi1>) -> tensor<6x8xf32>
  %other = "lmn.vertex"(%x, %m) {model = 1 : i64, instance = -1 : i64, nodes = array<i64: 4>, segments = 1 : i64} : (tensor<6x8xf32>, tensor<3x3xi1>) -> tensor<6x8xf32>
  %two = "lmn.aggregate"(%x, %x) {kind = "concat", node = 5 : i64} : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<12x8xf32>
  %m2 = "lmn.mask"() {length = 3 : i64, segments = 2 : i64} : () -> tensor<6x6xi1>
  %both = "lmn.vertex"(%two, %m2) {model = 2 : i64, instance = -1 : i64, nodes = array<i64: 5>, segments = 2 : i64} : (tensor<12x8xf32>, tensor<6x6xi1>) -> tensor<12x8xf32>
  %last = "lmn.unstack"(%both) {index = 1 : i64, count = 2 : i64} : (tensor<12x8xf32>) -> tensor<6x8xf32>
  %out = "lmn.aggregate"(%shared, %own, %own2, %other, %last) {kind = "mean", node = 6 : i64} : (tensor<6x8xf32>, tensor<6x8xf32>, tensor<6x8xf32>, tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
  "lmn.output"(%out) {name = "hidden"} : (tensor<6x8xf32>) -> ()
  return
}
