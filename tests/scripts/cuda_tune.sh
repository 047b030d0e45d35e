#!/bin/sh
# Tiles of products that were measured: compile takes them from a file, and says what is wrong with one; what lmnc tune
# --prepare writes is what lmn-run tune times (test_tune: over a driver without a GPU).
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
net=$LMN_TESTS/golden/single-qwen/net.lmn

fail() {
  echo "FAILED: $*"
  [ ! -s "$work/log" ] || head -n 20 "$work/log"
  exit 1
}
refused() { # TEXT COMMAND …
  text=$1
  shift
  if "$@" >"$work/out" 2>"$work/log"; then fail "not refused: $*"; fi
  grep -q -e "$text" "$work/log" || fail "$*: no \"$text\""
}
plan() { "$LMNC" compile "$net" --target sm_90a --emit=plan -B 4 -T 32 "$@"; }

# Every product of the plan that has no epilogue gets other tiles.
plan >"$work/usual"
grep -q gemm_sm90_64x64p "$work/usual" || fail "no product has the tiles that this test changes"
{
  printf '{"gpu": "NVIDIA H200", "architecture": "sm_90a", "products": {"none": {"tiles": "64x1p 1x1", "usual": "64x1p 1x1"}'
  grep gemm_sm90_64x64p "$work/usual" | sed -n 's/.*"shape":"\([^"]*\)".*/\1/p' | sort -u | while read -r shape; do
    for type in bf16 float; do
      printf ',\n"%s %s": {"tiles": "64x2p 1x1", "us": 1, "usual": "64x1p 1x1", "usual_us": 2}' "$shape" "$type"
    done
  done
  echo '}}'
} >"$work/tiles.json"
plan --tiles "$work/tiles.json" >"$work/measured"
grep -q gemm_sm90_128x64p "$work/measured" || fail "the tiles of the file are not taken"
[ "$(grep -c '"cuda"' "$work/usual")" = "$(grep -c '"cuda"' "$work/measured")" ] || fail "other launches"

# Tiles that there are not, or that do not suit, are as if not measured.
sed 's/64x2p 1x1/9999x7 3x3/' "$work/tiles.json" >"$work/odd.json"
plan --tiles "$work/odd.json" >"$work/measured"
cmp -s "$work/usual" "$work/measured" || fail "tiles that there are not change the plan"

refused "tiles.json: cannot be opened" plan --tiles "$work/none/tiles.json"
sed 's/sm_90a/sm_80/' "$work/tiles.json" >"$work/other.json"
refused "is of sm_80, and the target is sm_90a" plan --tiles "$work/other.json"
echo '{"gpu": 1}' >"$work/bad.json"
refused 'needs "gpu", "architecture" and "products"' plan --tiles "$work/bad.json"

refused "say --target sm_90a" "$LMNC" tune "$net" --target cpu --prepare "$work/trials.lmnx"
refused "no product whose tiles can be chosen" "$LMNC" tune "$net" --precision f32 --prepare "$work/trials.lmnx"
refused "are measured on a GPU; --prepare FOLDER" env LMN_CUDA_DRIVER=/nowhere/libcuda.so.1 "$LMNC" tune "$net"

# What is to be measured; compiling it needs NVRTC, and time that sanitizers do not leave.
[ -z "${LMN_GOLDEN_FEW:-}" ] || exit 0
"$LMNC" tune "$net" -B 4 -T 32 --prepare "$work/trials.lmnx" 2>"$work/log" || {
  ! grep -q libnvrtc "$work/log" || exit 0
  fail "nothing is prepared"
}
grep -q "products, for lmn-run tune" "$work/log" || fail "it does not say how many products there are"
grep -q '"name":"128x[0-9]*x[0-9]* nt bf16: 64x1p 1x1"' "$work/trials.lmnx/plan.json" || fail "no trial of usual tiles"
grep -q '"name":"128x[0-9]*x[0-9]* nt bf16: 64x2p 1x1"' "$work/trials.lmnx/plan.json" || fail "no trial of other tiles"
refused "no CUDA driver\|cannot be opened" env LMN_CUDA_DRIVER=/nowhere/libcuda.so.1 "$LMN_BUILD/lmn-run" tune "$work/trials.lmnx"
