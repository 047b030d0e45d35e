#!/bin/sh
# --from=LEVEL on what --emit=LEVEL printed gives the artifact that the .lmn file gives, byte for byte, on every golden
# network (under sanitizers two); a text that is broken gives an error with its file and line; a pass that fails leaves a file that shows it.
set -e
. "$LMN_TESTS/scripts/begin"
TMPDIR=$work
export TMPDIR
cd "$work"


# same NET LEVEL KINDS [option …]
same() {
  net=$1 level=$2 kinds=$3
  shift 3
  "$LMNC" compile "$net" --for "$kinds" "$@" --emit="$level" >"$level.mlir"
  rm -rf level.lmnx
  "$LMNC" compile --from="$level" "$level.mlir" -o level.lmnx 2>log || { cat log; fail "$net --from=$level"; }
  diff -r direct.lmnx level.lmnx >log || { head -c 500 log; fail "$net --from=$level differs"; }
}

for folder in "$LMN_TESTS"/golden/*/; do
  case ${LMN_GOLDEN_FEW:+few}$folder in few*/mixed-llama-gpt2/ | few*/classify-121-qwen/) ;; few*) continue ;; esac
  kinds=train,evaluate,generate
  ! grep -q 'classify' "$folder/net.lmn" || kinds=train,evaluate
  rm -rf direct.lmnx
  "$LMNC" compile "$folder/net.lmn" --for $kinds -B 2 -T 8 --capacity 8 -o direct.lmnx 2>log
  for level in lmn nn kernel mlir; do same "$folder/net.lmn" $level $kinds -B 2 -T 8 --capacity 8; done
done

# What the backward pass remakes is in the text, whether it was asked for or a limit made it so.
single=$LMN_TESTS/golden/single-qwen/net.lmn
for remade in '--recompute=layers' '--memory-limit=500K'; do
  "$LMNC" compile "$single" --for train -B 2 -T 8 $remade -o direct.lmnx 2>log ||
    { cat log; fail "$remade"; }
  grep -q '"recompute":"' direct.lmnx/plan.json || fail "$remade remakes nothing"
  for level in lmn kernel; do same "$single" $level train -B 2 -T 8 $remade; done
done

# What the command line says is in the text too: defines, settings, packed rows, random weights; the model's folder need
# not be found again.
mkdir models models/m
cp "$LMN_TESTS/golden/paper-121-qwen/qwen/config.json" models/m/
cat >net.lmn <<'NET'
network odd {
  param widths = [1, 1]; // "quotes", \ and a tab	here

  model  m = "m";
  vertex v[widths] : m;
  default edge = decoder_layer;
  input -> v[0] [edge = identity];
  for l in 1..len(v) { v[l - 1] -> v[l]; }
  v[-1] -> output [edge = identity];
  train { batch = 2; length = 8; phase one { prompt = "a\n\\b"; } phase two { freeze = models; } }
NET
printf '}' >>net.lmn # no newline at the end
LMN_MODELS=$work/models
export LMN_MODELS
options='--random-weights --pack -D widths=1/3/1 --freeze m'
# shellcheck disable=SC2086
"$LMNC" compile net.lmn --for train,evaluate,trace $options -o direct.lmnx 2>log || { cat log; fail "the odd network"; }
for level in lmn nn kernel mlir; do
  # shellcheck disable=SC2086
  same net.lmn $level train,evaluate,trace $options
done
cmp net.lmn level.lmnx/net.lmn
unset LMN_MODELS
for level in lmn mlir; do
  "$LMNC" compile --from=$level $level.mlir -o level.lmnx 2>log || { cat log; fail "without LMN_MODELS"; }
done
# One level after the other.
"$LMNC" compile --from=lmn lmn.mlir --emit=nn >again.mlir
cmp nn.mlir again.mlir
"$LMNC" compile --from=nn nn.mlir --emit=mlir >again.mlir
cmp mlir.mlir again.mlir

# refuses LEVEL TEXT PART SED-SCRIPT: the text changed so is an error that contains PART.
refuses() {
  sed "$4" "$2" >broken.mlir
  ! cmp -s "$2" broken.mlir || fail "nothing changed: $4"
  if "$LMNC" compile --from="$1" broken.mlir -o broken.lmnx >log 2>&1; then fail "accepted: $4"; fi
  grep -q "$3" log || { cat log; fail "no \`$3\`: $4"; }
  [ ! -e broken.lmnx ] || fail "an artifact in spite of: $4"
}
refuses nn nn.mlir 'broken.mlir:1: this is no text that' 1d
refuses nn nn.mlir 'broken.mlir:1: lmnc 9.9 printed this' '1s/lmnc [^ ]*/lmnc 9.9/'
refuses lmn nn.mlir 'broken.mlir:1: this stands at nn: use --from=nn' '2s/$/ /'
refuses nn nn.mlir 'broken.mlir:2: the header does not know' '2s/file/fil/'
refuses nn nn.mlir 'no line `// file`' 2d
refuses nn nn.mlir 'broken.mlir:3: a text in quotes' '3s/".*//'
refuses nn nn.mlir 'no line `// entry`' '/^.. entry/,$d'
refuses nn nn.mlir 'there is no model directory' 's/^\(.. model "m" \).*/\1"\/nowhere"/'
refuses nn nn.mlir 'lmn:[0-9]*:[0-9]*: nn.linear' 's/"nn.linear"\(.*\)groups = 1/"nn.linear"\1groups = 7/'
refuses nn nn.mlir 'broken.mlir:[0-9]*:[0-9]*: ' 's/"nn.linear"(%[0-9]*/"nn.linear"(%nothing/'
refuses nn nn.mlir 'no such parameter' 's/names = \["m.model/names = ["n.model/'
refuses lmn lmn.mlir 'no such model, node, arrow' 's/nodes = array<i64: 1>/nodes = array<i64: 99>/'
refuses lmn lmn.mlir 'needs an integer attribute lmn.batch' 's/lmn.batch/lmn.bitch/'
refuses kernel kernel.mlir 'no such body' 's/epilogue = @/epilogue = @no/'
refuses kernel kernel.mlir 'needs places' 's/places = array<i64: [^>]*>, //'
refuses mlir mlir.mlir 'broken.mlir:[0-9]*:[0-9]*: ' 's/arith.constant 0/arith.konstant 0/'
refuses mlir mlir.mlir 'broken.mlir.*format' 's/"format":3/"format":99/'
refuses mlir mlir.mlir 'broken.mlir:[0-9]*' '$d'
for option in '-D n=1' '-B 4' '--for train' --pack; do
  # shellcheck disable=SC2086
  if "$LMNC" compile --from=nn nn.mlir $option >log 2>&1 || ! grep -q 'does not go with --from' log; then fail "$option"; fi
done
if "$LMNC" compile --from=graph nn.mlir >log 2>&1 || ! grep -q 'lmn, nn, kernel or mlir' log; then fail '--from=graph'; fi
if "$LMNC" compile --from=nn nn.mlir --emit=lmn >log 2>&1 || ! grep -q 'stands before' log; then fail 'backwards'; fi

# A pass that fails: its entry as it was before is written, with the command that goes on from there, which fails likewise.
sed '/lmn.loss/d; /lmn.output/d' lmn.mlir >broken.mlir
mkdir "a folder's"
if TMPDIR="$work/a folder's" "$LMNC" compile --from=lmn broken.mlir --disable-pass cse >log 2>&1; then fail 'a training step without a loss'; fi
file=$(echo "a folder's"/lmnc-reproducer-*.mlir)
case $file in "a folder's"/lmnc-reproducer-differentiate-*.mlir) ;; *) fail "the reproducer is $file" ;; esac
grep -q "pass differentiate: .*needs one loss" log || fail 'no cause'
head -n 1 "$file" | grep -q '^// lmnc .* at lmn before step [0-9]* differentiate$' || fail 'no step'
grep -q '^// note pass differentiate: ' "$file" || fail 'no note'
command=$(sed -n 's/^    lmnc //p' log)
[ "$command" = "compile --from=lmn --disable-pass=cse '$work/a folder'\\''s/${file#*/}'" ] || fail "the command is $command"
if eval "\"\$LMNC\" $command" >again 2>&1; then fail 'the reproducer does not fail'; fi
grep -q "pass differentiate: .*needs one loss" again || fail 'the reproducer fails otherwise'
[ "$(echo lmnc-reproducer-*)" = 'lmnc-reproducer-*' ] || fail 'a reproducer of a reproducer'
sed '1s/step [0-9]*/step 3/' "$file" >broken.mlir
if "$LMNC" compile --from=lmn broken.mlir >log 2>&1 || ! grep -q 'step 3 of the passes is not differentiate' log; then
  fail 'a step of another pass'
fi

echo "$(ls "$LMN_TESTS"/golden | wc -l) networks and an odd one, from four levels"
