#!/bin/sh
# lmnc completion: what bash offers, through the function itself; zsh and fish where they are installed.
set -e
. "$LMN_TESTS/scripts/begin"
for shell in bash zsh fish; do "$LMNC" completion $shell >"$work/$shell"; done
"$LMNC" completion tcsh 2>"$work/errors" && fail "an unknown shell"
grep -q 'bash, zsh or fish' "$work/errors" || fail "no message about the shell"

cat >"$work/complete" <<'END'
source "$1/bash" || exit 1
cd "$1" || exit 1
mkdir folder 'a folder'
printf 'network n {\n  param widths = [1];\n  param depth=2;\n}\n' >net.lmn
touch data.csv
# expect "WHAT" WORD … : what is offered for the last word.
expect() {
  local wanted=$1
  shift
  COMP_WORDS=(lmnc "$@") COMP_CWORD=$# COMPREPLY=()
  _lmnc
  local got=$(printf '%s\n' "${COMPREPLY[@]}" | sort | tr '\n' ' ')
  [[ $got == "$wanted " ]] || { echo "FAILED: lmnc $*: offers \"$got\", not \"$wanted\""; exit 1; }
}
expect 'check compile completion' c
expect 'tokenizer trace train tune' t
expect '--explain' --e
expect 'E0107' --explain E0107
expect '--validation' train --v
expect '--data --define --device --disable-pass' train net.lmn --d
expect '--optimizer --output' train net.lmn --o
expect 'a folder folder net.lmn' check ''
expect 'net.lmn' check n
expect 'data.csv' train net.lmn --data d
expect 'a folder folder' train net.lmn -o ''
expect 'depth= widths=' check net.lmn -D ''
expect 'widths=' check net.lmn --define w
expect 'mermaid' graph --format m
expect 'reuse-masks' bench net.lmn --disable-pass reu
expect 'lower-lmn lower-nn' compile net.lmn --print-after low
expect 'bash fish zsh' completion ''
expect 'generate graph' man g
expect '' train net.lmn --steps ''
expect '' nothing --d
for command in $(compgen -W "$(cat names)"); do
  COMP_WORDS=(lmnc "$command" --hel) COMP_CWORD=2 COMPREPLY=()
  _lmnc
  [[ ${COMPREPLY[*]} == --help ]] || { echo "FAILED: $command is not completed"; exit 1; }
done
END
"$LMNC" --help | sed -n '/^commands/,/^$/s/^  \([a-z]*\) .*/\1/p' >"$work/names"
[ "$(wc -l <"$work/names")" -ge 14 ] || fail "commands are missing in --help"
if command -v bash >/dev/null; then bash "$work/complete" "$work" || fail "what bash offers"; fi

# Every option of every command's --help is in each of the scripts.
while read -r name; do
  for option in $("$LMNC" "$name" --help | sed -n 's/^  .*--\([a-z-]*\).*/\1/p' | sort -u); do
    for shell in bash zsh; do grep -q -e "--$option\b" "$work/$shell" || fail "$shell: $name --$option"; done
    [ "$option" = help ] || grep -q "from $name' -l $option\b" "$work/fish" || grep -q "l $option\b" "$work/fish" ||
      fail "fish: $name --$option"
  done
done <"$work/names"
if command -v zsh >/dev/null; then
  zsh -n "$work/zsh" || fail "zsh does not read it"
fi
if command -v fish >/dev/null; then
  HOME=$work fish -c "source $work/fish; complete -C 'lmnc gra'" | grep -q '^graph' || fail "fish: graph"
  HOME=$work fish -c "source $work/fish; complete -C 'lmnc graph --format m'" | grep -q '^mermaid' || fail "fish: mermaid"
fi
