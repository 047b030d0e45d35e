# Sets `target` to what the first GPU here runs; ends the test as skipped where there is none.
capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -n 1)
case $capability in
9.0) target=sm_90a ;;
8.9) target=sm_89 ;;
8.*) target=sm_80 ;;
*) echo "no GPU that this version compiles for"; exit 77 ;;
esac
