#!/bin/sh
# What the compiler says about itself: summary --passes beside what compiling with those passes off gives, --time-passes.
set -e
. "$LMN_TESTS/scripts/begin"
cd "$work"
net=$LMN_TESTS/golden/code-14441-qwen/net.lmn


# field FILE KEY: the numbers of "KEY": N, one a line.
field() { sed -n "s/^ *\"$2\": \([0-9]*\),*\$/\1/p" "$1"; }

"$LMNC" summary "$net" -B 2 -T 8 --passes --json >passes.json
"$LMNC" summary "$net" -B 2 -T 8 --json >all.json
sed -n 's/^ *"pass": "\(.*\)",$/\1/p' passes.json >names
optional=$(grep -A 1 '"pass":' passes.json | grep -B 1 '"optimisation": true' | sed -n 's/.*"pass": "\(.*\)",/\1/p' | sort -u)
[ "$(wc -l <names)" -ge 10 ] || fail 'passes are missing'
options=
for pass in $optional; do options="$options --disable-pass $pass"; done
# shellcheck disable=SC2086
"$LMNC" summary "$net" -B 2 -T 8 $options --json >none.json
for key in launches flops arena_bytes vertex_runs; do
  # The summary's first entry is the training step; "before" the first pass is without any, "after" the last with all.
  first=$(field passes.json $key | head -n 1) last=$(field passes.json $key | tail -n 1)
  [ "$first" = "$(field none.json $key | head -n 1)" ] || fail "$key without passes: $first"
  [ "$last" = "$(field all.json $key | head -n 1)" ] || fail "$key with all passes: $last"
done
[ "$(field passes.json vertex_runs | head -n 1)" = 14 ] || fail 'vertex runs before'
[ "$(field passes.json vertex_runs | tail -n 1)" = 5 ] || fail 'vertex runs after'
# What a pass leaves is what the next one finds, and optimisations save launches and bytes.
for key in launches bytes; do
  field passes.json $key | sed 1d | sed '$d' | paste -d ' ' - - | while read -r after before; do
    [ "$after" = "$before" ] || fail "$key: $after, then $before"
  done
  [ "$(field passes.json $key | head -n 1)" -gt "$(field passes.json $key | tail -n 1)" ] || fail "$key are not fewer"
done
# A pass that is off changes nothing.
"$LMNC" summary "$net" -B 2 -T 8 --passes --disable-pass fuse-edges >off
grep -q '^fuse-edges  *off ' off || fail 'off'
for mode in edges evaluate decode prefill; do "$LMNC" summary "$net" -B 2 -T 8 --passes --mode $mode >$mode || fail $mode; done
grep -q '^extend:2x1:8, ' decode || fail 'decode'
if "$LMNC" summary "$net" --passes --mode fast 2>log || ! grep -q 'train, edges, evaluate, decode or prefill' log; then
  fail '--mode fast'
fi

# Every pass but those for GPUs, the verifier and the back end are in the table, on stderr and as JSON.
"$LMNC" compile "$net" --for train -B 2 -T 8 -o net.lmnx --time-passes 2>times
"$LMNC" compile "$net" --for train -B 2 -T 8 -o net.lmnx --time-passes --json >times.json
for name in $(sort -u names | grep -v -x 'fuse-rows\|fuse-activations\|ride-attention\|gather-sums') verification 'building the IR' 'plan.json and texts' "kernels' text"; do
  grep -q -e "$name" times || fail "no time of $name"
  grep -q -e "$name" times.json || fail "no time of $name as JSON"
done
grep -q '^all .*100.0 %$' times || fail 'no sum'
LMN_CACHE='' "$LMNC" compile "$net" --for train -B 2 -T 8 -o net.lmnx --time-passes 2>times
for name in LLVM link optimisation; do grep -q " $name " times || fail "no time of $name"; done
echo "$(wc -l <names) runs of passes"
