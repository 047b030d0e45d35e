// An activation whose input is kept, behind a bias for each of two groups; one in float32, without an epilogue before. Not
// the one of a product that accumulates, and of two the first alone.
func.func private @act_relu(%x: f32) -> f32 {
  return %x : f32
}
func.func private @bias(%x: f32, %b: f32) -> f32 {
  %y = arith.addf %x, %b : f32
  return %y : f32
}
func.func @entry() {
  %a = "kernel.buffer"() {space = "input", name = "a"} : () -> tensor<6x8xbf16>
  %w = "kernel.buffer"() {space = "input", name = "w"} : () -> tensor<4x8xbf16>
  %b = "kernel.buffer"() {space = "input", name = "b"} : () -> tensor<4xf32>
  %a32 = "kernel.buffer"() {space = "input", name = "a32"} : () -> tensor<6x8xf32>
  %w32 = "kernel.buffer"() {space = "input", name = "w32"} : () -> tensor<4x8xf32>
  %x = "kernel.gemm"(%a, %w, %w, %b, %b) {m = 3 : i64, n = 4 : i64, k = 8 : i64, groups = 2 : i64, trans_a = 0 : i64, trans_b = 1 : i64, lda = 8 : i64, ldb = 8 : i64, ldc = 4 : i64, a_stride = 24 : i64, b_stride = 32 : i64, c_stride = 12 : i64, epilogue = @bias, operandSegmentSizes = array<i32: 1, 2, 0, 2, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<6x8xbf16>, tensor<4x8xbf16>, tensor<4x8xbf16>, tensor<4xf32>, tensor<4xf32>) -> tensor<6x4xbf16>
  %y = "kernel.row"(%x) {groups = 1 : i64, stages = [@act_relu], reductions = [], operandSegmentSizes = array<i32: 1, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<6x4xbf16>) -> tensor<6x4xbf16>
  %again = "kernel.row"(%x) {groups = 1 : i64, stages = [@act_relu], reductions = [], operandSegmentSizes = array<i32: 1, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<6x4xbf16>) -> tensor<6x4xbf16>
  %x32 = "kernel.gemm"(%a32, %w32) {m = 6 : i64, n = 4 : i64, k = 8 : i64, groups = 1 : i64, trans_a = 0 : i64, trans_b = 1 : i64, lda = 8 : i64, ldb = 8 : i64, ldc = 4 : i64, a_stride = 48 : i64, b_stride = 32 : i64, c_stride = 24 : i64, operandSegmentSizes = array<i32: 1, 1, 0, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<6x8xf32>, tensor<4x8xf32>) -> tensor<6x4xf32>
  %y32 = "kernel.row"(%x32) {groups = 1 : i64, stages = [@act_relu], reductions = [], operandSegmentSizes = array<i32: 1, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<6x4xf32>) -> tensor<6x4xf32>
  %onto = "kernel.zero"() : () -> tensor<6x4xbf16>
  %sum = "kernel.gemm"(%a, %w, %onto) {m = 6 : i64, n = 4 : i64, k = 8 : i64, groups = 1 : i64, trans_a = 0 : i64, trans_b = 1 : i64, lda = 8 : i64, ldb = 8 : i64, ldc = 4 : i64, a_stride = 48 : i64, b_stride = 32 : i64, c_stride = 24 : i64, operandSegmentSizes = array<i32: 1, 1, 1, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<6x8xbf16>, tensor<4x8xbf16>, tensor<6x4xbf16>) -> tensor<6x4xbf16>
  %ysum = "kernel.row"(%sum) {groups = 1 : i64, stages = [@act_relu], reductions = [], operandSegmentSizes = array<i32: 1, 0, 0>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<6x4xbf16>) -> tensor<6x4xbf16>
  "kernel.output"(%x) {name = "x"} : (tensor<6x4xbf16>) -> ()
  "kernel.output"(%y) {name = "y"} : (tensor<6x4xbf16>) -> ()
  "kernel.output"(%again) {name = "again"} : (tensor<6x4xbf16>) -> ()
  "kernel.output"(%x32) {name = "x32"} : (tensor<6x4xf32>) -> ()
  "kernel.output"(%y32) {name = "y32"} : (tensor<6x4xf32>) -> ()
  "kernel.output"(%sum) {name = "sum"} : (tensor<6x4xbf16>) -> ()
  "kernel.output"(%ysum) {name = "ysum"} : (tensor<6x4xbf16>) -> ()
  return
}
