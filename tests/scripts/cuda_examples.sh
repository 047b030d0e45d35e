#!/bin/sh
# Every kernel of every example, training, evaluation and generation in the shapes of their own train { }, compiles and
# keeps its values in registers, but for one that an epilogue may put aside, 4 bytes, out of the main loop. In bf16 for
# sm_90a, and, every second one, for sm_80 or sm_89 in turn, as the text for these two is the same; in float32, a Llama
# and a GPT-2 for sm_80. Each text is compiled once: the cache has it then. LMN_KERNELS=all: everything
# for every architecture. Skipped where NVRTC is not there, and under sanitizers, where cuda_kernels.sh compiles enough:
# what takes the time is NVRTC, 0.1 s for a small kernel, 0.5 s for a product of sm_90a.
set -eu
[ -z "${LMN_GOLDEN_FEW:-}" ] || { echo "skipped: too slow with sanitizers"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
export LMN_MODELS="$LMN_SOURCE/examples/models"

fail() {
  echo "FAILED: $*"
  [ ! -s "$work/log" ] || head -n 20 "$work/log"
  exit 1
}

"$LMNC" summary --kernels --target sm_80 "$LMN_TESTS/golden/single-qwen/net.lmn" >"$work/out" 2>"$work/log" || {
  grep -q 'libnvrtc.so.13 or .12 is not there' "$work/log" || fail "summary --kernels"
  echo "skipped: NVRTC is not there"
  exit 77
}

kernels=0
# check NET TARGET PRECISION
check() {
  what="$1 for $2 in $3"
  "$LMNC" summary --kernels --json --random-weights --target "$2" --precision "$3" "$1" >"$work/table" 2>"$work/log" || fail "$what"
  here=$(grep -c '"kernel"' "$work/table") || fail "$what: no kernels"
  kernels=$((kernels + here))
  ! grep -B 5 '"spill_[a-z]*": \([5-9]\|[1-9][0-9]\)\|"registers": 0' "$work/table" || fail "$what: spilled registers"
}

older=sm_80 other=sm_89 turn=
for net in "$LMN_SOURCE"/examples/*.lmn; do
  check "$net" sm_90a bf16
  case $net in */code-14441.lmn | */e2e.lmn) check "$net" sm_80 f32 ;; esac
  [ -n "$turn" ] && turn= || turn=1
  if [ -n "$turn" ] || [ "${LMN_KERNELS:-}" = all ]; then
    check "$net" $older bf16
    swap=$older older=$other other=$swap
  fi
  [ "${LMN_KERNELS:-}" = all ] || continue
  check "$net" $older bf16
  for target in sm_80 sm_89 sm_90a; do check "$net" $target f32; done
done
echo "$kernels kernels, those that are the same among them"
