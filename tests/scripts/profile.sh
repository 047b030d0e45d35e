#!/bin/sh
# train --profile: the tables say the same time in three ways and the work that summary counts, the trace has every launch,
# and the training is the same to the bit.
set -u
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
export LMN_CACHE="${LMN_CACHE:-$work/cache}"
data=$LMN_TESTS/data/run
fail() { echo "FAILED: $*"; cat "$work/err"; exit 1; }

cp -r "$data/base" "$data/net.lmn" "$work/"
net="$work/net.lmn --random-weights"
settings="-B 4 -T 64 --data $data/train.csv --prompt {record}= --completion {sentence} --steps 6"
# shellcheck disable=SC2086  # the options are words
for how in plain "profiled --profile --trace-file $work/trace.json"; do
  "$LMNC" train $net $settings -o "$work/"$how > "$work/out" 2> "$work/err" || fail "train: $how"
done
cmp "$work/plain/parameters.safetensors" "$work/profiled/parameters.safetensors" || fail "a profile changes the training"

phases=$(grep -c 'phase ' "$work/net.lmn")
grep -q 'limits are not known here, so there is no MFU' "$work/err" || fail "an unknown device"
grep -q 'a step of 256 tokens: .* tokens/s; its [0-9]* launches one by one' "$work/err" || fail "the step"
# The milliseconds of each of the three tables.
awk '$2 == "%" {++table} table && $1 ~ /^[0-9.]+$/ {sum[table] += $1}
  END {exit !(table == 3 && sum[1] > 0 && sum[2] / sum[1] > 0.99 && sum[2] / sum[1] < 1.01 && sum[3] / sum[1] > 0.99 && sum[3] / sum[1] < 1.01)}' \
  "$work/err" || fail "the tables differ"
for name in ' gemm ' 'vertices (share-vertices)' 'arrows (fuse-edges)' ' output$' ' -> '; do
  grep -q -e "$name" "$work/err" || fail "says nothing of $name"
done
# Slices of kernels: as many as launches, in each of the steps that were timed.
launches=$(sed -n 's/.*its \([0-9]*\) launches.*/\1/p' "$work/err") timed=$(sed -n 's/.*(mean of \([0-9]*\)).*/\1/p' "$work/err")
slices=$(tr '{' '\n' < "$work/trace.json" | grep -c '"ph":"X","pid":1,"tid":3')
[ "$slices" -gt 0 ] && [ "$slices" -ge $((launches * timed - timed)) ] && [ "$slices" -le $((launches * timed + timed)) ] ||
  fail "$slices slices of $launches launches in $timed steps ($phases phases)"
grep -q '"displayTimeUnit":"ms"}$' "$work/trace.json" || fail "the trace is not whole"

# One phase alone does what summary counts for it.
"$LMNC" bench "$work/net.lmn" --random-weights --mode train -B 2 -T 32 -n 1 --profile > "$work/out" 2> "$work/err" || fail "bench"
"$LMNC" summary "$work/net.lmn" --random-weights --freeze '[]' -B 2 -T 32 --json > "$work/summary" 2>> "$work/err" || fail "summary"
said=$(sed -n 's/^\([0-9.e+-]*\) GFLOP a token.*/\1/p' "$work/err")
tr -d ' \n' < "$work/summary" | sed -n 's/.*"name":"train[^}]*"flops":\([0-9]*\).*/\1/p' > "$work/flops"
awk -v said="$said" '{exit !(said > 0 && $1 / 64e9 / said > 0.999 && $1 / 64e9 / said < 1.001)}' "$work/flops" ||
  fail "$said GFLOP a token, and summary counts $(cat "$work/flops") for 64"
"$LMNC" train "$work/net.lmn" --random-weights --profile --trace-file "$work/no/such/folder" --steps 2 --data "$data/text.txt" \
  -o "$work/bad" > "$work/out" 2> "$work/err" && fail "a trace that cannot be written"
grep -q 'no/such/folder' "$work/err" || fail "names the file"
