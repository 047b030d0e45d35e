#!/bin/sh
# A network of tests/golden on the GPU here: PyTorch's values, in f32 within 1e-4, in bf16 as near as PyTorch's own bf16;
# the same twice and without graphs, bit for bit. Argument: the case. The one with rows enough for all kernels also as it
# is where the backward pass makes rows again.
remade=rows-121-qwen
prepare() {
  prepare_golden "$1" || return 1
  [ "$1" != $remade ] || prepare_check golden-remade "$1" --recompute rows
}
. "$LMN_TESTS/gpu/begin"
status=0
for precision in f32 bf16; do sh "$made/golden-$precision/cuda-check" "$1" || status=1; done
[ "$1" != $remade ] || sh "$made/golden-remade/cuda-check" "$1" || status=1
exit $status
