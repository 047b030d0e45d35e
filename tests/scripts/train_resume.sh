#!/bin/sh
# A training over two phases, on packed rows and accumulated batches, that is killed again and again and resumed each time ends with the
# bits of one that was left alone: parameters, log, and the last checkpoint.
. "$LMN_TESTS/scripts/begin"
data=$LMN_TESTS/data/run

start() { # folder, further options; ends in lmnc itself, so that in the background its number is that of lmnc
  folder=$1; shift
  exec "$LMNC" train "$data/net.lmn" --random-weights --data "$data/train.csv" --validation "$data/dev.csv" --prompt '{record} =>' \
    --completion ' {sentence}' --pack --accumulate 2 --steps 25 --save-every 7 --evaluate-every 10 -o "$work/$folder" "$@" 2> "$work/err"
}
train() { (start "$@"); }
without_times() { sed 's/, "tokens_per_second": [^,}]*//' "$work/$1/log.jsonl"; }
same() {
  cmp "$work/whole/parameters.safetensors" "$work/$1/parameters.safetensors" || fail "$1: other parameters"
  last=checkpoints/step-00000050
  for file in parameters optimizer; do
    cmp "$work/whole/$last/$file.safetensors" "$work/$1/$last/$file.safetensors" || fail "$1: another checkpoint"
  done
  grep -v '"seconds"\|"log_bytes"' "$work/whole/$last/state.json" > "$work/a"
  grep -v '"seconds"\|"log_bytes"' "$work/$1/$last/state.json" > "$work/b"
  diff "$work/a" "$work/b" || fail "$1: another state"
  without_times whole > "$work/a"; without_times "$1" > "$work/b"
  diff "$work/a" "$work/b" || fail "$1: another log"
}

train whole > "$work/out" || fail "the whole run"
grep -q "whole/parameters.safetensors" "$work/out" || fail "says where the parameters are"
[ "$(wc -l < "$work/whole/log.jsonl")" = 51 ] || fail "50 steps and a line before them: $(wc -l < "$work/whole/log.jsonl")"
[ "$(ls "$work/whole/checkpoints" | tr '\n' ' ')" = "step-00000046 step-00000050 " ] || fail "keeps two checkpoints: $(ls "$work/whole/checkpoints")"

# Killed each time the log has grown by some lines.
grown=5 tries=0
while [ ! -f "$work/killed/parameters.safetensors" ]; do
  tries=$((tries + 1)); [ $tries -gt 40 ] && fail "does not come to an end"
  lines=$(wc -l 2> /dev/null < "$work/killed/log.jsonl" || echo 0)
  start killed --resume > /dev/null & child=$!
  while kill -0 $child 2> /dev/null && [ "$(wc -l 2> /dev/null < "$work/killed/log.jsonl" || echo 0)" -lt $((lines + grown)) ]; do sleep 0.01; done
  kill -9 $child 2> /dev/null
  wait $child 2> /dev/null
  grown=$((grown + 4))
done
same killed

# Stopped politely: it saves, says how to go on, and goes on.
start stopped > /dev/null & child=$!
while kill -0 $child 2> /dev/null && [ "$(wc -l 2> /dev/null < "$work/stopped/log.jsonl" || echo 0)" -lt 4 ]; do sleep 0.01; done
kill -INT $child 2> /dev/null
wait $child; code=$?
[ $code = 130 ] || [ -f "$work/stopped/parameters.safetensors" ] || fail "an interrupt ends with 130, not $code"
[ $code = 130 ] && { grep -q -- "--resume" "$work/err" || fail "says how to go on"; }
train stopped --resume > /dev/null || fail "resumes after an interrupt"
same stopped

train whole > /dev/null && fail "a folder with a run is not trained into again"
grep -q -- "--resume" "$work/err" || fail "names --resume"
train whole --resume > "$work/out" || fail "resuming what is complete is fine"
train whole --resume --clip 0.5 > /dev/null && fail "other settings"
grep -q "clip was 1, and is 0.5 now" "$work/err" || fail "names the setting"
head -n 20 "$data/train.csv" > "$work/other.csv"
train whole --resume --data "$work/other.csv" > /dev/null && fail "other data"
grep -q "data" "$work/err" || fail "names the data"
train whole --resume -D widths=1/3/1 > /dev/null && fail "another network"
grep -q "another training" "$work/err" || fail "names the network"

exit 0
