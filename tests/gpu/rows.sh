#!/bin/sh
# The row kernels of tests/cuda/rows.txt on the GPU here against PyTorch in float64: all of each result, nothing written
# behind it, the same twice bit for bit. Skipped where there is no PyTorch, and on GPUs other than sm_90a's.
set -u
. "$LMN_TESTS/gpu/target.sh"
[ "$target" = sm_90a ] && python3 -c 'import torch' 2>/dev/null || exit 77
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
"$LMN_TOOLS/cuda_rows" "$work" <"$LMN_TESTS/cuda/rows.txt" || exit 1
python3 "$LMN_SOURCE/scripts/bench/rows.py" "$work"
