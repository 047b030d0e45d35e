#!/bin/sh
# lmn-run tune on the GPU here: every product of the trials gets tiles, what is found is kept beside what was there, and
# lmnc, where it is, compiles with it.
net=$LMN_TESTS/golden/rows-121-qwen/net.lmn
prepare() { [ "$target" != sm_90a ] || "$LMNC" tune "$net" -B 4 -T 32 --prepare "$made/trials.lmnx"; }
. "$LMN_TESTS/gpu/begin"
[ "$target" = sm_90a ] || { echo "skipped: tiles are of sm_90a"; exit 77; }
"$run" tune "$made/trials.lmnx" -o "$work/tiles.json" > "$work/table" 2> "$work/err" || fail "tune"
cat "$work/table"
products=$(sed -n 's/.*"name":"\([^"]*\): [^":]*".*/\1/p' "$made/trials.lmnx/plan.json" | sort -u | wc -l)
[ "$products" -ge 5 ] || fail "the trials have only $products products"
grep -q "tiles of $products products for NVIDIA" "$work/table" || fail "not the $products products of the trials"
[ "$(grep -c '"usual_us"' "$work/tiles.json")" = "$products" ] || fail "the file has other products"
"$run" tune "$made/trials.lmnx" -o "$work/tiles.json" --json > "$work/json" 2> "$work/err" || fail "tune, again"
grep -q '"ok":true' "$work/json" && [ "$(grep -c '"usual_us"' "$work/tiles.json")" = "$products" ] || fail "again: other products"
[ ! -x "${LMNC:-}" ] ||
  "$LMNC" compile "$net" --target sm_90a --tiles "$work/tiles.json" --for train -B 4 -T 32 -o "$work/net.lmnx" 2> "$work/err" ||
  fail "compile with the tiles"
