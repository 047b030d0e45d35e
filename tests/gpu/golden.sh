#!/bin/sh
# A network of tests/golden on the GPU here: PyTorch's values within 1e-4, the same twice bit for bit. Argument: the case.
set -u
. "$LMN_TESTS/gpu/target.sh"
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
sh "$LMN_SOURCE/scripts/cuda-check" --prepare "$work" --target "$target" "$1" && sh "$work/cuda-check" "$1"
