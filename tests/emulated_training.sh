#!/usr/bin/env bash
# lamina train on the emulated GPU: steps that are replayed give the bytes of steps that are not, also after a
# run was stopped between two readings of results, and nearly the losses of the CPU.
#
#   tests/emulated_training.sh PROGRAM

set -uo pipefail
program=$(readlink -f "$1")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch" || exit 1
passed=0 failed=0

options=(train --data synthetic:8x8x3x4 --limit-train 480 --limit-test 60 --model resnet8 --batch 20 --micro-batch 8
  --epochs 2 --trace --threads 1 --progress none)

train() { "$program" "${options[@]}" --out "$@"; } # OUT OPTION...

# check WHAT COMMAND...
check() {
  local what=$1
  shift
  if "$@" >output 2>&1; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "failed: $what"
    cat output
  fi
}

same_bytes() { cmp "$1/weights.safetensors" "$2/weights.safetensors" && cmp "$1/trace.safetensors" "$2/trace.safetensors"; }
losses() { cut -d, -f1-6 "$1/steps.csv"; } # and what else does not depend on the time
same_losses() { diff <(losses "$1") <(losses "$2"); }

# Of f32 sums in another order; later steps differ more, since training is chaotic.
near_losses() {
  paste -d, <(losses "$1") <(losses "$2") |
    awk -F, 'NR > 1 && NR < 7 { d = $5 / $11 - 1; if (d * d > 1e-8) { print; bad = 1 } } END { exit bad }'
}

stopped_and_resumed() { # OUT
  "$program" "${options[@]}" --out "$1" --device cuda --checkpoint-steps 7 &
  local run=$!
  while [ ! -e "$1/checkpoint-7.safetensors" ] && kill -0 $run; do sleep 0.01; done
  kill -INT $run
  wait $run
  [ $? = 130 ] && "$program" train --resume --progress none --out "$1"
}

diverges() { # OUT
  train "$1" --device cuda --optimizer sgd --lr 1e30 --micro-batch 0 2>message && return 1
  cat message
  grep -q "step 2: the loss is" message && [ "$(wc -l <"$1/steps.csv")" = 2 ]
}

check "a run of replayed steps" train replayed --device cuda
check "a run without" train eager --device cuda --eager
check "a run on the CPU" train cpu
check "the same weights and trace" same_bytes replayed eager
check "the same losses" same_losses replayed eager
check "nearly the CPU's losses" near_losses replayed cpu
check "a run that is stopped and resumed" stopped_and_resumed resumed
check "its weights and trace" same_bytes replayed resumed
check "the step that diverges is named" diverges diverged
echo "test cases: $((passed + failed)) | $passed passed | $failed failed"
[ $failed = 0 ]
