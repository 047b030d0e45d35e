#!/bin/sh
# Every product of tests/cuda/products.txt compiles for sm_90a and keeps its sums in registers. Skipped where NVRTC is not
# there; on a GPU scripts/bench/products.py checks what they compute.
set -eu
[ -z "${LMN_GOLDEN_FEW:-}" ] || exit 77 # under sanitizers: the time is NVRTC's
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

"$LMN_TOOLS/cuda_products" "$work/products" <"$LMN_TESTS/cuda/products.txt" >"$work/out" 2>"$work/log" || {
  ! grep -q libnvrtc "$work/log" || exit 77
  cat "$work/out" "$work/log"
  exit 1
}
cat "$work/out"
kernels=$(find "$work/products/kernels" -name 'gemm_sm90_*.cubin' | wc -l)
[ "$kernels" -ge 30 ] || { echo "FAILED: only $kernels kernels are for sm_90a"; exit 1; }
grep -q '"maps":\["a' "$work/products/plan.json" || { echo "FAILED: the plan has no tensor maps"; exit 1; }
