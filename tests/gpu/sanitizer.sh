#!/bin/sh
# A network of tests/golden under each tool of compute-sanitizer: values of all nodes, gradients, one optimizer step,
# tokens. Argument: the case. Skipped where compute-sanitizer is not there.
prepare() { prepare_golden "$1"; }
. "$LMN_TESTS/gpu/begin"
command -v compute-sanitizer > /dev/null || { echo "skipped: compute-sanitizer is not there"; exit 77; }

# sanitize TOOL PRECISION CASE: its last line in $work/TOOL-PRECISION.
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
status=0
for tool in memcheck racecheck initcheck; do
  for precision in f32 bf16; do
    log=$work/$tool-$precision
    echo "$tool, $precision: $(tail -n 1 "$log")"
    [ "$(cat "$log.status")" = 0 ] && tail -n 1 "$log" | grep -q 'SUMMARY: 0 ' && continue
    head -n 40 "$log"
    status=1
  done
done
exit $status
