#!/usr/bin/env bash
# Steps of LARS, TVLARS and LAMB against the card's bandwidth and against PyTorch's loops.
source "$(dirname "${BASH_SOURCE[0]}")/part.sh"
measure optimizer bench_gpu_optimizer.py --models resnet18 resnet50
