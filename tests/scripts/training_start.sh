#!/bin/sh
# training_start gives what lmnc train --seed starts from: after a step at no rate the parameters are those, to the bit. The
# seed counts for parameters and batches.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
data=$LMN_TESTS/data/run
# values FILE: what follows the header, whose length stands in front; the metadata differ
values() { tail -c +$((9 + $(od -An -tu8 -N8 "$1"))) "$1"; }
fail() { echo "FAILED: $*"; head -n 20 "$work/log"; exit 1; }

"$LMNC" compile "$data/net.lmn" --random-weights --for train -B 2 -T 32 -o "$work/net.lmnx" 2>"$work/log" || fail "compile"
"$LMNC" train "$data/net.lmn" --random-weights -B 2 -T 32 --seed 7 --steps 1 --optimizer 'adamw(lr = 0)' --phase edges --data "$data/train.csv" \
  --prompt '{record}=' --completion '{sentence}' -o "$work/run" >"$work/log" 2>&1 || fail "train"
"$LMN_TOOLS/training_start" "$work/net.lmnx" 7 3 "$data/train.csv" '{record}=' '{sentence}' "$work/parameters" "$work/batches" 2>"$work/log" ||
  fail "training_start"
values "$work/run/parameters.safetensors" >"$work/expected"
values "$work/parameters" | cmp - "$work/expected" || fail "other parameters than a training starts from"
head -c 400 "$work/batches" | grep -q '"input_ids":{[^}]*"shape":\[3,2,32\]' || fail "the batches' shape"
"$LMN_TOOLS/training_start" "$work/net.lmnx" 8 3 "$data/train.csv" '{record}=' '{sentence}' "$work/parameters" "$work/others" 2>"$work/log" ||
  fail "training_start"
! values "$work/parameters" | cmp -s - "$work/expected" || fail "the seed does nothing to parameters"
! cmp -s "$work/batches" "$work/others" || fail "the seed does nothing to batches"
