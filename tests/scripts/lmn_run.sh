#!/bin/sh
# An artifact, run by lmn-run and through the C API, gives what lmnc gives from the .lmn file.
. "$LMN_TESTS/scripts/begin"
data=$LMN_TESTS/data/run run=$LMN_BUILD/lmn-run net=$LMN_TESTS/data/run/net.lmn lmnx=$work/net.lmnx

ldd "$run" | grep -E 'LLVM|MLIR' && fail "lmn-run needs the compiler's libraries"
glibc='linux-vdso|ld-linux|lib(c|m|dl|pthread)\.so'
[ -z "$LMN_ALONE" ] || ! ldd "$run" | grep -vE "$glibc|lib(asan|ubsan|gcc_s|stdc\+\+)\.so" || fail "lmn-run needs more than glibc"
"$LMNC" compile "$net" --random-weights --rows 2 --capacity 128 -o "$lmnx" 2> "$work/err" || fail "compile"

settings="--data $data/train.csv --validation $data/dev.csv --prompt {record}= --completion {sentence} --evaluate-every 4 --clip 2"
"$LMNC" train "$net" --random-weights $settings -o "$work/a" > "$work/out" 2> "$work/err" || fail "lmnc train"
"$run" train "$lmnx" $settings -o "$work/b" > "$work/out" 2> "$work/err" || fail "lmn-run train"
cmp "$work/a/parameters.safetensors" "$work/b/parameters.safetensors" || fail "trains otherwise"

for program in "$LMNC" "$run"; do
  target=$lmnx; [ "$program" = "$LMNC" ] && target="$net --random-weights"
  "$program" eval $target --init "$work/a/parameters.safetensors" --data "$data/dev.csv" --prompt '{record}=' --completion '{sentence}' --json 2> "$work/err" || fail "eval"
  "$program" generate $target --init "$work/a/parameters.safetensors" --prompt 'who: Ada' --prompt 'who: Ben, what: a kite' --prompt Iris \
    --max-tokens 20 --special --json 2> "$work/err" || fail "generate"
done > "$work/both"
[ "$(wc -l < "$work/both")" = 8 ] || fail "one line a result"
head -n 4 "$work/both" > "$work/x"; tail -n 4 "$work/both" > "$work/y"
diff "$work/x" "$work/y" || fail "lmn-run and lmnc differ"

"$run" eval "$lmnx" -B 3 --data "$data/dev.csv" --prompt '{record}=' --completion '{sentence}' 2> "$work/err" && fail "a shape that is not there"
grep -q "evaluate:4x64" "$work/err" || fail "lists the shapes there are"
"$run" train "$lmnx" --optimizer 'adamw(lr = 1)' 2> "$work/err"; [ $? = 2 ] || fail "has no compiler's options"
"$run" bench "$lmnx" --mode decode -B 2 -T 128 -n 1 > "$work/bench" 2> "$work/err" || fail "bench"
grep -q '"mode":"decode"' "$work/bench" || fail "bench says its mode"
"$LMN_TOOLS/ten_lines" "$lmnx" "$work/a/parameters.safetensors" > "$work/token" 2> "$work/err" || fail "the program over the C API"
"$run" generate "$lmnx" --init "$work/a/parameters.safetensors" --ids --prompt '1 2 3' --max-tokens 1 > "$work/ids" 2> "$work/err"
[ -s "$work/ids" ] && [ "$(cat "$work/ids")" != "$(cat "$work/token")" ] && fail "the C API gives $(cat "$work/token"), lmn-run $(cat "$work/ids")"

# What is no artifact, or a broken one, is an error.
mkdir "$work/empty"
"$run" eval "$work/empty" --data x 2> "$work/err" && fail "an empty folder"
for part in plan.json kernels.so; do
  rm -rf "$work/broken"; cp -r "$lmnx" "$work/broken"
  head -c 1000 "$lmnx/$part" > "$work/broken/$part"
  "$run" generate "$work/broken" --ids --prompt 1 > "$work/out" 2> "$work/err"; [ $? = 1 ] || fail "a cut $part"
  grep -q "^error: .*$part" "$work/err" || fail "names $part"
done
exit 0
