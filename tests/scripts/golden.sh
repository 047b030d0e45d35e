#!/bin/sh
# Every network of tests/golden through `lmnc trace`, compared with the reference by tests/tools/compare: as it is, then
# with each optimisation off, then with all of them off. Arguments: names of cases; default: all.
# LMN_GOLDEN_FEW in the environment leaves out the runs with one pass off.
set -e
. "$LMN_TESTS/scripts/begin"
passes=$("$LMN_TESTS/scripts/optimisations")
optimizer='adamw(lr = 1e-3, betas = [0.9, 0.95], eps = 1e-8, weight_decay = 0.01, decay = all)'
failed=0

# trace CASE [option …]: one trace, one comparison.
trace() {
  case=$1 folder=$LMN_TESTS/golden/$1 init= greedy=
  shift
  [ ! -e "$folder/init.safetensors" ] || init="--init $folder/init.safetensors"
  head -c 65536 "$folder/expected.safetensors" | grep -aq '"greedy"' && greedy='--greedy 16'
  # shellcheck disable=SC2086  # the options are words
  "$LMNC" trace "$folder/net.lmn" $init --batch "$folder/expected.safetensors" --grad --steps 3 \
    --optimizer "$optimizer" $greedy "$@" -o "$work/trace.safetensors" >"$work/log" 2>&1 &&
    "$LMN_TOOLS/compare" "$folder/expected.safetensors" "$work/trace.safetensors" >>"$work/log" 2>&1 && return
  failed=$((failed + 1))
  echo "FAILED: $case $*"
  head -n 20 "$work/log"
}

if [ $# = 0 ]; then
  for folder in "$LMN_TESTS"/golden/*/; do set -- "$@" "$(basename "$folder")"; done
fi
for name; do
  trace "$name"
  echo "$name"
  sed 's/^/  /' "$work/log"
  all=
  for pass in $passes; do
    [ -n "${LMN_GOLDEN_FEW:-}" ] || trace "$name" --disable-pass "$pass"
    all="$all --disable-pass $pass"
  done
  for what in feed-forward layers-2; do trace "$name" --recompute $what; done
  # shellcheck disable=SC2086
  trace "$name" $all
done
[ "$failed" = 0 ]
