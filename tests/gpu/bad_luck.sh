#!/bin/sh
# Bad luck on the GPU here: no driver, no GPU, no such GPU, too little memory, none at all, a kernel that fails. One clear
# message each time, and the last checkpoint goes on as if nothing had been. Memory is taken by a Python, if there is one.
usual='--save-every 2'
. "$LMN_TESTS/gpu/training"
fails() { # COMMAND …: with one error and status 1
  "$@"
  status=$?
  [ $status = 1 ] || fail "status $status, not 1: $*"
  [ "$(grep -c '^error: ' "$work/err")" = 1 ] || fail "not one message: $*"
}
train whole || fail "a training"

(export LMN_CUDA_DRIVER=/nowhere/libcuda.so.1; fails train none) || exit 1
says "install NVIDIA's driver"
(export CUDA_VISIBLE_DEVICES=; fails train none) || exit 1
says 'shows no GPU'
fails train none --device 99
says 'there is no GPU 99'

# A kernel that reads what there is not, in the second phase: its updates look at many more gradients than there are.
cp -R "$net" "$work/bad.lmnx"
sed '/"name":"update:all"/,$s/\("kernel":"gradient_squares[^"]*","dims":"\)[0-9]* [0-9]*"/\1999999999999 999999999999"/' \
  "$net/plan.json" > "$work/bad.lmnx/plan.json"
[ "$(diff "$net/plan.json" "$work/bad.lmnx/plan.json" | grep -c '^>')" = 1 ] || fail "no kernel was made to fail"
net=$work/bad.lmnx
fails train meanwhile
says 'phase all, step 1: .*gradient_squares.* failed: CUDA_ERROR_ILLEGAL_ADDRESS'
says "the last checkpoint is $work/meanwhile/checkpoints/step-00000006"
net=$made/train.lmnx

# A network that needs more than any GPU has: said before anything is allocated.
cp -R "$net" "$work/large.lmnx"
sed 's/"arena_bytes":\([0-9]\)/"arena_bytes":99999999\1/' "$net/plan.json" > "$work/large.lmnx/plan.json"
net=$work/large.lmnx
fails train none
says 'GB for it on the device'
net=$made/train.lmnx

# Another program has the memory: nearly all of it, then what is left.
cat > "$work/take.py" << 'END'
import ctypes, sys, time
cuda = ctypes.CDLL("libcuda.so.1")
context, address, left, total = ctypes.c_void_p(), ctypes.c_uint64(), ctypes.c_size_t(), ctypes.c_size_t()
assert not cuda.cuInit(0) and not cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0) and not cuda.cuCtxSetCurrent(context)
size = 1 << 40
while size >= int(sys.argv[1]):
    if cuda.cuMemAlloc_v2(ctypes.byref(address), ctypes.c_size_t(size)):
        size //= 2
cuda.cuMemGetInfo_v2(ctypes.byref(left), ctypes.byref(total))
print(f"{left.value >> 20} of {total.value >> 20} MB are left", flush=True)
time.sleep(600)
END
taker=
trap '[ -z "$taker" ] || kill "$taker" 2> /dev/null; rm -rf "$work"' EXIT
if command -v python3 > /dev/null; then
  for least in 134217728 2097152; do
    rm -f "$work/taken"
    python3 "$work/take.py" $least > "$work/taken" 2> "$work/err" & taker=$!
    while kill -0 $taker 2> /dev/null && [ ! -s "$work/taken" ]; do sleep 0.05; done
    cat "$work/taken"
    [ -s "$work/taken" ] || fail "no memory can be taken"
    rm -rf "$work/tried"
    cp -R "$work/meanwhile" "$work/tried"
    train tried --resume
    status=$?
    if [ $status != 0 ]; then
      [ $status = 1 ] && [ "$(grep -c '^error: ' "$work/err")" = 1 ] || fail "no memory: status $status"
      says 'other programs\|nvidia-smi lists them\|MB are free\|GB for it on the device'
      cat "$work/err"
    elif [ $least = 2097152 ]; then fail "runs without memory" # with a little a network as small as this may
    fi
    kill $taker
    wait $taker 2> /dev/null
    taker=
  done
else echo "no Python: memory is not taken"
fi

# From the last checkpoint on, as if nothing had been.
train meanwhile --resume || fail "goes on"
cmp "$work/whole/parameters.safetensors" "$work/meanwhile/parameters.safetensors" || fail "other parameters"
