#!/bin/sh
# The comparison that the golden tests stand on must fail where something differs: two references of different networks,
# a file that is no reference, and a file without the tensors.
set -eu
golden=$LMN_TESTS/golden
compare=$LMN_TOOLS/compare
"$compare" "$golden/single-qwen/expected.safetensors" "$golden/single-qwen/expected.safetensors" >/dev/null
for other in single-qwen/qwen/model.safetensors paper-121-qwen/expected.safetensors single-qwen/net.lmn; do
  if "$compare" "$golden/single-qwen/expected.safetensors" "$golden/$other" >/dev/null 2>&1; then
    echo "compare finds nothing wrong with $other"
    exit 1
  fi
done
# One number a little off: the last four bytes are the last element of the last tensor.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
file=$golden/single-qwen/expected.safetensors
size=$(wc -c <"$file")
{ head -c $((size - 4)) "$file" && printf '\377\377\177\100'; } >"$work/changed.safetensors"
if "$compare" "$file" "$work/changed.safetensors" >"$work/log"; then
  echo "compare does not see one changed number"
  exit 1
fi
grep -q '^FAIL ' "$work/log"
