#!/bin/sh
# scripts/cuda-tests where there is no GPU: what --prepare makes needs neither source nor compiler, its tests are skipped
# without a GPU and fail where a GPU is said to be and no driver is, with ctest and without. Skipped without NVRTC.
set -u
[ -z "${LMN_GOLDEN_FEW:-}" ] || exit 77 # under sanitizers: the time is NVRTC's
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*"; cat "$work/out"; exit 1; }
folder=$work/folder
mkdir -p "$folder/made/golden-f32/cases/old" # as prepared by another lmnc

sh "$LMN_SOURCE/scripts/cuda-tests" --prepare "$folder" --target sm_80 train > "$work/out" 2>&1 || {
  ! grep -q libnvrtc "$work/out" || exit 77
  fail "prepare"
}
for file in cuda-tests CTestTestfile.cmake bin/lmn-run made/train.lmnx/plan.json tests/data/run/net.lmn scripts/bench/rows.py; do
  [ -e "$folder/$file" ] || fail "has no $file"
done
[ ! -e "$folder/made/golden-f32" ] || fail "keeps what was prepared before"
unset LMNC LMN_TESTS LMN_TOOLS LMN_SOURCE LMN_BUILD
mkdir "$work/bin"
for ctest in ctest none; do
  printf '#!/bin/sh\nexit 1\n' > "$work/bin/nvidia-smi"
  chmod +x "$work/bin/nvidia-smi"
  CTEST=$ctest PATH="$work/bin:$PATH" sh "$folder/cuda-tests" > "$work/out" 2>&1 && fail "$ctest: nothing passed, and all is well"
  grep -q '^1 skipped' "$work/out" && [ "$(tail -n 1 "$work/out")" = '0 passed, 0 failed' ] || fail "$ctest: skips"
  printf '#!/bin/sh\necho 8.6\n' > "$work/bin/nvidia-smi"
  CTEST=$ctest PATH="$work/bin:$PATH" LMN_CUDA_DRIVER=/nowhere/libcuda.so sh "$folder/cuda-tests" > "$work/out" 2>&1 && fail "$ctest: fails"
  grep -q '/nowhere/libcuda.so' "$work/out" && [ "$(tail -n 1 "$work/out")" = '0 passed, 1 failed' ] || fail "$ctest: says what failed"
done
exit 0
