// Two arrows of one structure: one chain of grouped ops on the stacked sources.
func.func @entry() {
  %x = "lmn.input"() {name = "x"} : () -> tensor<6x32xf32>
  %m:2 = "lmn.edge"(%x, %x) {arrows = array<i64: 0, 1>, operandSegmentSizes = array<i32: 2, 0, 0>} : (tensor<6x32xf32>, tensor<6x32xf32>) -> (tensor<6x32xf32>, tensor<6x32xf32>)
  %s = "lmn.aggregate"(%m#0, %m#1) {kind = "mean", node = 3 : i64} : (tensor<6x32xf32>, tensor<6x32xf32>) -> tensor<6x32xf32>
  "lmn.output"(%s) {name = "y"} : (tensor<6x32xf32>) -> ()
  return
}
