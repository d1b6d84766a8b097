#!/usr/bin/env bash
# The same run twice, and a run killed and resumed, give the same bytes of weights, logs and traces.
source "$(dirname "${BASH_SOURCE[0]}")/part.sh"
work=$out/determinism
mkdir -p "$work"

twice() { # MODEL PRECISION OPTION...
  local model=$1 precision=$2 what="$1 twice, $2"
  shift 2
  local options=(--model "$model" --precision "$precision" --optimizer tvlars --lr 1 --trace --limit-test 500 "$@")
  if ! train synthetic "$work/first" "${options[@]}" || ! train synthetic "$work/second" "${options[@]}"; then
    row "$what" FAILED "training failed: $(tail -n 1 "$out/$part.log" | cut -c1-120)"
  elif same_bytes "$work/first" "$work/second"; then
    row "$what" passed "the same bytes"
  else
    row "$what" FAILED "other bytes; $work/first and second"
  fi
}

kills=8
[ "$quick" = false ] || kills=3
for precision in f32 bf16; do
  twice resnet8 $precision --batch 128 --limit-train 4096 --epochs 2
  twice resnet18 $precision --stem cifar --batch 256 --limit-train 4096 --epochs 1
  what="killed and resumed, $precision"
  output=$work/killed-$precision.txt
  if ! "$root/tests/kill_and_resume.sh" "$lamina" synthetic $kills --device cuda --precision $precision >"$output" 2>&1; then
    row "$what" FAILED "$(tail -n 1 "$output" | cut -c1-120)"
  elif ! grep -q '^Killed [1-9]' "$output"; then
    row "$what" FAILED "it was never killed: training ended too soon; $output"
  else
    row "$what" passed "$(grep '^Killed' "$output")"
  fi
done
