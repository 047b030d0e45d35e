#!/bin/sh
# Every kernel of every example, training, evaluation and generation in the shapes of their own train { }, compiles for
# every architecture and keeps its values in registers. In float32, of which the text is the same for all, for one. Each
# text is compiled once (the cache has it then). Skipped where NVRTC is not there, and under sanitizers, where
# cuda_kernels.sh compiles enough: what takes the time is NVRTC.
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
for what in 'sm_90a bf16' 'sm_80 bf16' 'sm_89 bf16' 'sm_80 f32'; do
  for net in "$LMN_SOURCE"/examples/*.lmn; do
    "$LMNC" summary --kernels --json --random-weights --target "${what% *}" --precision "${what#* }" "$net" \
      >"$work/table" 2>"$work/log" || fail "$net for $what"
    here=$(grep -c '"kernel"' "$work/table") || fail "$net for $what: no kernels"
    kernels=$((kernels + here))
    ! grep -B 5 '"spill_[a-z]*": [1-9]\|"registers": 0' "$work/table" || fail "$net for $what: spilled registers"
  done
done
echo "$kernels kernels, those that are the same among them"
