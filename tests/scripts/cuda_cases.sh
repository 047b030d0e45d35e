#!/bin/sh
# The kernels of tests/cuda/NAME.txt compile and keep their sums in registers. Argument: attention, products or rows.
# Skipped where NVRTC is not there; on a GPU scripts/bench/NAME.py checks what they compute.
set -eu
[ -z "${LMN_GOLDEN_FEW:-}" ] || exit 77 # under sanitizers: the time is NVRTC's
name=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

# compile LINES [TARGET]: those of the list, to $work/made.
compile() {
  rm -rf "$work/made"
  grep "$1" "$LMN_TESTS/cuda/$name.txt" >"$work/cases"
  shift
  "$LMN_TOOLS/cuda_$name" "$@" "$work/made" <"$work/cases" >"$work/out" 2>"$work/log" || {
    ! grep -q libnvrtc "$work/log" || exit 77
    cat "$work/out" "$work/log"
    exit 1
  }
  tail -n 1 "$work/out"
}
has() { # FILES COUNT: so many kernels at least of that name
  count=$(find "$work/made/kernels" -name "$1" | wc -l)
  [ "$count" -ge "$2" ] || { echo "FAILED: only $count kernels are $1"; exit 1; }
}
case $name in
attention) # groups of heads for sm_90a, head sizes on the tensor cores of sm_80
  compile '^g\|^d96\|^d128' sm_90a
  has 'attention*_sm90_*.cubin' 60
  compile '^d' sm_80
  has 'attention*.cubin' 50
  ;;
products)
  compile .
  has 'gemm_sm90_*.cubin' 30
  grep -q '"maps":\["a' "$work/made/plan.json" || { echo "FAILED: the plan has no tensor maps"; exit 1; }
  ;;
rows)
  compile .
  for kind in row row_sums column total rope embed_grad cross_entropy; do has "${kind}_*.cubin" 1; done
  ;;
esac
