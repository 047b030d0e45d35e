#!/bin/sh
# A training on the GPU here: the same parameters to the bit with graphs and without, under a profile, and stopped and gone
# on with; bench says the device and its memory.
usual='--steps 12 --save-every 3'
. "$LMN_TESTS/gpu/training"
same() { cmp "$work/graphs/parameters.safetensors" "$work/$1/parameters.safetensors" || fail "$1: other parameters"; }
train graphs || fail "a training"
LMN_CUDA_GRAPH=0 train launches || fail "without graphs"
same launches
train profiled --profile --trace-file "$work/trace.json" || fail "with a profile"
same profiled
grep -q 'kernel$' "$work/err" && grep -q '^MFU [0-9.]* %\|there is no MFU' "$work/err" || fail "the profile"
# Without an artifact of one's own.
if [ -x "${LMNC:-}" ]; then
  "$LMNC" train "$data/net.lmn" --random-weights --target "$target" --data "$data/train.csv" --validation "$data/dev.csv" \
    --prompt '{record}=' --completion '{sentence}' --steps 12 -o "$work/direct" > "$work/out" 2> "$work/err" || fail "lmnc train --target"
  same direct
fi
# Killed as soon as there is a checkpoint, which is written while the training goes on.
train killed & child=$!
while kill -0 $child 2> /dev/null && [ -z "$(ls "$work/killed/checkpoints" 2> /dev/null)" ]; do sleep 0.01; done
kill -9 $child 2> /dev/null
wait $child 2> /dev/null
train killed --resume || fail "goes on"
same killed
"$run" bench "$net" --mode train -B 4 -T 64 -n 3 > "$work/out" 2> "$work/err" || fail "bench"
grep -q '"device":"NVIDIA.*"device_bytes":[1-9]' "$work/out" || fail "bench says the device: $(cat "$work/out")"
