#!/usr/bin/env bash
# Training images per second beside PyTorch's best on the same card. The part's name is the model's.
source "$(dirname "${BASH_SOURCE[0]}")/part.sh"
measure "$part" bench_gpu_train.py --configs "$part":{128,1024}:bf16 "$part":{128,1024}:f32 "$part":{128,1024}:tf32
