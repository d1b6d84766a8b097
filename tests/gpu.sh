#!/usr/bin/env bash
# Without a GPU scripts/test-gpu says so and fails, also from a bundle; a bundle has every library. With programs that
# answer as on a GPU (tests/gpu/stubs) its two calls of six minutes run to their tables.
#
#   tests/gpu.sh BUILD

set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
build=$(readlink -f "$1")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export CUDA_VISIBLE_DEVICES="" # where there is a GPU
source "$root/tests/checks.sh"

refuses() { # STATUS TEXT COMMAND...
  local expected=$1 text=$2 status=0
  shift 2
  "$@" >"$scratch/refused" 2>&1 || status=$?
  cat "$scratch/refused"
  [ $status = "$expected" ] && grep -q "$text" "$scratch/refused" && ! grep -q "passed or measured" "$scratch/refused"
}

bundled() { env -i LD_LIBRARY_PATH="$scratch/bundle/build/release/lib" "$@"; } # as scripts/test-gpu does

# What the build takes the GPUs for, where nvidia-smi prints this.
architectures_of() { # EXPECTED PRINTS STATUS
  mkdir -p "$scratch/smi"
  printf '#!/bin/sh\nprintf "%s"\nexit %s\n' "$2" "$3" >"$scratch/smi/nvidia-smi"
  chmod +x "$scratch/smi/nvidia-smi"
  local found
  found=$(PATH="$scratch/smi:$PATH" cmake -P "$root/cmake/gpu_architectures.cmake" 2>&1)
  [ "$found" = "$1" ] || { echo "found '$found'"; return 1; }
}

check "architectures of two kinds of GPU" architectures_of "80;90" '9.0\n8.0\n9.0\n' 0
check "of GPUs of version 12" architectures_of "120" '12.0\n' 0
check "of no GPU" architectures_of "" 'No devices were found\n' 6
check "of a driver that answers nonsense" architectures_of "" '[N/A]\n' 0

# What -DCMAKE_CUDA_ARCHITECTURES=all-major is where nvcc knows these.
major_architectures() { # EXPECTED KNOWN...
  local expected=$1 found
  shift
  printf '#!/bin/sh\nprintf "compute_%%s\\n" %s\n' "$*" >"$scratch/nvcc"
  chmod +x "$scratch/nvcc"
  found=$(cmake -DNVCC="$scratch/nvcc" -P "$root/cmake/gpu_architectures.cmake" 2>&1)
  [ "$found" = "$expected" ] || { echo "found '$found'"; return 1; }
}

check "all major architectures" major_architectures "80-real;90-real;100-real;120" 75 80 86 89 90 100 103 120 121
check "in any order, of an older nvcc" major_architectures "80-real;90" 90 50 61 70 87 80

mkdir "$scratch/tree"
ln -s "$root/tests" "$root/scripts" "$scratch/tree"
check "no programs" refuses 1 "there is no program" "$root/scripts/test-gpu" --bundle "$scratch/tree" --out "$scratch/out"
check "a bundle" "$root/scripts/bundle" --build "$build" "$scratch/bundle"
check "no GPU" refuses 1 "no GPU: nothing was run" "$scratch/bundle/scripts/test-gpu" --out "$scratch/out"
check "a part that does not exist" refuses 2 "no part 'speed'" "$root/scripts/test-gpu" --only speed

# calls STATUS CALL TEXT...: scripts/test-gpu on a machine with a GPU, as the stubs have it; every text is in what it prints.
mkdir -p "$scratch/gpu/build/release/tests"
ln -s "$root/tests" "$scratch/gpu/tests"
ln -s "$root/tests/gpu/stubs/lamina" "$scratch/gpu/build/release"
ln -s "$root/tests/gpu/stubs/test_gpu" "$scratch/gpu/build/release/tests"
touch "$scratch/gpu/build/release/tests/libkernel_times.so"
calls() {
  local expected=$1 call=$2 status=0 text
  shift 2
  PATH="$root/tests/gpu/stubs:$PATH" "$root/scripts/test-gpu" "$call" --bundle "$scratch/gpu" --out "$scratch/$call" \
    >"$scratch/called" 2>&1 || status=$?
  cat "$scratch/called"
  [ $status = "$expected" ] || { echo "status $status"; return 1; }
  for text in "$@"; do grep -q -e "$text" "$scratch/called" || { echo "lacks: $text"; return 1; }; done
}

check "the call for correctness" calls 0 correctness "^machine  *cuDNN  *passed" "^parity .*whole models.*passed" \
  "^recorded .*eager, bf16.*the same bytes" "^recorded .*separate launches, f32.*the same bytes" \
  "^plans .*2 convolutions; 34 engines each, 0.5 compiled at run time; chosen in 0.4 s" \
  "^sanitizers-short .*racecheck: batch normalisation.*passed" "^sanitizers-short .*synccheck.*passed" ", 0 failed; "
check "the call for figures" calls 0 figures "^bench .*resnet18, batch 1024.*51200, 2.500 ms" \
  "^bench .*batch 512, separate launches.*51200" \
  "^kernels .*3 launches, 0.003 ms a step; NVIDIA's kernels 58 %; of ours most: add_many 1 (for_each) 38 %" \
  "^pytorch .*resnet18, batch 128, bf16" "^bandwidth " "^missed: kernels, GPU idle, resnet18, bf16, batch 128: .*target 3 %" \
  "0 failed; .* met, [1-9] missed"
check "steps that are captured wrongly" env STUB_EAGER=other bash -c "$(declare -f calls); root=$root scratch=$scratch
  calls 1 correctness '^recorded .*FAILED' '^failed: recorded, resnet8 captured and eager, f32' \
    'recorded, resnet8 captured and separate launches, bf16'"
for program in "$scratch/bundle/build/release/tests"/test_*; do
  [ ! -x "$program" ] || check "$(basename "$program") starts" bundled "$program" --help
done
if [ -x "$build/tests/test_cudnn" ]; then
  mkdir "$scratch/other"
  for name in graph heuristic engines_precompiled; do
    cp "$scratch/bundle/build/release/lib"/libfmt.so.* "$scratch/other/libcudnn_$name.so.9" # whatever it is
  done
  check "cuDNN takes the libraries beside it" env LD_LIBRARY_PATH="$scratch/other" "$build/tests/test_cudnn"
fi
check "lamina starts" bundled "$scratch/bundle/build/release/lamina" info
rm "$scratch/bundle/build/release/lib"/libfmt.so.*
check "a library that is lacking shows" bash -c "! env -i ldd '$scratch/bundle/build/release/lamina' | grep libfmt | grep -q '$scratch'"
check "a folder of something else is left alone" refuses 1 "something else than a bundle" "$root/scripts/bundle" "$root/docs"
report
