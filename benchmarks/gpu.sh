#!/bin/sh
# What `make gpu` does: build, test on the GPU, measure, look for bad memory accesses and races, make tables.
#
#   OUT        folder of the results: summary.txt, logs.txt, step.json, profile.txt, end_to_end.json, ops.json, results.md
#   PYTHON     a Python with torch; what else it needs may lie in build/wheels (`make wheels`)
#   DATA_ROOT  holds MNIST/raw; without it the embedded digits stand in
#   STAGES     those to run, in the order below; the rows of step.json are kept unless `step` is among them
#   PATIENCE   multiplies every limit
#
# Every stage runs, whatever became of the others; the exit status is 1 if one failed. A stage's limit is in seconds;
# what it leaves of it, later ones may use; the sum is 570.
set -u
PYTHON=${PYTHON:-python3}
OUT=${OUT:-build/gpu}
DATA_ROOT=${DATA_ROOT:-build/data}
PATIENCE=${PATIENCE:-1}
ALL="machine wheels build tests step_tests step profile end_to_end memcheck racecheck population ladder ops cases report"
STAGES=${STAGES:-$ALL}
PATH=$PATH:/usr/local/cuda/bin

machine() {
  "$PYTHON" -c 'import sys, torch; print("python", sys.version.split()[0], "torch", torch.__version__)'
  nvcc --version
  nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.sm,clocks.mem --format=csv
}

# wheels FOLDER
wheels() {
  [ -d build/wheels ] || { echo "no build/wheels; make wheels fills it where there is a network"; return 0; }
  "$PYTHON" -m pip install --no-index --no-deps --no-compile --disable-pip-version-check --target "$1" \
    build/wheels/*.whl
}

# build FOLDER: compiled code and packages in FOLDER/lib, which holds nothing of an earlier build
build() {
  rm -rf "$1/lib"
  STACKAE_CUDA=1 MAX_JOBS=$(nproc) "$PYTHON" setup.py build --build-base "$1" --build-lib "$1/lib"
}

# sanitize TOOL PYTEST-ARGUMENTS...: a few steps of every kind, then the chosen tests
sanitize() {
  tool=$1
  shift
  command -v compute-sanitizer || { echo "expected compute-sanitizer on PATH, got none"; return 1; }
  compute-sanitizer --tool "$tool" --error-exitcode 9 "$PYTHON" -m benchmarks.few_steps
  steps=$?
  compute-sanitizer --tool "$tool" --error-exitcode 9 "$PYTHON" -m pytest "$@" && return $steps
}

# stage NAME LIMIT COMMAND...
stage() {
  name=$1 limit=$2
  shift 2
  case " $STAGES " in *" $name "*) ;; *) return 0 ;; esac
  due=$((due + limit * PATIENCE))
  began=$(date +%s)
  left=$((started + due - began))
  echo "== $name (at most $left s): $*"
  timeout -k 5 "$left" "$@" >"$temporary/log" 2>&1
  status=$?
  case $status in
    0) verdict=ok ;;
    124 | 137) verdict="failed (out of time after $left s)" failed=1 ;;
    *) verdict="failed ($status)" failed=1 ;;
  esac
  verdict="$verdict, $(($(date +%s) - began)) s"
  tail -n 15 "$temporary/log"
  { echo "== $name: $verdict: $*"; tail -c 1000000 "$temporary/log"; echo; } >>"$OUT/logs.txt"
  echo "$name: $verdict" | tee -a "$OUT/summary.txt"
}

# shellcheck disable=SC2086  # tests, steps, options and step are lists
all() {
  mkdir -p "$OUT"
  OUT=$(cd "$OUT" && pwd)
  [ "$STAGES" = "$ALL" ] && rm -f "$OUT"/*.json "$OUT/profile.txt" "$OUT/results.md"
  : >"$OUT/summary.txt"
  : >"$OUT/logs.txt"
  temporary=$(mktemp -d)
  trap 'rm -rf "$temporary"' EXIT
  started=$(date +%s) due=0 failed=0

  # Only what this run built can be imported as stackae: not the sources in the folder it runs in.
  site=$temporary/site built=$(pwd)/build/cuda
  mkdir "$site"
  ln -s "$(pwd)/benchmarks" "$site/benchmarks"
  export PYTHON PATH PYTHONSAFEPATH=1 PYTHONUNBUFFERED=1 PYTHONPATH="$built/lib:$site"

  tests='' steps=''
  for file in ops random objectives data_rows; do tests="$tests tests/test_$file.py"; done
  for file in step step_contract step_calls step_guard step_device; do steps="$steps tests/test_$file.py"; done
  # Warnings of another torch are no errors here; hypothesis has no deadlines in its profile ci.
  options="-p benchmarks.cuda_required -p no:cacheprovider --hypothesis-profile=ci -W default"
  equal="equal_the_reference and (shape4 or shape7) and (sigmoid or gelu)"
  few="(cuda and (any_strides or sparsity_kl_and or ($equal))) or sanitizer"
  step="$PYTHON -m benchmarks.step --device cuda --json $OUT/step.json"

  stage machine 10 sh "$0" machine
  stage wheels 10 sh "$0" wheels "$site"
  stage build 115 sh "$0" build "$built"
  stage tests 30 "$PYTHON" -m pytest $tests $options --continue-on-collection-errors --durations=5 -k cuda
  stage step_tests 60 env STACKAE_TEST_DEVICE=cuda "$PYTHON" -m pytest $steps $options --durations=5
  stage step 95 $step --part cases --only "R: 256x784-300" "256x4096-4096, bf16"
  stage profile 20 "$PYTHON" -m benchmarks.profile_step --out "$OUT/profile.txt"
  stage end_to_end 60 "$PYTHON" -m benchmarks.end_to_end --device cuda --data-root "$DATA_ROOT" --usual-epochs 1 \
    --rounds 1 --json "$OUT/end_to_end.json"
  # Each tensor is an allocation of its own: in torch's pool, an access beyond one is often inside another.
  stage memcheck 45 env PYTORCH_NO_CUDA_MEMORY_CACHING=1 sh "$0" sanitize memcheck $tests $options -k "$few"
  stage racecheck 45 sh "$0" sanitize racecheck $tests $options -k "$few"
  stage population 10 $step --append --part population
  stage ladder 20 $step --append --part ladder --rounds 9
  stage ops 25 "$PYTHON" -m benchmarks.ops --device cuda --rounds 15 --json "$OUT/ops.json"
  stage cases 15 $step --append --part cases --no-compile --rounds 9
  stage report 10 "$PYTHON" -m benchmarks.report "$OUT"
  echo "== summary"
  cat "$OUT/summary.txt"
  return $failed
}

if [ $# -gt 0 ]; then "$@"; else all; fi
