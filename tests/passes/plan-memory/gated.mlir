// The gradient of a gated unit is made in the place of its gate and up; where they are read again, in a place of its own.
func.func private @glu_silu(%g: f32, %u: f32) -> f32 {
  %y = arith.mulf %g, %u : f32
  return %y : f32
}
func.func private @glu_grad_silu(%g: f32, %u: f32, %dy: f32) -> (f32, f32) {
  %a = arith.mulf %dy, %u : f32
  %b = arith.mulf %dy, %g : f32
  return %a, %b : f32, f32
}
func.func @entry() {
  %a = "kernel.buffer"() {space = "input", name = "a"} : () -> tensor<64x8xbf16>
  %w = "kernel.buffer"() {space = "input", name = "w"} : () -> tensor<32x8xbf16>
  %dz = "kernel.buffer"() {space = "input", name = "dz"} : () -> tensor<64x8xbf16>
  %v = "kernel.buffer"() {space = "input", name = "v"} : () -> tensor<8x16xbf16>
  %x:2 = "kernel.gemm"(%a, %w) {m = 64 : i64, n = 32 : i64, k = 8 : i64, groups = 1 : i64, trans_a = 0 : i64, trans_b = 1 : i64, lda = 8 : i64, ldb = 8 : i64, ldc = 32 : i64, a_stride = 512 : i64, b_stride = 256 : i64, c_stride = 2048 : i64, epilogue = @glu_silu, glu = "value", operandSegmentSizes = array<i32: 1, 1, 0, 0, 0>, resultSegmentSizes = array<i32: 1, 1>} : (tensor<64x8xbf16>, tensor<32x8xbf16>) -> (tensor<64x32xbf16>, tensor<64x16xbf16>)
  %x2:2 = "kernel.gemm"(%a, %w) {m = 64 : i64, n = 32 : i64, k = 8 : i64, groups = 1 : i64, trans_a = 0 : i64, trans_b = 1 : i64, lda = 8 : i64, ldb = 8 : i64, ldc = 32 : i64, a_stride = 512 : i64, b_stride = 256 : i64, c_stride = 2048 : i64, epilogue = @glu_silu, glu = "value", operandSegmentSizes = array<i32: 1, 1, 0, 0, 0>, resultSegmentSizes = array<i32: 1, 1>} : (tensor<64x8xbf16>, tensor<32x8xbf16>) -> (tensor<64x32xbf16>, tensor<64x16xbf16>)
  %dx = "kernel.gemm"(%dz, %v, %x#0) {m = 64 : i64, n = 16 : i64, k = 8 : i64, groups = 1 : i64, trans_a = 0 : i64, trans_b = 0 : i64, lda = 8 : i64, ldb = 16 : i64, ldc = 32 : i64, a_stride = 512 : i64, b_stride = 128 : i64, c_stride = 2048 : i64, epilogue = @glu_grad_silu, glu = "grad", operandSegmentSizes = array<i32: 1, 1, 0, 0, 1>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<64x8xbf16>, tensor<8x16xbf16>, tensor<64x32xbf16>) -> tensor<64x32xbf16>
  %dx2 = "kernel.gemm"(%dz, %v, %x2#0) {m = 64 : i64, n = 16 : i64, k = 8 : i64, groups = 1 : i64, trans_a = 0 : i64, trans_b = 0 : i64, lda = 8 : i64, ldb = 16 : i64, ldc = 32 : i64, a_stride = 512 : i64, b_stride = 128 : i64, c_stride = 2048 : i64, epilogue = @glu_grad_silu, glu = "grad", operandSegmentSizes = array<i32: 1, 1, 0, 0, 1>, resultSegmentSizes = array<i32: 1, 0>} : (tensor<64x8xbf16>, tensor<8x16xbf16>, tensor<64x32xbf16>) -> tensor<64x32xbf16>
  %z = "kernel.glu"(%x2#0) {body = @glu_silu} : (tensor<64x32xbf16>) -> tensor<64x16xbf16>
  "kernel.output"(%x#1) {name = "x_1"} : (tensor<64x16xbf16>) -> ()
  "kernel.output"(%x2#1) {name = "x2_1"} : (tensor<64x16xbf16>) -> ()
  "kernel.output"(%z) {name = "z"} : (tensor<64x16xbf16>) -> ()
  %odx = "kernel.glu"(%dx) {body = @glu_silu} : (tensor<64x32xbf16>) -> tensor<64x16xbf16>
  %odx2 = "kernel.glu"(%dx2) {body = @glu_silu} : (tensor<64x32xbf16>) -> tensor<64x16xbf16>
  "kernel.output"(%odx) {name = "odx"} : (tensor<64x16xbf16>) -> ()
  "kernel.output"(%odx2) {name = "odx2"} : (tensor<64x16xbf16>) -> ()
  return
}
