#!/bin/sh
# lmnc man: pages without a warning of man, groff or mandoc (those that are installed), with every option; and what
# cmake --install puts where.
set -e
. "$LMN_TESTS/scripts/begin"
"$LMNC" man all -o "$work/man"
"$LMNC" --help | sed -n '/^commands/,/^$/s/^  \([a-z]*\) .*/\1/p' >"$work/names"
while read -r name; do
  page=$work/man/lmnc-$name.1
  "$LMNC" man "$name" | cmp - "$page" || fail "$name: printed and written differ"
  for option in $("$LMNC" "$name" --help | sed -n 's/^  .*--\([a-z-]*\).*/\1/p' | sed 's/-/\\\\-/g'); do
    grep -q "^\\(.*, \\)*\\\\fB\\\\-\\\\-$option\\\\fR" "$page" || fail "$name: no --$option"
  done
done <"$work/names"
[ "$(ls "$work/man" | wc -l)" = $(($(wc -l <"$work/names") + 2)) ] || fail "pages are missing"
for page in "$work"/man/*.1; do
  if command -v man >/dev/null && command -v groff >/dev/null; then
    LC_ALL=C.UTF-8 MANROFFSEQ='' man --warnings -E UTF-8 -l -Tutf8 -Z "$page" >/dev/null 2>"$work/warnings" || fail "man $page"
    [ ! -s "$work/warnings" ] || fail "$page: $(cat "$work/warnings")"
  fi
  if command -v groff >/dev/null; then
    groff -man -ww -z "$page" 2>"$work/warnings" || fail "groff $page"
    [ ! -s "$work/warnings" ] || fail "$page: $(cat "$work/warnings")"
  fi
  if command -v mandoc >/dev/null; then
    mandoc -T lint -W warning "$page" | grep -v 'missing date' >"$work/warnings" || true
    [ ! -s "$work/warnings" ] || fail "$(cat "$work/warnings")"
  fi
done
"$LMNC" man nothing 2>"$work/errors" && fail "an unknown page"
grep -q 'there is no page "nothing"' "$work/errors" || fail "no message about the page"

cmake --install "$LMN_BUILD" --prefix "$work/usr" >/dev/null
cd "$work/usr"
for file in bin/lmnc bin/lmn-run share/man/man1/lmnc.1 share/man/man1/lmn-run.1 share/man/man1/lmnc-train.1 \
  share/bash-completion/completions/lmnc share/zsh/site-functions/_lmnc share/fish/vendor_completions.d/lmnc.fish; do
  [ -s $file ] || fail "$file is not installed"
done
cmp share/man/man1/lmnc-train.1 "$work/man/lmnc-train.1" || fail "the installed page is old"
[ "$(bin/lmnc --version)" = "$("$LMNC" --version)" ] || fail "the installed lmnc does not run"
