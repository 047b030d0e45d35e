#!/bin/sh
# A network of tests/golden on the GPU here: PyTorch's values, in f32 within 1e-4, in bf16 as near as PyTorch's own bf16;
# the same twice bit for bit. Argument: the case.
set -u
. "$LMN_TESTS/gpu/target.sh"
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
for precision in f32 bf16; do
  sh "$LMN_SOURCE/scripts/cuda-check" --prepare "$work/$precision" --target "$target" --precision $precision "$1" &&
    sh "$work/$precision/cuda-check" "$1" || exit 1
done
