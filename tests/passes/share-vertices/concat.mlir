// Two concat vertices of two segments: stacked node by node, each gives its own last segment on.
func.func @entry() {
  %ids = "lmn.input"() {name = "input_ids"} : () -> tensor<2x3xi32>
  %x = "lmn.embed"(%ids) {model = 0 : i64, batch = 2 : i64, length = 3 : i64, prefix = 0 : i64, prefix_only = 0 : i64, operandSegmentSizes = array<i32: 1, 0>} : (tensor<2x3xi32>) -> tensor<6x8xf32>
  %ex = "lmn.edge"(%x) {arrows = array<i64: 0>, operandSegmentSizes = array<i32: 1, 0, 0>} : (tensor<6x8xf32>) -> tensor<6x8xf32>
  %m = "lmn.mask"() {length = 3 : i64, segments = 2 : i64} : () -> tensor<6x6xi1>
  %table = "lmn.rotary"() {model = 0 : i64, length = 3 : i64, dim = 4 : i64} : () -> tensor<3x4xf32>
  %two = "lmn.aggregate"(%x, %ex) {kind = "concat", node = 1 : i64} : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<12x8xf32>
  %a = "lmn.vertex"(%two, %m, %table) {model = 0 : i64, instance = -1 : i64, nodes = array<i64: 1>, segments = 2 : i64} : (tensor<12x8xf32>, tensor<6x6xi1>, tensor<3x4xf32>) -> tensor<12x8xf32>
  %a1 = "lmn.unstack"(%a) {index = 1 : i64, count = 2 : i64} : (tensor<12x8xf32>) -> tensor<6x8xf32>
  %turned = "lmn.aggregate"(%ex, %x) {kind = "concat", node = 2 : i64} : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<12x8xf32>
  %b = "lmn.vertex"(%turned, %m, %table) {model = 0 : i64, instance = -1 : i64, nodes = array<i64: 2>, segments = 2 : i64} : (tensor<12x8xf32>, tensor<6x6xi1>, tensor<3x4xf32>) -> tensor<12x8xf32>
  %b1 = "lmn.unstack"(%b) {index = 1 : i64, count = 2 : i64} : (tensor<12x8xf32>) -> tensor<6x8xf32>
  "lmn.output"(%a1) {name = "node.a"} : (tensor<6x8xf32>) -> ()
  "lmn.output"(%b1) {name = "node.b"} : (tensor<6x8xf32>) -> ()
  return
}
