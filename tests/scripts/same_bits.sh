#!/bin/sh
# What the passes that only move work about leave behind is the same to the bit: parameters after three steps with and
# without riders, with each policy of recompute, on one thread and on several.
. "$LMN_TESTS/scripts/begin"
net=$LMN_TESTS/data/run/net.lmn
shape='-B 4 --length 64' # enough rows for products that carry riders

train() { # name, further options
  name=$1; shift
  # shellcheck disable=SC2086
  "$LMNC" train "$net" --random-weights --data "$LMN_TESTS/data/run/text.txt" $shape --steps 3 --seed 4 \
    -o "$work/$name" "$@" >"$work/err" 2>&1 || fail "train $name"
}
same() { # name, further options
  train "$@"
  cmp -s "$work/plain/parameters.safetensors" "$work/$1/parameters.safetensors" || fail "$1 gives other parameters"
}
kernels() { "$LMNC" compile "$net" --random-weights --emit=kernel -B 4 -T 64 "$@" 2>"$work/err" || fail "compile $*"; }

train plain
[ "$(kernels | grep -c 'rides = 1')" -gt 20 ] || fail "nothing rides"
kernels --disable-pass ride-products | grep -q 'rides = 1' && fail "a rider of a pass that is off"
same no-riders --disable-pass ride-products
plain=$(kernels | grep -c kernel.gemm)
for what in rows feed-forward feed-forward+3/8 layers layers-2 layers-8; do
  same "$what" --recompute "$what"
  [ "$what" = rows ] || [ "$(kernels --recompute "$what" | grep -c kernel.gemm)" -gt "$plain" ] || fail "$what remakes nothing"
done
same remade-off --recompute layers --disable-pass recompute
same one-thread --threads 1
same three-threads --threads 3

# What is made again is not kept: less memory with each policy.
before=999999999
for what in nothing nothing+4/8 rows rows+4/8 feed-forward layers; do
  bytes=$("$LMNC" summary "$net" --random-weights -B 4 -T 64 --json --recompute "$what" | sed -n 's/.*"arena_bytes": *\([0-9]*\).*/\1/p' | head -n 1)
  [ "$bytes" -lt "$before" ] || fail "$what needs $bytes bytes, not below $before"
  before=$bytes
done

# A memory limit takes the first policy that fits, and says what would fit where none does.
arena() { "$LMNC" summary "$net" --random-weights -B 4 -T 64 --memory-limit "$1" 2>"$work/err" | grep train:; }
arena 1G | grep -q remade && fail "remakes within a limit that asks for nothing"
arena 5M | grep -q 'remade: ' || fail "a limit of 5 MiB remakes nothing: $(arena 5M)"
"$LMNC" train "$net" --random-weights --data "$LMN_TESTS/data/run/text.txt" $shape -o "$work/none" --memory-limit 2M \
  >"$work/err" 2>&1 && fail "trains in 2 MiB"
grep -q 'needs .* MiB, and .* MiB with all remade that can be; --memory-limit is 2.0 MiB; ' "$work/err" || fail "message"
"$LMNC" summary "$net" --random-weights --memory-limit 4X 2>"$work/err" && fail "a limit of 4X"
grep -q 'must be a size' "$work/err" || fail "no remedy for 4X"
exit 0
