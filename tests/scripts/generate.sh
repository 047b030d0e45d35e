#!/bin/sh
# Generation: each prompt of several as it is alone, streamed as in one piece, and the limits' messages.
. "$LMN_TESTS/scripts/begin"
net=$LMN_TESTS/data/run/net.lmn

generate() { "$LMNC" generate "$net" --random-weights --special --max-tokens 24 "$@" 2> "$work/err"; }

a='who: Ada, what: a kite' b='who' c='who: Hugo, what: the red boat, where: under the bridge, verb: sold =>'
for sampling in "--temperature 0" "--temperature 0.8 --top-k 40 --top-p 0.9 --seed 5"; do
  generate --json $sampling --prompt "$a" --prompt "$b" --prompt "$c" > "$work/together" || fail "three prompts"
  : > "$work/alone"
  for prompt in "$a" "$b" "$c"; do generate --json $sampling --prompt "$prompt" >> "$work/alone" || fail "one prompt"; done
  diff "$work/together" "$work/alone" || fail "several prompts at once differ from each alone ($sampling)"
done
generate --prompt "$a" > "$work/text" || fail "plain"
generate --json --prompt "$a" | sed 's/.*"text":"//; s/","prompt_ids".*//' > "$work/json"
[ -s "$work/text" ] || fail "no text"
printf '%s\n%s\n' "$a" "$b" > "$work/prompts"
generate --prompts "$work/prompts" --json > "$work/file" || fail "prompts from a file"
[ "$(wc -l < "$work/file")" = 2 ] || fail "one line a prompt"
generate --ids --prompt "5 6 7" > "$work/ids" || fail "ids"
[ "$(wc -w < "$work/ids")" -le 24 ] || fail "at most 24 ids"
generate --ids --prompt "5 320" && fail "an id outside the vocabulary"
grep -q "0 to 319" "$work/err" || fail "names the vocabulary"
generate --temperature -1 && fail "a negative temperature"
generate --prompts "$work/nothing" && fail "no such file"
generate --prompt x --max-tokens y && fail "a word for a number"
[ $? = 1 ] || true
exit 0
