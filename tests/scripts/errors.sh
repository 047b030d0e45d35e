# Every tests/errors/NAME.lmn must fail with exactly the text of NAME.expected. A first line "// lmnc check OPTIONS" gives the options.
# With LMN_UPDATE=1 the expected texts are written anew: read the difference before you commit it.
cd "$LMN_TESTS/errors" || exit 1
unset LMN_MODELS
export HF_HOME=/nowhere
unset HF_HUB_CACHE
status=0
count=0
actual=$(mktemp)
trap 'rm -f "$actual"' EXIT
for file in *.lmn; do
  name=${file%.lmn}
  options=$(sed -n '1s|^// lmnc check ||p' "$file")
  timeout 20 "$LMNC" check $options "$file" >"$actual" 2>&1
  code=$?
  [ -n "$LMN_UPDATE" ] && cp "$actual" "$name.expected"
  if [ $code -ne 1 ]; then
    echo "FAILED $name: exit status $code"
    status=1
  fi
  if ! diff -u "$name.expected" "$actual"; then
    echo "FAILED $name"
    status=1
  fi
  count=$((count + 1))
done
for code in $("$LMNC" --explain | sed -n 's/^  \(E[0-9]*\) .*/\1/p'); do
  case $code in E0001 | E0805) continue ;; esac # in test_frontend
  grep -q "^error\[$code\]" *.expected || { echo "FAILED: no test of $code"; status=1; }
done
[ $count -gt 50 ] || { echo "FAILED: only $count tests"; status=1; }
exit $status
