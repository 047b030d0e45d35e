#!/bin/sh
# Training on each kind of data: completions, plain text, packed rows, classes; and what eval says of the result.
. "$LMN_TESTS/scripts/begin"
data=$LMN_TESTS/data/run

train() { # folder, network, further options
  folder=$1 net=$2; shift 2
  "$LMNC" train "$net" --random-weights -o "$work/$folder" --optimizer 'adamw(lr = 5e-3)' --json "$@" > "$work/$folder.json" 2> "$work/err" || fail "train $folder"
}
evaluate() { # folder, network, further options
  folder=$1 net=$2; shift 2
  "$LMNC" eval "$net" --random-weights --init "$work/$folder/parameters.safetensors" --json "$@" > "$work/eval.json" 2> "$work/err" || fail "eval $folder"
}
number() { sed "s/.*\"$1\":\\([-0-9.e]*\\).*/\\1/" "$2"; }
less() { awk "BEGIN { exit !($1 < $2) }" || fail "$3: $1 is not below $2"; }
close() { awk "BEGIN { d = $1 - $2; exit !(d < 1e-5 && d > -1e-5) }" || fail "$3: $1 is not $2"; }

# Completions: the loss falls, eval gives the trainer's validation loss, also in other batches and lengths.
rows="--prompt {record}= --completion {sentence}"
train rows "$data/net.lmn" --data "$data/train.csv" --validation "$data/dev.csv" $rows --steps 60
less "$(number validation_loss "$work/rows.json")" 4.5 "the validation loss after 120 steps"
evaluate rows "$data/net.lmn" --data "$data/dev.csv" $rows
close "$(number loss "$work/eval.json")" "$(number validation_loss "$work/rows.json")" "the loss that eval gives"
evaluate rows "$data/net.lmn" --data "$data/dev.csv" $rows -B 5 --length 80
close "$(number loss "$work/eval.json")" "$(number validation_loss "$work/rows.json")" "the loss in batches of 5 and rows of 80"
# Packed rows do not see each other: the same loss in fewer sequences.
evaluate rows "$data/net.lmn" --data "$data/dev.csv" $rows --pack -B 2 --length 128
close "$(number loss "$work/eval.json")" "$(number validation_loss "$work/rows.json")" "the loss of packed rows"
train packed "$data/net.lmn" --data "$data/train.csv" --validation "$data/dev.csv" $rows --pack --steps 20
less "$(number loss "$work/packed.json")" 5.2 "the loss of packed training"

# Plain text.
train text "$data/net.lmn" --data "$data/text.txt" --steps 40
less "$(number loss "$work/text.json")" 4.5 "the loss on text"
train column "$data/net.lmn" --data "$data/train.csv" --text sentence --epochs 2
[ "$(number steps "$work/column.json")" = 11 ] || fail "steps of the file are before epochs: $(cat "$work/column.json")"

# Classes: who did it.
sed 's/v\[-1\] -> output.*/v[-1] -> output [edge = identity]; output [head = classify(2)];/; s|"base"|"'"$data"'/base"|' "$data/net.lmn" > "$work/class.lmn"
awk -F'"' 'NR == 1 { print "record,class"; next } { print "\"" $2 "\"," ($2 ~ /found|lost/ ? "A" : "B") }' "$data/train.csv" > "$work/class.csv"
train class "$work/class.lmn" --data "$work/class.csv" --validation "$work/class.csv" --prompt '{record}' --completion '{class}' --steps 120
evaluate class "$work/class.lmn" --data "$work/class.csv" --prompt '{record}' --completion '{class}'
less 0.8 "$(number accuracy "$work/eval.json")" "accuracy on what was learnt"
less "$(number loss "$work/eval.json")" 0.6 "loss on what was learnt"
exit 0
