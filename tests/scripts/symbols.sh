#!/bin/sh
# Neither program has a function that a library it loads later, NVRTC or the driver, would call instead of one of the C
# library's with the same name. What they may export are copies of glibc's variables, which have its version.
set -e
. "$LMN_TESTS/scripts/begin"

for program in lmnc lmn-run; do
  nm -D "$LMN_BUILD/$program" >"$work/all"
  if grep -q __asan_init "$work/all"; then exit 77; fi # sanitizers bring their own
  grep -q ' U malloc@' "$work/all" || fail "nm finds no symbols in $program"
  ! grep ' [TDBR] [^@]*$' "$work/all" || fail "a library may call these of $program in place of its own"
done
