#!/bin/sh
# tests/tools/distance.c at work: values are at no distance from themselves, every tensor of every golden case has a
# figure, and another case's values, a figure of next to nothing and no figures fail.
. "$LMN_TESTS/scripts/begin"
golden=$LMN_TESTS/golden
distance() { "$LMN_TOOLS/distance" "$@" > "$work/err"; }
for case in "$golden"/*/; do
  values=$case/expected.safetensors
  distance "$values" "$values" "$case/bf16.txt" "$values" "$values" || fail "$case"
  grep -q '^gradients *[0-9]* *worst 0 of' "$work/err" || fail "$case: gradients"
  [ -s "$case/batches.safetensors" ] || fail "$case: batches"
done
one=$golden/paper-121-qwen/expected.safetensors other=$golden/single-qwen/expected.safetensors
distance "$one" "$other" "$golden/paper-121-qwen/bf16.txt" "$one" "$one" && fail "other values"
grep -q '^FAIL logits' "$work/err" || fail "names a tensor"
distance "$one" "$one" "$golden/paper-121-qwen/bf16.txt" "$one" "$other" && fail "other losses"
grep -q '^FAIL losses' "$work/err" || fail "names losses"
distance "$one" "$one" /dev/null "$one" "$one" && fail "no figures"
exit 0
