#!/bin/sh
# lmnc graph: the formats, where they go, and that the drawing in docs/ is what is drawn now.
set -e
. "$LMN_TESTS/scripts/begin"
net=$LMN_SOURCE/examples/code-14441.lmn
"$LMNC" graph "$net" --svg -o "$work/network.svg"
cmp "$work/network.svg" "$LMN_SOURCE/docs/network.svg" || fail "docs/network.svg is out of date"
"$LMNC" graph "$net" --format svg | cmp - "$work/network.svg" || fail "--format svg"
"$LMNC" graph "$net" | grep -q '^digraph "code" {' || fail "DOT"
"$LMNC" graph "$net" --format mermaid | grep -q '^flowchart LR' || fail "Mermaid"
"$LMNC" graph "$net" --format png 2>"$work/errors" && fail "an unknown format"
grep -q 'it must be dot, mermaid or svg' "$work/errors" || fail "no message about the format"
for net in "$LMN_SOURCE"/examples/*.lmn; do
  "$LMNC" graph "$net" --svg >"$work/one.svg"
  ! command -v xmllint >/dev/null || xmllint --noout "$work/one.svg" || fail "$net: no XML"
done
