#!/bin/sh
# tests/tools/distance.c at work: the expected values are at no distance from themselves, a bar of next to nothing or
# another case's values fail, and every golden case has its figures.
. "$LMN_TESTS/scripts/begin"
golden=$LMN_TESTS/golden
for case in "$golden"/*/; do
  "$LMN_TOOLS/distance" "$case/expected.safetensors" "$case/expected.safetensors" "$case/bf16.txt" > "$work/err" || fail "$case"
  grep -q '^gradients *[0-9]* *worst 0 of' "$work/err" || fail "$case: gradients"
done
"$LMN_TOOLS/distance" "$golden/paper-121-qwen/expected.safetensors" "$golden/single-qwen/expected.safetensors" \
  "$golden/paper-121-qwen/bf16.txt" > "$work/err" && fail "other values"
grep -q '^FAIL logits' "$work/err" && grep -q '^FAIL losses' "$work/err" || fail "names them"
"$LMN_TOOLS/distance" "$golden/single-qwen/expected.safetensors" "$golden/single-qwen/expected.safetensors" /dev/null \
  > "$work/err" && fail "no figures"
exit 0
