// A projection joins the columns; a sum of one message is the message.
func.func @entry() {
  %x = "lmn.input"() {name = "x"} : () -> tensor<6x32xf32>
  %y = "lmn.input"() {name = "y"} : () -> tensor<6x32xf32>
  %p = "lmn.aggregate"(%x, %y) {kind = "project", node = 3 : i64} : (tensor<6x32xf32>, tensor<6x32xf32>) -> tensor<6x32xf32>
  %s = "lmn.aggregate"(%p) {kind = "sum", node = 4 : i64} : (tensor<6x32xf32>) -> tensor<6x32xf32>
  "lmn.output"(%s) {name = "z"} : (tensor<6x32xf32>) -> ()
  return
}
