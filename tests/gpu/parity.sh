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

ops="the CPU and CUDA agree on every op"
cases "every op, f32: value and derivatives" test_gpu "$ops"
cases "every kernel in bf16; presets' steps" test_gpu "~$ops~[model]"
cases "whole models, f32 and bf16" test_gpu "[model]"
if [ -x "$build/tests/test_cudnn" ]; then cases "what cuDNN proposes" test_cudnn; fi
