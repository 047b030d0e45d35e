// A norm whose three groups read two sources makes each source's statistics once; two products into one segment are
// pieces of one; sums of as many terms each are one formula over lists, others are made part by part.
func.func @entry() {
  %w = "nn.parameter"() {names = ["w"]} : () -> tensor<4xf32>
  %k = "nn.parameter"() {names = ["k"]} : () -> tensor<4x4xf32>
  %b = "nn.parameter"() {names = ["b"]} : () -> tensor<4xf32>
  %x = "nn.input"() {name = "x"} : () -> tensor<6x4xf32>
  %n, %r = "nn.norm"(%x, %w, %w, %w) {kind = "rms", eps = 1.0e-06 : f64, groups = 3 : i64, reads = array<i64: 0, 0, 1>, rows = 3 : i64, operandSegmentSizes = array<i32: 1, 3, 0>, resultSegmentSizes = array<i32: 1, 1, 0>} : (tensor<6x4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>) -> (tensor<9x4xf32>, tensor<6xf32>)
  %d:3 = "nn.norm_dw"(%n, %x, %r) {kind = "rms", groups = 3 : i64, reads = array<i64: 0, 0, 1>, rows = 3 : i64, operandSegmentSizes = array<i32: 1, 1, 1, 0>} : (tensor<9x4xf32>, tensor<6x4xf32>, tensor<6xf32>) -> (tensor<4xf32>, tensor<4xf32>, tensor<4xf32>)
  "nn.output"(%d#2) {name = "d"} : (tensor<4xf32>) -> ()
  %p = "nn.linear"(%x, %k, %k, %b, %b) {groups = 2 : i64, input_major = 0 : i64, into = array<i64: 0, 0>, rows = 3 : i64, operandSegmentSizes = array<i32: 1, 2, 2>} : (tensor<6x4xf32>, tensor<4x4xf32>, tensor<4x4xf32>, tensor<4xf32>, tensor<4xf32>) -> tensor<3x4xf32>
  %x0 = "nn.unstack"(%x) {index = 0 : i64, count = 2 : i64} : (tensor<6x4xf32>) -> tensor<3x4xf32>
  %x1 = "nn.unstack"(%x) {index = 1 : i64, count = 2 : i64} : (tensor<6x4xf32>) -> tensor<3x4xf32>
  %e = "nn.segment_sum"(%x0, %p, %p, %x1) {counts = array<i64: 2, 2>, scale = 0.5 : f64} : (tensor<3x4xf32>, tensor<3x4xf32>, tensor<3x4xf32>, tensor<3x4xf32>) -> tensor<6x4xf32>
  "nn.output"(%e) {name = "e"} : (tensor<6x4xf32>) -> ()
  %u = "nn.segment_sum"(%x0, %p, %x1) {counts = array<i64: 0, 2, 1>, scale = 1.0 : f64} : (tensor<3x4xf32>, tensor<3x4xf32>, tensor<3x4xf32>) -> tensor<9x4xf32>
  "nn.output"(%u) {name = "u"} : (tensor<9x4xf32>) -> ()
  return
}
