#!/bin/sh
# scripts/bench/gpu: what --prepare makes is small and needs nothing besides; cases that are not there are said.
set -u
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*"; cat "$work/out"; exit 1; }
bench=$LMN_SOURCE/scripts/bench/gpu

sh "$bench" --prepare "$work/folder" --target cpu --precision f32 gpt2 > "$work/out" 2>&1 || fail "prepare"
grep -q '^gpt2: compiled in' "$work/out" || fail "says how long compiling takes"
for file in gpu lmn-run peer_gpu.py gpt2.lmnx/plan.json; do [ -e "$work/folder/$file" ] || fail "has no $file"; done
[ "$(du -sm "$work/folder" | cut -f 1)" -lt 40 ] || fail "is larger than 40 MB"
sh "$bench" --prepare "$work/folder" --target cpu gpt3 > "$work/out" 2>&1 && fail "a case that is not there"
grep -q 'there is no case gpt3' "$work/out" || fail "names the case"
sh "$bench" gpt2 > "$work/out" 2>&1 && fail "a folder that was not prepared"
grep -q -e '--prepare' "$work/out" || fail "says how to make one"
# --cold compiles without a cache, whatever is in the usual one, and the sum with the first step is said.
sh "$bench" --prepare "$work/cold" --target cpu --precision f32 --cold gpt2 > "$work/out" 2>&1 || fail "prepare --cold"
grep -q '^gpt2: compiled in [0-9.]* s without a cache, on [0-9]* cores$' "$work/out" || fail "says that there was no cache"
[ -s "$work/cold/gpt2.cold" ] && [ ! -e "$work/folder/gpt2.cold" ] || fail "keeps the time of a cold compilation alone"
# A case whose artifact is not there is said; one that does not run leaves its row empty. Both fail.
sh "$work/folder/gpu" --alone smollm2-121 > "$work/out" 2>&1 && fail "without artifacts"
grep -q '^| smollm2' "$work/out" && fail "a row of what is not there"
grep -q 'smollm2-121 was not prepared' "$work/out" || fail "names what is not there"
rm "$work/folder/gpt2.lmnx/plan.json"
sh "$work/folder/gpu" --alone gpt2 > "$work/out" 2>&1 && fail "a case that fails"
grep -q '^| gpt2 | train | 8 | 1024 | - |' "$work/out" && grep -q 'is no compiled network' "$work/out" || fail "says what failed"
exit 0
