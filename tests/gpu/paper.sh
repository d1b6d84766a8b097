#!/usr/bin/env bash
# One cell of studies/paper-cifar10.toml for each of its contenders, trained to its end.
source "$(dirname "${BASH_SOURCE[0]}")/part.sh"
[ -n "${data:-}" ] || { row "cells of paper-cifar10" FAILED "needs --data cifar10:DIR"; exit 1; }
study=$out/paper limits=()
[ "$quick" = false ] || limits=(--epochs 1 --warmup-epochs 0 --limit-train 4096)
"$lamina" study "$root/tests/gpu/paper_cells.toml" --data "$data" --device cuda --precision bf16 "${limits[@]}" \
  --progress none --out "$study" || row "cells of paper-cifar10" FAILED "ended with status $?; the same command goes on"
[ -s "$study/results.csv" ] || exit 1
sed -n '3,$p' "$study/table.md" | while IFS='|' read -r _ label best last runs _; do
  row "paper-cifar10, batch 1024:$label" measured "best$best%, last$last% of the test images; runs:$runs"
done
