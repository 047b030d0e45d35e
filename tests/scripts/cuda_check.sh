#!/bin/sh
# scripts/cuda-check, on the CPU: what --prepare makes needs neither the source nor the models where they were, says "ok"
# of what is right and fails where it is not.
set -u
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*"; cat "$work/out"; exit 1; }

mkdir -p "$work/tree/scripts" "$work/tree/tests/golden"
cp "$LMN_SOURCE/scripts/cuda-check" "$work/tree/scripts/"
cp -R "$LMN_TESTS/golden/single-qwen" "$LMN_TESTS/golden/mixed-llama-gpt2" "$work/tree/tests/golden/"
LMN_BUILD=$LMN_BUILD sh "$work/tree/scripts/cuda-check" --prepare "$work/folder" --target cpu > "$work/out" 2>&1 || fail "prepare"
rm -rf "$work/tree"
sh "$work/folder/cuda-check" > "$work/out" 2>&1 || fail "what is right"
grep -q '^single-qwen .* ok$' "$work/out" && grep -q '^2 of 2 as expected' "$work/out" || fail "the table"

# The comparison at work: of another network's parameters, and with no room for rounding.
LMN_CHECK_BAR=1e-12 sh "$work/folder/cuda-check" single-qwen > "$work/out" 2>&1 && fail "no room for rounding"
grep -q '^single-qwen .* wrong$' "$work/out" && grep -q '^0 of 1 as expected' "$work/out" || fail "says what is wrong"
rm "$work/folder/cases/mixed-llama-gpt2/net.lmnx/plan.json"
sh "$work/folder/cuda-check" mixed-llama-gpt2 > "$work/out" 2>&1 && fail "what does not run"
grep -q 'does not run$' "$work/out" && grep -q 'is no compiled network' "$work/out" || fail "says why"
exit 0
