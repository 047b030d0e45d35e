#!/bin/sh
# Every row kernel of tests/cuda/rows.txt compiles for sm_90a and keeps its rows and sums in registers. Skipped where
# NVRTC is not there; on a GPU scripts/bench/rows.py checks what they compute.
set -eu
[ -z "${LMN_GOLDEN_FEW:-}" ] || exit 77 # under sanitizers: the time is NVRTC's
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

"$LMN_TOOLS/cuda_rows" "$work/rows" <"$LMN_TESTS/cuda/rows.txt" >"$work/out" 2>"$work/log" || {
  ! grep -q libnvrtc "$work/log" || exit 77
  cat "$work/out" "$work/log"
  exit 1
}
cat "$work/out"
for kind in row row_sums column total; do
  find "$work/rows/kernels" -name "${kind}_*.cubin" | grep -q . || { echo "FAILED: no kernel $kind"; exit 1; }
done
