#!/usr/bin/env bash
# The same run with steps that are captured and replayed, and kernel by kernel, gives the same bytes.
source "$(dirname "${BASH_SOURCE[0]}")/part.sh"
work=$out/recorded
mkdir -p "$work"
for precision in f32 bf16; do
  what="resnet8 captured and eager, $precision"
  options=(--model resnet8 --precision $precision --optimizer tvlars --lr 1 --batch 128 --limit-train 2048 --limit-test 500
    --epochs 2 --trace)
  if ! train synthetic "$work/captured" "${options[@]}" || ! train synthetic "$work/eager" "${options[@]}" --eager; then
    row "$what" FAILED "training failed: $(last_line)"
  elif same_bytes "$work/captured" "$work/eager"; then
    row "$what" passed "the same bytes"
  else
    row "$what" FAILED "other bytes; $work/captured and eager"
  fi
done
