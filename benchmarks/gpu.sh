#!/bin/sh
# What `make gpu` does: build in place, test on the GPU, look for bad memory accesses and races, measure.
# Each stage's output goes to $OUT/<stage>.log and its exit status to $OUT/summary.txt.
set -u
PYTHON=${PYTHON:-python3}
OUT=${OUT:-build/gpu}
mkdir -p "$OUT"
: >"$OUT/summary.txt"
failed=0

stage() {
  name=$1
  shift
  echo "== $name: $*"
  if "$@" >"$OUT/$name.log" 2>&1; then verdict=ok; else verdict="failed ($?)"; failed=1; fi
  tail -n 15 "$OUT/$name.log"
  echo "$name $verdict" | tee -a "$OUT/summary.txt"
}

export PYTHONPATH=.
stage machine nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv
stage build env STACKAE_CUDA=1 MAX_JOBS=16 "$PYTHON" setup.py build_ext --inplace
stage tests "$PYTHON" -m pytest tests/test_ops.py tests/test_objectives.py tests/test_random.py -p no:cacheprovider
if command -v compute-sanitizer >/dev/null 2>&1; then
  few="cuda and (equal_the_reference or any_strides)"
  for tool in memcheck racecheck; do
    stage "$tool" compute-sanitizer --tool "$tool" --error-exitcode 9 "$PYTHON" -m pytest tests/test_ops.py \
      -p no:cacheprovider -k "$few"
  done
else
  echo "sanitizer absent" | tee -a "$OUT/summary.txt"
fi
stage ops "$PYTHON" -m benchmarks.ops --device cuda --json "$OUT/ops.json"
cat "$OUT/summary.txt"
exit $failed
