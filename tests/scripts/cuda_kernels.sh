#!/bin/sh
# Kernels for GPUs, as far as a machine without one goes: every kernel of the golden networks compiles and keeps its values
# in registers; what --target, --emit, --line-info and summary --kernels say. Skipped where NVRTC is not there. Those of
# the examples: cuda_examples.sh.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
golden=$LMN_TESTS/golden
net=$golden/single-qwen/net.lmn

fail() {
  echo "FAILED: $*"
  [ ! -s "$work/log" ] || head -n 20 "$work/log"
  exit 1
}
# refused TEXT COMMAND …: fails with a message that has the text.
refused() {
  text=$1
  shift
  if "$@" >"$work/out" 2>"$work/log"; then fail "not refused: $*"; fi
  grep -q -e "$text" "$work/log" || fail "$*: no \"$text\""
}

# Without the compiler of kernels: one message, with the remedy.
refused "no such target; there are: cpu .*sm_80 .*sm_89 .*sm_90a" "$LMNC" compile --target sm_70 "$net" -o "$work/net.lmnx"
refused "it is f32, or bf16" "$LMNC" compile --target sm_90a --precision f16 "$net" -o "$work/net.lmnx"
refused "the CPU computes in f32" "$LMNC" compile --precision bf16 "$net" -o "$work/net.lmnx"
refused "is a level of GPUs; say --target" "$LMNC" compile --emit=cuda "$net"
refused "is a level of the CPU" "$LMNC" compile --target sm_80 --emit=llvm "$net"
refused "say --target" "$LMNC" summary --kernels "$net"
refused "is of GPUs; say --target" "$LMNC" compile --line-info "$net" -o "$work/net.lmnx"
refused "LMN_NVRTC=/nowhere/libnvrtc.so" env LMN_NVRTC=/nowhere/libnvrtc.so "$LMNC" compile --target sm_80 "$net" \
  -o "$work/net.lmnx"
[ ! -e "$work/net.lmnx" ] || fail "an artifact without kernels"

# The text of kernels needs no NVRTC.
"$LMNC" compile --target sm_90a --emit=cuda "$net" -B 2 -T 12 >"$work/kernels.cu"
for word in 'extern "C" __global__' 'struct parameters' 'single-qwen/net.lmn:' 'body_act_silu'; do
  grep -q "$word" "$work/kernels.cu" || fail "--emit=cuda has no $word"
done
# What an emitter wrote is of a line of the .lmn file, the rest of a .cuh file; nothing is left open.
grep -q '^#line 3 ".*single-qwen/net.lmn"$' "$work/kernels.cu" || fail "no #line of the .lmn file"
grep -q '^#line 1 "gemm_mma.cuh"$' "$work/kernels.cu" || fail "no #line of a .cuh file"
! grep '^#line PLACE' "$work/kernels.cu" || fail "a #line without a place"
"$LMNC" compile --target sm_90a --emit=plan "$net" -B 2 -T 12 >"$work/plan.json"
grep -q '"target":"sm_90a"' "$work/plan.json" || fail "the plan's target"
! grep -q '"rides"\|"gemm":' "$work/plan.json" || fail "the plan has launches of the CPU"
grep -q '"precision":"bf16"' "$work/plan.json" || fail "a GPU's usual precision"
"$LMNC" compile --target sm_90a --precision f32 --emit=plan "$net" -B 2 -T 12 >"$work/plan.json"
! grep -q '"precision"\|args":"[^"]*w[0-9]' "$work/plan.json" || fail "bf16 in f32"

# spilled NET OPTION …: kernels of the network, for each architecture and precision, that are not all in registers.
check() {
  for target in $targets; do
    for precision in $precisions; do
      what="$* for $target in $precision"
      "$LMNC" summary --kernels --target "$target" --precision $precision --json -B 2 -T 16 "$@" >"$work/table" \
        2>"$work/log" || fail "$what"
      grep -q '"kernel"' "$work/table" || fail "$what: no kernels"
      ! grep '"spill_[a-z]*": [1-9]\|"registers": 0' "$work/table" || fail "$what: spilled registers"
    done
  done
}

if ! "$LMNC" summary --kernels --target sm_90a "$net" >"$work/out" 2>"$work/log"; then
  grep -q 'libnvrtc.so.13 or .12 is not there' "$work/log" || fail "summary --kernels"
  echo "skipped: NVRTC is not there"
  exit 77
fi
grep -q '^gemm_.* 0 .*gemm .*net.lmn:' "$work/out" || fail "the table of kernels"

# Their heads and rows are small and odd; the first in both precisions. Under sanitizers (LMN_GOLDEN_FEW) one is enough:
# what takes the time is NVRTC.
targets=sm_90a precisions='bf16 f32'
if [ -n "${LMN_GOLDEN_FEW:-}" ]; then check "$golden/single-qwen/net.lmn"
else
  check "$golden/paper-121-qwen/net.lmn"
  precisions=bf16
  for name in code-14441-qwen e2e-121-gpt2 mixed-llama-gpt2; do check "$golden/$name/net.lmn"; done
  check "$golden/rows-121-qwen/net.lmn" -B 4 -T 32 # rows enough for products that make gated units
  grep -q "gemm_sm90_glu_[0-9]" "$work/table" && grep -q gemm_sm90_glu_grad "$work/table" || fail "no products with a gated unit"
fi

# An artifact has a cubin for each of its kernels, and making it again finds them all in the cache.
"$LMNC" compile --target sm_90a "$net" -B 2 -T 12 -o "$work/net.lmnx" 2>"$work/log" || fail "compile"
for kernel in $(sed -n 's/.*"kernel":"\([a-z_0-9]*\)".*/\1/p' "$work/net.lmnx/plan.json" | sort -u); do
  [ -s "$work/net.lmnx/kernels/$kernel.cubin" ] || fail "$kernel has no cubin"
done
[ ! -e "$work/net.lmnx/kernels.so" ] || fail "a library of the CPU"
"$LMNC" compile --target sm_90a "$net" -B 2 -T 12 --time-passes -o "$work/again.lmnx" >"$work/log" 2>&1
grep -q 'found in the cache' "$work/log" || fail "not found in the cache"
cmp "$work/net.lmnx/plan.json" "$work/again.lmnx/plan.json" || fail "another plan"
# With --line-info cubins tell profilers the lines, and are others than those without. In a cache of its own, so that
# under sanitizers too something is compiled.
LMN_CACHE=$work/cache "$LMNC" compile --target sm_90a --line-info "$net" -B 2 -T 12 --for evaluate -o "$work/lines.lmnx" 2>"$work/log" || fail "--line-info"
for kernel in "$work"/lines.lmnx/kernels/gemm_*.cubin; do
  grep -q 'net\.lmn' "$kernel" && grep -q 'types\.cuh' "$kernel" || fail "$kernel has no lines"
  ! grep -q 'net\.lmn' "$work/net.lmnx/kernels/${kernel##*/}" || fail "$kernel has lines that nobody asked for"
done
# Commands that run a network compile it for a GPU too, and look for the GPU then.
data=$LMN_TESTS/data/run
refused "/nowhere/libcuda.so.*cannot be opened" env LMN_CUDA_DRIVER=/nowhere/libcuda.so "$LMNC" eval "$data/net.lmn" --random-weights \
  --target sm_90a --data "$data/dev.csv" --prompt '{record}=' --completion '{sentence}'
refused "it is f32, or bf16" "$LMNC" generate "$data/net.lmn" --random-weights --target sm_90a --precision f16
refused "is compiled already; --target goes with a .lmn file" "$LMNC" generate "$work/net.lmnx" --target sm_90a
# A sum of more values than a product's epilogue has room for in shared memory; gradients behind one of an odd size, which
# begin where two of their elements cannot be stored at once.
cat >"$work/sums.lmn" <<END
network sums {
  model base = "$data/base";
  vertex few[2] : base;  vertex one : base;  vertex many[15] : base;
  default aggregate = sum;
  default edge = identity;
  input -> many;  many -> one;  many -> few;  few -> output;
  input -> one [edge = linear(511, bias = true) then gelu then linear];  one -> output;
}
END
"$LMNC" compile "$work/sums.lmn" --random-weights --target sm_90a --for train -B 4 -T 64 --emit=cuda >"$work/sums.cu" 2>"$work/log" ||
  fail "a sum of many values"
grep -q 'PAIRS = false' "$work/sums.cu" && grep -q 'STAGED = false.* PAIRS = false\|ROWS = 1[0-9]' "$work/sums.cu" || fail "no product of many rows"
"$LMNC" compile --target sm_80 --emit=ptx "$net" -B 2 -T 12 >"$work/kernels.ptx"
grep -q '^.target sm_80' "$work/kernels.ptx" || fail "--emit=ptx"
