// Stacks and joins are copies; a part of a stack is a look at it, no launch.
func.func @entry() {
  %x = "nn.input"() {name = "x"} : () -> tensor<6x8xf32>
  %y = "nn.input"() {name = "y"} : () -> tensor<6x8xf32>
  %s = "nn.stack"(%x, %y) : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<12x8xf32>
  %u = "nn.unstack"(%s) {index = 1 : i64, count = 2 : i64} : (tensor<12x8xf32>) -> tensor<6x8xf32>
  %j = "nn.join_columns"(%u, %y) : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x16xf32>
  %c = "nn.split_columns"(%j) {index = 1 : i64, count = 2 : i64} : (tensor<6x16xf32>) -> tensor<6x8xf32>
  %d = "nn.drop_prefix"(%c) {batch = 2 : i64, length = 2 : i64, prefix = 1 : i64} : (tensor<6x8xf32>) -> tensor<4x8xf32>
  %p = "nn.pad_prefix"(%d) {batch = 2 : i64, length = 2 : i64, prefix = 1 : i64} : (tensor<4x8xf32>) -> tensor<6x8xf32>
  "nn.output"(%p) {name = "p"} : (tensor<6x8xf32>) -> ()
  return
}
