#!/usr/bin/env bash
# What the figures are of: the GPU and its driver, and the libraries that were opened.
source "$(dirname "${BASH_SOURCE[0]}")/part.sh"
"$lamina" info
gpu=$(nvidia-smi --query-gpu=name,driver_version,clocks.max.sm,power.limit --format=csv,noheader 2>&1 | head -n 1)
row "GPU, driver, clock, power" measured "$gpu"
row "program" measured "$(sed -n 's/^  "cuda": *"\(.*\)".*/\1/p' "$out/info.json")"
# "cuDNN 9.19.0, /usr/lib/…", or why it was not opened
sed -n '/"cuda_libraries"/,/\]/s/^    "\(.*\)",\{0,1\}$/\1/p' "$out/info.json" | while read -r library; do
  case $library in
    cu*\ [0-9]*,*) row "${library%% *}" passed "$library" ;;
    *) row "libraries" FAILED "$library" ;;
  esac
done
grep -q "^$part"$'\tcuDNN\tpassed' "$out/rows.tsv" || row "cuDNN" FAILED "was not opened"
