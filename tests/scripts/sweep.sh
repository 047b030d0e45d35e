#!/bin/sh
# A sweep of two points and two seeds: what it measures, its table and plots; killed and stopped, and gone on with; points that fail;
# settings that change; wrong options.
. "$LMN_TESTS/scripts/begin"
data=$LMN_TESTS/data/run

has() { grep -q -- "$2" "$work/$1" || fail "$1 has no $2: $(cat "$work/$1")"; }
# The network of data/run with a second param, and half the vocabulary of its settings left to the command line.
sed 's|param widths.*|&\n  param rate = 3e-3;|; s|lr = 3e-3|lr = rate|; s|"base"|"'"$data"'/base"|' "$data/net.lmn" > "$work/net.lmn"
start() { # folder, further options; ends in lmnc itself, so that in the background its number is that of lmnc
  folder=$1; shift
  exec "$LMNC" sweep "$work/net.lmn" --random-weights --data "$data/train.csv" --validation "$data/dev.csv" --prompt '{record} =>' \
    --completion ' {sentence}' --phase edges --steps 8 --save-every 3 --evaluate-every 2 -o "$work/$folder" "$@" 2> "$work/err"
}
sweep() { (start "$@"); }
two="-D widths=1/1,1/2/1 --seeds 2"
runs="widths=1-1/seed-0 widths=1-2-1/seed-0 widths=1-1/seed-1 widths=1-2-1/seed-1"
# The n-th number called NAME in the results' lines.
number() { sed -n "$3s/.*\"$2\": \\([-0-9.e]*\\).*/\\1/p" "$work/$1/results.jsonl"; }
close() { awk "BEGIN { d = $1 - $2; exit !(d < 1e-5 && d > -1e-5) }" || fail "$3: $1 is not $2"; }
without_times() { sed 's/"\(seconds\|tokens_per_second\|peak_bytes\)": [^,}]*//g; s/"folder": .*//' "$work/$1/results.jsonl"; }

# ---- an uninterrupted sweep ----------------------------------------------------------------------

sweep whole $two > "$work/out" || fail "the whole sweep"
says '^\[1/4\] widths=1/1, seed 0'
says '^\[4/4\] widths=1/2/1, seed 1; about .* left'
says 'tokens/s .* left, .* in all'
[ "$(wc -l < "$work/whole/results.jsonl")" = 4 ] || fail "four results"
for run in $runs; do
  [ -f "$work/whole/$run/parameters.safetensors" ] || fail "$run: no parameters"
  [ -d "$work/whole/$run/checkpoints" ] && fail "$run: its checkpoints are still there"
done
[ "$(number whole vertex_runs 1) $(number whole vertex_runs 2)" = "2 3" ] || fail "vertex runs"
[ "$(number whole steps 1)" = 8 ] || fail "steps"
# The loss is what eval says of the parameters, and the perplexity its exponential.
"$LMNC" eval "$work/net.lmn" -D widths=1/2/1 --random-weights --init "$work/whole/widths=1-2-1/seed-1/parameters.safetensors" \
  --data "$data/dev.csv" --prompt '{record} =>' --completion ' {sentence}' --json > "$work/eval" 2> "$work/err" || fail "eval"
loss=$(sed 's/.*"loss":\([-0-9.e]*\).*/\1/' "$work/eval")
close "$(number whole loss 4)" "$loss" "the loss"
close "$(number whole perplexity 4)" "$(awk "BEGIN { printf \"%.9g\", exp($loss) }")" "the perplexity"
# Half of an interval of two is 12.7062 times half of their difference.
"$LMNC" check "$work/net.lmn" > "$work/check" || fail "check"
half=$(awk "BEGIN { d = $(number whole loss 1) - $(number whole loss 3); printf \"%.9g\", 12.7062047 * (d < 0 ? -d : d) / 2 }")
mean=$(awk "BEGIN { printf \"%.9g\", ($(number whole loss 1) + $(number whole loss 3)) / 2 }")
shown=$(grep '^| 1/1 |' "$work/whole/table.md" | cut -d'|' -f4 | tr -d '* ')
close "${shown%±*}" "$(printf %.4f "$mean")" "the mean in the table"
close "${shown#*±}" "$(printf %.4f "$half")" "the interval in the table"
grep -q "| widths | seeds | loss | perplexity |" "$work/out" || fail "the table is printed: $(cat "$work/out")"
has whole/table.md '^| 1/2/1 | 2 |'
has whole/table.json '"best": "widths='
has whole/plot.svg "depth (layers of vertices)"
has whole/plot.svg "<title>1/1: $(printf %.4f "$mean") ± $(printf %.4f "$half")</title>"
[ "$(grep -c '<title>' "$work/whole/plot.svg")" = 2 ] || fail "two points in the plot"
[ "$(grep -c '<circle' "$work/whole/plot.svg")" = 4 ] || fail "four seeds in the plot"
has whole/curves.svg "validation loss"
[ "$(grep -c '<polyline' "$work/whole/curves.svg") $(grep -c '<polygon' "$work/whole/curves.svg")" = "2 2" ] || fail "two curves"

# ---- killed again and again ----------------------------------------------------------------------

grown=3 tries=0
lines() { cat "$work"/killed/*/*/log.jsonl 2> /dev/null | wc -l; }
while [ "$(cat "$work/killed/results.jsonl" 2> /dev/null | wc -l)" -lt 4 ]; do
  tries=$((tries + 1)); [ $tries -gt 30 ] && fail "does not come to an end"
  before=$(lines)
  start killed $two > /dev/null & child=$!
  while kill -0 $child 2> /dev/null && [ "$(lines)" -lt $((before + grown)) ]; do sleep 0.01; done
  kill -9 $child 2> /dev/null
  wait $child 2> /dev/null
  grown=$((grown + 2))
done
[ $tries -gt 2 ] || fail "was killed but $tries times"
sweep killed $two > /dev/null || fail "what is left after the last kill"
for run in $runs; do
  cmp "$work/whole/$run/parameters.safetensors" "$work/killed/$run/parameters.safetensors" || fail "$run: other parameters"
done
without_times whole > "$work/a"; without_times killed > "$work/b"
diff "$work/a" "$work/b" || fail "other results"
cmp "$work/whole/plot.svg" "$work/killed/plot.svg" && cmp "$work/whole/curves.svg" "$work/killed/curves.svg" || fail "other plots"

# Stopped politely: says how to go on.
start stopped $two > /dev/null & child=$!
while kill -0 $child 2> /dev/null && [ ! -s "$work/stopped/widths=1-1/seed-0/log.jsonl" ]; do sleep 0.01; done
kill -TERM $child 2> /dev/null
wait $child; code=$?
[ $code = 143 ] || fail "ends with 143, not $code"
says "sweep.*-D widths=1/1,1/2/1 --seeds 2"

# ---- gone on with --------------------------------------------------------------------------------

cp "$work/whole/widths=1-1/seed-0/result.json" "$work/before"
sweep whole -D widths=1/1,1/2/1,1/2 --seeds 2 --json > "$work/more" || fail "another point"
grep -q '^\[[0-9]*/6\] widths=1/1,' "$work/err" && fail "runs a finished point again"
has more '"point": "widths=1/2"'
cmp "$work/before" "$work/whole/widths=1-1/seed-0/result.json" || fail "a finished result has changed"
sweep whole $two --clip 0.5 > /dev/null && fail "other settings"
says "clip was not said, and is 0.5 now"
head -n 4 "$data/dev.csv" > "$work/dev.csv"
sweep whole $two --validation "$work/dev.csv" > /dev/null && fail "other data"
says "the content of --validation was"
sed -i 's/weight_decay = 0.01/weight_decay = 0.02/' "$work/net.lmn"
sweep whole $two > /dev/null && fail "another network"
says "the network's text was"

# ---- points that fail ----------------------------------------------------------------------------

sweep failing -D widths=1/1,1/0 -D rate=1e6,1e-3 --schedule constant --seeds 1 --steps 40 --save-every 1 --test "$data/dev.csv" > "$work/out"
code=$?
[ $code = 1 ] || fail "ends with 1, not $code"
says "^error: 3 of 4 trainings failed"
has failing/results.jsonl '"widths": "1/0".*"error": "error\[E'
has failing/results.jsonl '"rate": "1e6".*"error": ".*not finite'
has failing/table.md '^| 1/1 | 1e-3 | 1 | \*\*'
has failing/table.md '^| 1/1 | 1e6 | 0, 1 failed |'
has failing/table.md "the test data"
has failing/plot.svg "rate = 1e-3"
sweep failing -D widths=1/1,1/0 -D rate=1e6,1e-3 --schedule constant --seeds 1 --steps 40 --save-every 1 --test "$data/dev.csv" > "$work/out" && fail "fails again"
says "going on after step" # the failed one is tried again, from its checkpoint
[ "$(grep -c '^\[' "$work/err")" = 3 ] || fail "only what failed is tried again"

# ---- the list, and wrong options -----------------------------------------------------------------

sweep list $two --dry-run > "$work/out" || fail "the list"
[ -d "$work/list" ] && fail "--dry-run writes nothing"
grep -q "^widths=1/2/1 .* 3 .* 8 " "$work/out" || fail "the list: $(cat "$work/out")"
grep -q "^4 trainings (2 points, 2 seeds): about" "$work/out" || fail "the list's end: $(cat "$work/out")"
sweep list $two --dry-run --json > "$work/out" || fail "the list as JSON"
has out '"trained": '
# Validations count: 5 of them, 2 of them, 2 of them and the test's.
validations() { sweep list -D widths=1/1 --seeds 1 --dry-run --json "$@" | sed -n 's/.*"validation_flops": \([0-9.e+]*\).*/\1/p'; }
five=$(validations) two_of=$(validations --evaluate-every 8) three=$(validations --evaluate-every 8 --test "$data/dev.csv")
close "$(awk "BEGIN { print $five / $two_of }")" 2.5 "five validations to two"
close "$(awk "BEGIN { print $three / $two_of }")" 1.5 "two validations and a test to two"
printf 'record,sentence\na,b\n' > "$work/other.csv"
sweep list $two --dry-run --validation "$work/other.csv" --prompt '{recrod} =>' > "$work/out" && fail "--dry-run of a column that is not there"
has out 'widths=1/2/1 *cannot be trained: .*recrod'
wrong() { # message, options
  message=$1; shift
  sweep wrong "$@" > "$work/out" && fail "accepts $*"
  says "$message"
  [ -d "$work/wrong" ] && fail "$*: writes something"
}
wrong "nothing beside a comma" -D widths=1/1,,1/2
wrong "has 1/1 twice" -D widths=1/1,1/1
wrong "-D widths is given twice" -D widths=1/1 -D widths=1/2
wrong "did you mean\|close: .widths" -D width=1/1,1/2
wrong "--seeds x" -D widths=1/1 --seeds x
wrong "has 3 twice" --seeds 3,3
wrong "1 to 10000 seeds" --seeds 0
wrong "no phase" --phase nothing
"$LMNC" sweep "$work/net.lmn" --random-weights --data "$data/train.csv" -o "$work/wrong" 2> "$work/err" && fail "no validation"
says "give --validation FILE"
exit 0
