#!/usr/bin/env bash
# Every op, every kernel in bf16, every optimizer preset and whole models on the GPU against the CPU.
source "$(dirname "${BASH_SOURCE[0]}")/part.sh"

# cases WHAT PROGRAM [FILTER]: a case that is skipped for want of a GPU is a failure here.
cases() {
  local what=$1 program=$build/tests/$2 status=0 started=$SECONDS output
  output=$out/parity-$(tr -cs 'a-z0-9\n' - <<<"$what").txt
  shift 2
  [ -x "$program" ] || { row "$what" FAILED "$program was not built"; return; }
  "$program" "$@" >"$output" 2>&1 || status=$?
  cat "$output"
  if grep -q 'skipped: no device' "$output"; then
    row "$what" FAILED "skipped, although there is a GPU; $output"
  elif [ $status != 0 ] || ! grep -q '^All tests passed' "$output"; then
    row "$what" FAILED "exit status $status, $(grep -a '^test cases:' "$output" || tail -n 1 "$output" | cut -c1-100); $output"
  else
    row "$what" passed "$(sed -n 's/^All tests passed (\(.*\))/\1/p' "$output"), $((SECONDS - started)) s"
  fi
}

rm -f "$out"/parity-*.txt
ops='"the CPU and CUDA agree on every op"' # without its quotes the name would go on until the next [
cases "every op, f32: value and derivatives" test_gpu "$ops"
cases "every kernel in bf16; presets' steps" test_gpu "~$ops~[model]"
cases "whole models, f32 and bf16" test_gpu "[model]"
ran=$(sed -n 's/^All tests passed (.* in \([0-9]*\) test case.*/\1/p' "$out"/parity-*.txt | awk '{ n += $1 } END { print n + 0 }')
all=$("$build/tests/test_gpu" --list-tests | sed -n 's/^\([0-9]*\) test cases$/\1/p')
[ "$ran" = "$all" ] || row "all of test_gpu" FAILED "$ran of $all cases passed"

# The program's own steps, recorded and replayed, with augmentation, schedule and an optimizer: losses of ten steps. Both
# round in f32, in different orders, and a step makes of the difference what it will: 1e-3.
losses() { # OPTIMIZER LR
  local what="the program's losses for 10 steps, $1" work=$out/parity device worst
  for device in cpu cuda; do
    rm -rf "${work:?}-$device"
    if ! "$lamina" train --data synthetic --limit-train 320 --limit-test 10 --model resnet8 --optimizer "$1" --lr "$2" \
      --schedule cosine --warmup-epochs 1 --epochs 2 --batch 64 --device $device --progress none --out "$work-$device"; then
      row "$what" FAILED "training on $device failed: $(tail -n 1 "$out/$part.log" | cut -c1-120)"
      return
    fi
  done
  worst=$(paste -d, "$work-cpu/steps.csv" "$work-cuda/steps.csv" | awk -F, '
    NR == 1 { for (i = NF / 2; i > 0; --i) if ($i == "loss") loss = i; next }
    { error = $(loss + NF / 2) / $loss - 1; if (error < 0) error = -error; if (!(error <= worst)) worst = error }
    END { printf "%.1e", NR == 11 ? worst : 1 }')
  if awk "BEGIN { exit !($worst <= 1e-3) }"; then
    row "$what" passed "they differ by $worst at most"
  else
    row "$what" FAILED "they differ by $worst; $work-cpu and -cuda, steps.csv"
  fi
}
losses tvlars 1
losses lamb:paper 0.01

if [ -x "$build/tests/test_cudnn" ]; then cases "what cuDNN proposes" test_cudnn; fi
