#!/bin/sh
# lmnc graph: the formats, where they go, and that the drawing in docs/ is what is drawn now.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
net=$LMN_SOURCE/examples/code-14441.lmn
wrong() {
  echo "FAILED: $*"
  exit 1
}
"$LMNC" graph "$net" --svg -o "$work/network.svg"
cmp "$work/network.svg" "$LMN_SOURCE/docs/network.svg" || wrong "docs/network.svg is out of date"
"$LMNC" graph "$net" --format svg | cmp - "$work/network.svg" || wrong "--format svg"
"$LMNC" graph "$net" | grep -q '^digraph "code" {' || wrong "DOT"
"$LMNC" graph "$net" --format mermaid | grep -q '^flowchart LR' || wrong "Mermaid"
"$LMNC" graph "$net" --format png 2>"$work/errors" && wrong "an unknown format"
grep -q 'it must be dot, mermaid or svg' "$work/errors" || wrong "no message about the format"
for net in "$LMN_SOURCE"/examples/*.lmn; do
  "$LMNC" graph "$net" --svg >"$work/one.svg"
  ! command -v xmllint >/dev/null || xmllint --noout "$work/one.svg" || wrong "$net: no XML"
done
