#!/bin/sh
# A network of tests/golden on the GPU here: PyTorch's values, in f32 within 1e-4, in bf16 as near as PyTorch's own bf16;
# the same twice and without graphs, bit for bit. Argument: the case.
prepare() { prepare_golden "$1"; }
. "$LMN_TESTS/gpu/begin"
status=0
for precision in f32 bf16; do sh "$made/golden-$precision/cuda-check" "$1" || status=1; done
exit $status
