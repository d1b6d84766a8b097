#!/usr/bin/env bash
# Random crops and flips of a batch on the GPU, beside PyTorch's by indexing.
source "$(dirname "${BASH_SOURCE[0]}")/part.sh"
measure augmentation bench_gpu_augmentation.py --batches 128 1024
