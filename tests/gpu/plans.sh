#!/usr/bin/env bash
# Which engines cuDNN has for ResNet-18's convolutions at batch 128, and how long choosing them takes: the report of
# train --verbose, on a machine that has chosen none yet.
source "$(dirname "${BASH_SOURCE[0]}")/part.sh"
work=$out/plans
rm -rf "$work"
mkdir -p "$work"
for precision in bf16 f32; do
  what="plans of resnet18, batch 128, $precision" report=$work/$precision.txt
  [ "$quick" = false ] || [ $precision = bf16 ] || continue
  if ! XDG_CACHE_HOME=$work/cache "$lamina" train --data synthetic --device cuda --model resnet18 --stem cifar \
    --precision $precision --optimizer sgd --lr 0.1 --batch 128 --limit-train 1280 --limit-test 10 --epochs 1 \
    --checkpoint-every 0 --progress plain --verbose --out "$work/$precision" >"$report" 2>&1; then
    cat "$report"
    row "$what" FAILED "training failed: $(tail -n 1 "$report" | cut -c1-160)"
    continue
  fi
  cat "$report"
  # "conv2d x …: engine 3, 0.0123 ms, … fastest of 16; 35 proposed, 1 of them compiled at run time; 0.42 s"
  figure=$(sed -n 's/^conv2d.*: engine [0-9]*.*; \([0-9]*\) proposed, \([0-9]*\) of them compiled at run time; \([0-9.]*\) s$/\1 \2 \3/p' \
    "$report" | awk '
    { ++n; proposed += $1; compiled += $2; seconds += $3; if ($3 > worst) worst = $3 }
    END { if (n) printf "%d convolutions; %.0f engines each, %.1f compiled at run time; chosen in %.1f s, %.1f s at most",
          n, proposed / n, compiled / n, seconds, worst }')
  if [ -n "$figure" ]; then row "$what" measured "$figure"; else row "$what" FAILED "no report of plans; $report"; fi
done
