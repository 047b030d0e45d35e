#!/bin/sh
# A network of tests/golden under each tool of compute-sanitizer: values of all nodes, gradients, one optimizer step,
# tokens. Argument: the case. Skipped where compute-sanitizer is not there.
prepare() { prepare_golden "$1"; }
. "$LMN_TESTS/gpu/begin"
command -v compute-sanitizer > /dev/null || { echo "skipped: compute-sanitizer is not there"; exit 77; }

# sanitize TOOL PRECISION CASE: what it says in $work/TOOL-PRECISION.
sanitize() {
  folder=$made/golden-$2/cases/$3 options=
  [ ! -e "$folder/init.safetensors" ] || options="--init $folder/init.safetensors"
  head -c 65536 "$folder/expected.safetensors" | grep -aq '"greedy"' && options="$options --greedy 1"
  # shellcheck disable=SC2086  # the options are words
  LMN_MODELS=$folder LMN_CUDA_GRAPH=0 compute-sanitizer --tool "$1" --error-exitcode 9 "$run" trace "$folder/net.lmnx" \
    --batch "$folder/expected.safetensors" --grad --steps 1 $options -o "$work/$1-$2.safetensors" > "$work/$1-$2" 2>&1
  echo $? > "$work/$1-$2.status"
}
for tool in memcheck racecheck initcheck; do
  for precision in f32 bf16; do sanitize $tool $precision "$1" & done
done
wait
# what_failed LOG: what the program itself says, then every kind of complaint once with how often, then the first whole.
what_failed() {
  grep -v '^=========' "$1" | tail -n 5
  grep -E '^========= [A-Z]' "$1" | grep -Ev 'COMPUTE-SANITIZER|Host Frame|SUMMARY|Saved host' |
    sed -E 's/^========= //; s/0x[0-9a-f]+/0x…/g; s/\([0-9]+,[0-9]+,[0-9]+\)/(…)/g' | sort | uniq -c | sort -rn | head -n 10
  sed -n '/^========= [A-Z]/,/^========= *$/p; /^========= *$/q' "$1" | grep -Ev 'COMPUTE-SANITIZER|Host Frame' | head -n 12
}

status=0
for tool in memcheck racecheck initcheck; do
  for precision in f32 bf16; do
    log=$work/$tool-$precision
    summary=$(grep 'SUMMARY: ' "$log" | tail -n 1)
    echo "$tool, $precision: ${summary:-no summary: it did not run to its end}"
    [ "$(cat "$log.status")" = 0 ] && case $summary in *'SUMMARY: 0 '*) continue ;; esac
    echo "FAILED: $tool, $precision, exit status $(cat "$log.status")"
    what_failed "$log"
    status=1
  done
done
exit $status
