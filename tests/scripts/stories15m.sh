#!/bin/sh
# A trained model from one end to the other: tokenizer, KV cache and detokenizer give the text that the program it was
# trained with gives.
set -eu
models=${LMN_TEST_DATA:-}/models/stories15m
[ -n "${LMN_TEST_DATA:-}" ] && [ -e "$models/model.safetensors" ] || exit 77
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
"$LMNC" generate "$LMN_SOURCE/examples/single.lmn" -D weights="$models" --max-tokens 255 >"$work/text"
# The reference program ends with a line feed of its own, and so does generate.
diff "$models/expected_greedy_n256.txt" "$work/text"
