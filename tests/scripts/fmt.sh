#!/bin/sh
# lmnc fmt as a program: what it writes, what it leaves alone, what it says.
set -e
. "$LMN_TESTS/scripts/begin"

# The networks of this repository are formatted.
"$LMNC" fmt --check "$LMN_SOURCE"/examples/*.lmn "$LMN_SOURCE"/examples/demo/*.lmn "$LMN_TESTS"/golden/*/net.lmn

cd "$work"
# So are those in the documents: ```lmn … ```, but for pieces of networks.
awk '/^```lmn$/ { file = "doc" ++n ".lmn"; next } /^```$/ { file = "" } file { print > file }' \
  "$LMN_SOURCE/README.md" "$LMN_SOURCE"/docs/*.md
count=0
for file in doc*.lmn; do
  ! grep -q '^network ' "$file" || { "$LMNC" fmt --check "$file" && count=$((count + 1)); }
done
[ $count -ge 2 ] || fail "only $count networks in the documents"
rm doc*.lmn
printf 'network n {\nmodel m="x"; // why\nvertex v:m;\ninput->v->output;\n}' >net.lmn
cat >expected.lmn <<'END'
network n {
  model  m = "x";                            // why
  vertex v : m;
  input -> v -> output;
}
END
cp net.lmn before.lmn
"$LMNC" fmt --check net.lmn >shown && fail "--check must fail"
cmp net.lmn before.lmn || fail "--check wrote"
grep -q '^+++ net.lmn (formatted)$' shown && grep -q '^-vertex v:m;$' shown && grep -q '^+  vertex v : m;$' shown ||
  fail "--check shows no difference"
"$LMNC" fmt - <net.lmn >piped || fail "standard input"
cmp piped expected.lmn || fail "standard output"

# In place, behind a link, with its mode; several files; nothing is left beside them.
chmod 640 net.lmn
ln -s net.lmn link.lmn
"$LMNC" fmt link.lmn expected.lmn >shown 2>&1
[ ! -s shown ] || fail "fmt says something"
cmp net.lmn expected.lmn || fail "in place"
[ -L link.lmn ] || fail "the link is gone"
[ "$(stat -c %a net.lmn)" = 640 ] || fail "another mode"
"$LMNC" fmt --check net.lmn - <net.lmn || fail "a formatted file must pass"
inode=$(stat -c %i net.lmn)
"$LMNC" fmt net.lmn
[ "$(stat -c %i net.lmn)" = "$inode" ] || fail "a formatted file was written"
[ "$(ls)" = "$(printf 'before.lmn\nexpected.lmn\nlink.lmn\nnet.lmn\npiped\nshown')" ] || fail "files are left: $(ls)"

# What does not parse stays as it is, with the usual errors; the other files are formatted.
for file in "$LMN_TESTS"/errors/syntax_*.lmn "$LMN_TESTS"/errors/comment_not_closed.lmn; do
  cp "$file" broken.lmn
  "$LMNC" fmt broken.lmn before.lmn 2>errors && fail "$file is formatted"
  cmp "$file" broken.lmn || fail "$file was changed"
  grep -q '^error\[E[0-9]*\]: ' errors && grep -q '^ *--> broken.lmn:[0-9]*:[0-9]*$' errors || fail "$file: no error"
done
cmp before.lmn expected.lmn || fail "a file behind a broken one"
"$LMNC" fmt - <broken.lmn >out 2>/dev/null && fail "broken standard input"
[ ! -s out ] || fail "output of broken input"
"$LMNC" fmt missing.lmn 2>errors && fail "a missing file"
grep -q 'missing.lmn: cannot be opened' errors || fail "no message about a missing file"
