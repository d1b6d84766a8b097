#!/usr/bin/env bash
# Training images per second beside PyTorch's two fastest ways on the same card, in turn.
source "$(dirname "${BASH_SOURCE[0]}")/part.sh"
measure pytorch bench_gpu_train.py --configs resnet18:{128,1024}:bf16 --variants "eager, graph" "compiled, graph"
