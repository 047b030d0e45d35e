#!/bin/sh
# A few networks drawn at random agree with themselves, each optimisation on and off, and with a plain reference; a pass
# or an optimizer that is wrong is found, its network made small. scripts/random-networks draws many.
set -e
. "$LMN_TESTS/scripts/begin"
program=$LMN_TOOLS/random_networks

"$program" "$work" --count "$([ -z "${LMN_GOLDEN_FEW:-}" ] && echo 3 || echo 1)" --seed 1 --quiet

# fails PASS SEED TEXT [option …]: with that pass broken the network of that seed fails, and the report has the text.
fails() {
  pass=$1 seed=$2 text=$3 status=0
  shift 3
  "$program" "$work" --count 1 --seed "$seed" --quiet --break "$pass" "$@" >"$work/log" || status=$?
  [ "$status" = 1 ] && grep -q "$text" "$work/log" && return
  echo "FAILED: --break $pass: exit status $status"
  cat "$work/log"
  exit 1
}
[ -z "${LMN_GOLDEN_FEW:-}" ] || exit 0 # what follows tests the test
fails fuse-edges 247 'times its bar' --no-shrink
fails update 1 'optimizer step of' --no-shrink
fails differentiate 69 'off its finite difference'
grep -q '^network drawn {' "$work/log" && grep -q -- '--net .*failed-69/net.lmn --seed 69 -B 1' "$work/log"
