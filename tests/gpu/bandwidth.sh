#!/usr/bin/env bash
# What the card does at best: a large copy and a large product.
source "$(dirname "${BASH_SOURCE[0]}")/part.sh"
measure bandwidth bench_gpu_card.py
