#!/usr/bin/env bash
# Training images per second by Lamina alone: captured, kernel by kernel, with engines that are not deterministic, and
# without kernels whose blocks wait for one another.
source "$(dirname "${BASH_SOURCE[0]}")/part.sh"

# bench WHAT OPTION...
bench() {
  local what="$1: images/s" json=$out/bench.json
  shift
  if [ "$(left)" -lt 5 ]; then row "$what" "not run" "no time was left"; return; fi
  if ! "$lamina" bench train --device cuda --precision bf16 --optimizer sgd --warmup 3 --json "$@" >"$json"; then
    row "$what" FAILED "$(last_line)"
    return
  fi
  cat "$json"
  row "$what" measured "$(sed -n 's/.*"images_per_s": *\([0-9.e+]*\).*/\1/p' "$json" | awk '{ printf "%.0f", $1 }'), $(
    sed -n 's/.*"median_step_ms": *\([0-9.e+-]*\).*/\1/p' "$json" | awk '{ printf "%.3f ms a step", $1 }')"
}

for batch in 128 512 1024; do
  bench "resnet18, batch $batch" --model resnet18 --batch $batch --steps 5
  [ "$quick" = false ] || break
  [ $batch = 1024 ] ||
    LAMINA_GPU_LAUNCHES=separate bench "resnet18, batch $batch, separate launches" --model resnet18 --batch $batch --steps 5
  [ $batch != 512 ] || continue
  bench "resnet18, batch $batch, eager" --model resnet18 --batch $batch --steps 10 --eager
  bench "resnet18, batch $batch, not deterministic" --model resnet18 --batch $batch --steps 5 --no-deterministic
done
[ "$quick" = true ] || bench "resnet20, batch 128" --model resnet20 --batch 128 --steps 10
