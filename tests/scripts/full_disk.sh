#!/bin/sh
# No room on the disk, folders that cannot be written: every command that writes says so in one clear error, leaves nothing
# half written behind, and what is only a cache stops nothing. A full disk is a small file system in memory, where one may be mounted;
# everything else runs anywhere.
. "$LMN_TESTS/scripts/begin"
export LMN_MODELS="$LMN_TESTS/golden/paper-121-gpt2"
data=$LMN_TESTS/data/run
cat > "$work/net.lmn" <<'END'
network n {
  model m = "gpt2";
  vertex v : m;
  input -> v [edge = linear];
  v -> output [edge = identity];
  train { phase a { freeze = models; steps = 3; batch = 2; length = 8; save_every = 1; } }
}
END

says() { grep -q -- "$1" "$work/err" || fail "$what does not say: $1"; }
# refused WHAT COMMAND …: it ends with 1 and one error.
refused() {
  what=$1; shift
  "$@" > "$work/out" 2> "$work/err"; code=$?
  [ $code = 1 ] || fail "$what ends with $code"
  [ "$(grep -c '^error: ' "$work/err")" = 1 ] || fail "$what: not one error"
}
compile() { "$LMNC" compile "$work/net.lmn" --for train "$@"; }
compile_in() { LMN_CACHE=$1 "$LMNC" compile "$work/net.lmn" --for evaluate -o "$work/uncached.lmnx" 2> "$work/err"; }
train() { "$LMNC" train "$data/net.lmn" --random-weights --data "$data/train.csv" --prompt '{record} =>' --completion ' {sentence}' "$@"; }

# ---- the same commands where there is no room: called again below, on a file system of 80 kB ----
if [ "${1:-}" = on-a-full-disk ]; then
  disk=$work/disk
  trap 'umount "$disk" 2> /dev/null; rm -rf "$work"' EXIT
  mkdir "$disk" && mount -t tmpfs -o size=80k none "$disk" 2> /dev/null || { rmdir "$disk"; exit 77; }
  no_room() { # WHAT FILE COMMAND …: the error names the file; nothing half written is there
    what=$1 file=$2; shift 2
    refused "$what" "$@"; says "$file"; says "No space left on device"
    find "$disk" -name '*.tmp.*' -o -name '*.old.*' -o -name '.writing' | grep . && fail "$what leaves these behind"
    find "$disk" -mindepth 1 -delete
  }
  fill() { dd if=/dev/zero of="$disk/full" bs=1k 2> /dev/null; }
  no_room "compile" "$disk/net.lmnx" compile -o "$disk/net.lmnx"
  no_room "export" "$disk/out/model.safetensors" "$LMNC" export "$work/net.lmn" -o "$disk/out"
  fill
  no_room "trace" "$disk/out.safetensors" "$LMNC" trace "$work/net.lmn" --batch "$LMN_TESTS/golden/paper-121-gpt2/expected.safetensors" -o "$disk/out.safetensors"
  no_room "train" "$disk/run" train -o "$disk/run" --save-every 1
  fill
  no_room "tokenizer" "$disk" "$LMNC" tokenizer "$data/text.txt" --vocabulary 300 -o "$disk/words"
  fill
  TMPDIR=$disk no_room "a temporary artifact" "$disk" train -o "$work/temporary"
  fill
  compile_in "$disk/cache" || fail "a full cache stops a compilation"
  exit 0
fi

# ---- folders that cannot be written ----
touch "$work/file"
refused "compile" compile -o "$work/file/net.lmnx"; says "$work/file"
refused "compile over a file" compile -o "$work/file"; says "$work/file"
refused "export" "$LMNC" export "$work/net.lmn" -o "$work/file/out"; says "$work/file"
refused "tokenizer" "$LMNC" tokenizer "$data/text.txt" --vocabulary 300 -o "$work/file/words"; says "$work/file"
refused "trace" "$LMNC" trace "$work/net.lmn" --batch "$LMN_TESTS/golden/paper-121-gpt2/expected.safetensors" -o "$work/none/out.safetensors"
says "$work/none/out.safetensors"
TMPDIR=$work/none refused "a temporary artifact" train -o "$work/run"; says "$work/none"; says "TMPDIR"
for cache in "$work/file/cache" /proc/none; do
  compile_in "$cache" || fail "a cache that cannot be written stops a compilation: $cache"
done
refused "a full standard output" sh -c '"$0" summary "$1" > /dev/full' "$LMNC" "$work/net.lmn"; says "standard output"

# ---- a full disk ----
unshare -rm true 2> /dev/null || { echo "no file system can be mounted here: a full disk was not tried"; exit 0; }
unshare -rm sh "$0" on-a-full-disk; code=$?
[ $code = 0 ] || [ $code = 77 ] || exit 1
exit 0
