#!/bin/sh
# What sharing comes to, counted in the plan: runs of vertices, masks, and launches of a 4 → 4 frontier, which are as many
# as those of a 1 → 1 frontier.
set -eu
export LMN_MODELS="$LMN_SOURCE/examples/models"
failed=0

# plan NET OPTION …: the plan of a training step of each phase.
plan() {
  net=$LMN_SOURCE/examples/$1.lmn
  shift
  "$LMNC" compile "$net" --random-weights --emit plan --for train -B 1 -T 8 "$@"
}

same() { # WHAT EXPECTED ACTUAL
  [ "$2" = "$3" ] && return
  echo "FAILED: $1: expected $2, got $3"
  failed=1
}

# counts EXPECTED NET OPTION …: "runs vertices masks uses" of the first entry.
counts() {
  expected=$1
  shift
  got=
  plan "$@" >"$work"
  for name in vertex_runs vertices masks mask_uses; do
    got="$got $(grep -o "\"$name\":[0-9]*" "$work" | head -n 1 | grep -o '[0-9]*$')"
  done
  same "$*" "$expected" "${got# }"
}
work=$(mktemp)
trap 'rm -f "$work"' EXIT INT TERM

counts '5 14 1 55' code-14441 -D weights=models/stories15m
counts '5 14 1 55' code-14441 -D weights=models/stories15m --pack
same 'boundaries of packed sequences' 1 "$(grep -o '"name":"starts"' "$work" | sort -u | wc -l)"
counts '3 12 1 20' ring
counts '2 6 1 9' paths
counts '3 4 1 4' mixed
counts '5 9 1 9' residual

# launches NET WIDTHS OPTION …: of the training step.
launches() {
  net=$1 widths=$2
  shift 2
  plan "$net" -D widths="$widths" "$@" | grep -o '"args":' | wc -l
}
for freeze in '[]' models; do
  for net in peer 'paper-14441'; do
    weights='-D weights=models/stories15m'
    # shellcheck disable=SC2086
    same "launches of $net, freeze $freeze" "$(launches $net 1/1/1/1/1 $weights --freeze "$freeze")" \
      "$(launches $net 1/4/4/4/1 $weights --freeze "$freeze")"
  done
done
[ "$failed" = 0 ]
