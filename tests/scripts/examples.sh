#!/bin/sh
# Every network of examples/ is sound as it stands, and runs over small models: values, loss and gradients are the same
# with all optimisations off.
set -e
. "$LMN_TESTS/scripts/begin"
golden=$LMN_TESTS/golden
mkdir -p "$work/models/base"
cp "$LMN_SOURCE/examples/demo/config.json" "$work/models/base"
for net in "$LMN_SOURCE"/examples/*.lmn "$LMN_SOURCE"/examples/demo/*.lmn; do
  LMN_MODELS=$work/models "$LMNC" check "$net" >/dev/null
done

off=
for pass in $("$LMN_TESTS/scripts/optimisations"); do off="$off --disable-pass $pass"; done
qwen=$golden/single-qwen/qwen llama=$golden/tree-residual-llama/llama gpt2=$golden/e2e-121-gpt2/gpt2

# run NET BATCH OPTION …
run() {
  net=$LMN_SOURCE/examples/$1 batch=$golden/$2/expected.safetensors
  shift 2
  "$LMNC" trace "$net" --batch "$batch" --grad --random-weights "$@" -o "$work/fast.safetensors"
  # shellcheck disable=SC2086
  "$LMNC" trace "$net" --batch "$batch" --grad --random-weights "$@" $off -o "$work/plain.safetensors"
  "$LMN_TOOLS/compare" "$work/plain.safetensors" "$work/fast.safetensors" >"$work/log" && return
  echo "FAILED: $net with and without optimisations"
  cat "$work/log"
  exit 1
}
run paper-14441.lmn single-qwen -D weights="$qwen" -D widths=1/2/1
run e2e.lmn e2e-121-gpt2 -D weights="$gpt2" -D heads=3 -D prefix=3
run mmlu.lmn classify-121-qwen -D weights="$qwen"
run residual.lmn single-qwen -D weights="$qwen" -D depth=2
run paths.lmn tree-residual-llama -D weights="$llama"
run ring.lmn tree-residual-llama -D weights="$llama" -D n=3
run mixed.lmn single-qwen -D large="$qwen" -D small="$llama"
