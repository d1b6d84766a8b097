#!/usr/bin/env bash
# The share of a training run's steps in which the GPU does nothing: 1 - (time of kernels and copies) / (time of a step).
# The first comes from runs of two and of four epochs that libkernel_times.so watches: their difference is two epochs
# without all that starting takes. The second comes from the last two of four epochs of the same run, left alone. The same
# runs say which kernels a step has, and how long each takes.
source "$(dirname "${BASH_SOURCE[0]}")/part.sh"
work=$out/idle
mkdir -p "$work"
watcher=$build/tests/libkernel_times.so
[ -f "$watcher" ] || { row "GPU idle" FAILED "$watcher was not built: the CUDA toolkit has no CUPTI"; exit 1; }

cupti_folders=/usr/local/cuda/extras/CUPTI/lib64
export LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$cupti_folders

watched() { # FILE COMMAND...
  CUDA_INJECTION64_PATH=$watcher KERNEL_TIMES=$1 "${@:2}"
}

# idle MODEL BATCH STEPS: that many an epoch; synthetic has 10,000 images.
idle() {
  local model=$1 batch=$2 steps=$3 run=$work/$1-$2 what="GPU idle, $1, bf16, batch $2" kernels=$work/$1-$2.kernels.txt
  local stem=() images=$((batch * steps))
  case $model in resnet18 | resnet50) stem=(--stem cifar) ;; esac
  local options=(--model "$model" "${stem[@]}" --optimizer lars --lr 0.1 --precision bf16 --batch "$batch"
    --limit-train "$images" --limit-test 10 --eval-every 0 --checkpoint-every 0)
  rm -f "$kernels".[24]
  if ! train synthetic "$run" "${options[@]}" --epochs 4 ||
    ! watched "$kernels.2" train synthetic "$run-watched" "${options[@]}" --epochs 2 ||
    ! watched "$kernels.4" train synthetic "$run-watched" "${options[@]}" --epochs 4; then
    row "$what" FAILED "training failed: $(tail -n 1 "$out/$part.log" | cut -c1-120)"
  elif [ ! -s "$kernels.2" ] || [ ! -s "$kernels.4" ]; then
    row "$what" FAILED "no times of kernels came: $watcher was not loaded, or CUPTI does not work here"
  else
    python3 "$root/tests/gpu/idle_share.py" "$run" "$steps" "$kernels.2" "$kernels.4" |
      while IFS=$'\t' read -r result figure target; do row "$what" "$result" "$figure" "$target"; done
    row "kernels, $model, bf16, batch $batch" measured \
      "$(python3 "$root/tests/gpu/kernels.py" "$steps" "$kernels.2" "$kernels.4" "$kernels"); $kernels"
    head -n 25 "$kernels"
    rm -f "$kernels".[24]
  fi
}

idle resnet18 128 78
[ "$(left)" -lt 25 ] || idle resnet18 1024 9
[ "$part" != kernels ] || exit 0
[ "$quick" = true ] || idle resnet50 128 78
[ "$quick" = true ] || idle resnet20 128 78
