#!/usr/bin/env bash
# The same run with steps that are captured and replayed, kernel by kernel, and without kernels whose blocks wait for one
# another, gives the same bytes.
source "$(dirname "${BASH_SOURCE[0]}")/part.sh"
work=$out/recorded
mkdir -p "$work"

# like_captured NAME OPTION...: the run with these options has the bytes of the one in `captured`.
like_captured() {
  local what="resnet8 captured and $1, $precision" run=$work/$1
  if ! train synthetic "$run" "${options[@]}" "${@:2}"; then
    row "$what" FAILED "training failed: $(last_line)"
  elif same_bytes "$work/captured" "$run"; then
    row "$what" passed "the same bytes"
  else
    row "$what" FAILED "other bytes; $work/captured and $1"
  fi
}

for precision in f32 bf16; do
  options=(--model resnet8 --precision $precision --optimizer tvlars --lr 1 --batch 128 --limit-train 2048 --limit-test 500
    --epochs 2 --trace)
  if ! train synthetic "$work/captured" "${options[@]}"; then
    row "resnet8 captured, $precision" FAILED "training failed: $(last_line)"
    continue
  fi
  like_captured eager --eager
  LAMINA_GPU_LAUNCHES=separate like_captured "separate launches"
done
