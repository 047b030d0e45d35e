#!/bin/sh
# What may go wrong around a training: no room on the disk, folders that cannot be written, losses that are not finite, data that fit not.
# Each is one clear error, and the last checkpoint stays whole.
. "$LMN_TESTS/scripts/begin"
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
data=$LMN_TESTS/data/run

train() { # folder, further options
  folder=$1; shift
  "$LMNC" train "$data/net.lmn" --random-weights --data "$data/train.csv" --prompt '{record} =>' --completion ' {sentence}' \
    -o "$work/$folder" "$@" > "$work/out" 2> "$work/err"
}
errors() { [ "$(grep -c '^error: ' "$work/err")" = 1 ] || fail "not one error"; }

# Files of more than 400 kB are refused: there is room for the compiled network, but none for a checkpoint, as on a full disk.
(ulimit -f 800; train full --save-every 2) && fail "trains without room for a checkpoint"
errors; says "cannot be written"; says "phase edges, step"
[ -z "$(ls -A "$work/full/checkpoints")" ] || fail "leaves half a checkpoint behind"
train full --save-every 2 --resume || fail "goes on when there is room"

# A checkpoint is there, then there is no room for the next.
train later --phase edges --save-every 2 --steps 4 || fail "four steps"
cp -r "$work/later" "$work/again" && rm -r "$work/again/checkpoints/step-00000004" "$work/again/parameters.safetensors"
(ulimit -f 800; train again --phase edges --save-every 2 --steps 4 --resume) && fail "saves without room"
errors; says "the last checkpoint is .*step-00000002"
diff -r "$work/later/checkpoints/step-00000002" "$work/again/checkpoints/step-00000002" || fail "the checkpoint has changed"
train again --phase edges --save-every 2 --steps 4 --resume || fail "goes on when there is room"
cmp "$work/later/parameters.safetensors" "$work/again/parameters.safetensors" || fail "another result"

train finite --optimizer 'adamw(lr = 1e6)' --schedule constant --steps 40 --save-every 1 && fail "trains on with a loss that is not finite"
errors; says "not finite"; says "learning rate"; says "the last checkpoint is"

train nothing --data "$work/none.csv" && fail "no such data"
says "none.csv"
train column --prompt '{nothing}' && fail "no such column"
says "nothing"
train phase --phase edgs && fail "no such phase"
says "edges"
touch "$work/file"
train file/run && fail "a file is no folder"
errors
"$LMNC" train "$data/net.lmn" --random-weights -o "$work/none" 2> "$work/err" && fail "no data"
says "--data"
exit 0
