#!/bin/sh
# Attention of tests/cuda/attention.txt compiles and keeps its sums in registers: groups of heads for sm_90a, head sizes
# on the tensor cores of sm_80. Skipped where NVRTC is not there; on a GPU scripts/bench/attention.py checks what all of
# them compute.
set -eu
[ -z "${LMN_GOLDEN_FEW:-}" ] || exit 77 # under sanitizers: the time is NVRTC's
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

check() { # TARGET CASES KERNELS COUNT: so many at least of that name
  grep "$2" "$LMN_TESTS/cuda/attention.txt" >"$work/cases"
  "$LMN_TOOLS/cuda_attention" "$1" "$work/$1" <"$work/cases" >"$work/out" 2>"$work/log" || {
    ! grep -q libnvrtc "$work/log" || exit 77
    cat "$work/out" "$work/log"
    exit 1
  }
  count=$(find "$work/$1/kernels" -name "$3" | wc -l)
  [ "$count" -ge "$4" ] || { echo "FAILED: for $1 only $count kernels are $3"; exit 1; }
}
check sm_90a '^g\|^d96\|^d128' 'attention*_sm90_*.cubin' 60
check sm_80 '^d' 'attention*.cubin' 50
