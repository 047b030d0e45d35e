#!/bin/sh
# The kernels of tests/cuda/NAME.txt on the GPU here against PyTorch: all of each result, nothing written beside it, the
# same twice bit for bit. Argument: attention, products or rows. Skipped where there is no PyTorch, and on GPUs other
# than sm_90a's.
prepare() {
  [ "$target" = sm_90a ] || return 0
  [ "$1" != attention ] || set -- "$1" sm_90a
  # shellcheck disable=SC2086  # the target is a word, or none
  "$LMN_TOOLS/cuda_$1" ${2:-} "$made/$1" < "$LMN_TESTS/cuda/$1.txt"
}
. "$LMN_TESTS/gpu/begin"
[ "$target" = sm_90a ] && python3 -c 'import torch' 2> /dev/null || { echo "skipped: no PyTorch, or not sm_90a"; exit 77; }
python3 "$LMN_SOURCE/scripts/bench/$1.py" "$made/$1"
