#!/bin/sh
# A trace of several batches has of each what a trace of it alone has, bit for bit; steps and tokens need one batch.
. "$LMN_TESTS/scripts/begin"
trace() { # CASE BATCH OUT [OPTION …]
  folder=$LMN_TESTS/golden/$1 batch=$2 out=$3
  shift 3
  [ ! -e "$folder/init.safetensors" ] || set -- --init "$folder/init.safetensors" "$@"
  "$LMNC" trace "$folder/net.lmn" --batch "$batch" --grad -o "$out" "$@" > "$work/err" 2>&1
}
for case in single-qwen classify-121-qwen; do
  batches=$LMN_TESTS/golden/$case/batches.safetensors
  trace $case "$batches" "$work/all" || fail "$case: all"
  for i in 0 9; do
    "$LMN_TOOLS/batch_at" "$batches" $i "$work/batch" 2> "$work/err" || fail "$case: batch $i"
    "$LMN_TOOLS/batch_at" "$work/all" $i "$work/part" 2> "$work/err" || fail "$case: part $i"
    trace $case "$work/batch" "$work/one" || fail "$case: $i alone"
    cmp -s "$work/one" "$work/part" || fail "$case: batch $i is another than alone"
  done
done
trace single-qwen "$LMN_TESTS/golden/single-qwen/batches.safetensors" "$work/all" --steps 1 && fail "steps of several batches"
says 'has several batches, input_ids \[N, B, T\]; --steps and --greedy need one'
exit 0
