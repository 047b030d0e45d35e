#!/bin/sh
# A few networks drawn at random agree with themselves, each optimisation on and off, and with a plain reference; a pass
# that is wrong is found, its network made small. scripts/random-networks draws many.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
program=$LMN_TOOLS/random_networks

"$program" "$work" --count 4 --seed 1 --quiet

# fails PASS TEXT: with that pass broken the first network fails, and the report has the text.
fails() {
  status=0
  "$program" "$work" --count 1 --seed "$2" --quiet --break "$1" >"$work/log" || status=$?
  [ "$status" = 1 ] && grep -q "$3" "$work/log" && grep -q '^network drawn {' "$work/log" &&
    grep -q -- '--net .*failed-' "$work/log" && return
  echo "FAILED: --break $1: exit status $status"
  cat "$work/log"
  exit 1
}
fails differentiate 1 'off its finite difference'
fails fuse-edges 3 'times its bar'
