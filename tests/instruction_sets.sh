#!/usr/bin/env bash
# One program for all CPUs: wide instructions lie where the program asks for them alone, every set of kernels gives
# one result for any number of threads, and nearly that of the others.
#
#   tests/instruction_sets.sh BUILD

set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
build=$(readlink -f "$1")
run=("$build/lamina")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
source "$root/tests/checks.sh"
cd "$scratch" || exit 1

kernels=("$build"/lamina_*_v[34].o) # none in a build for one instruction set
mapfile -t sets < <("${run[@]}" info --json | python3 -c 'import json, sys; print(*json.load(sys.stdin)["instruction_sets"], sep="\n")')

# VEX encodings, whose names begin with a v, are of AVX and later. Without symbols objdump takes a hundredth of the time.
uses_wide_registers() {
  strip --strip-all -o stripped.o "$1" &&
    objdump -d --no-show-raw-insn stripped.o | LC_ALL=C grep -E $'\tv[a-z0-9]+ .*%[xyz]mm' >wide
}

# Objects of the libraries and of the program, but for the kernels for newer CPUs.
no_other_object_is_wide() {
  local archive object
  for archive in "$build"/liblamina_*.a; do
    rm -rf objects && mkdir objects && (cd objects && ar x "$archive" && rm -f lamina_*_v[34].o) || return
    for object in objects/*; do
      ! uses_wide_registers "$object" || { echo "$archive: $object uses wide registers"; return 1; }
    done
  done
  ! uses_wide_registers "$build/CMakeFiles/lamina_program.dir/apps/main.cpp.o"
}

# Of what other objects have too the linker keeps any one.
only_its_namespace_is_visible() { # OBJECT
  local set=${1##*_}
  set=${set%.o}
  nm --defined-only --extern-only "$1" | awk -v prefix="_ZN6lamina3cpu${#set}$set" 'index($3, prefix) != 1 { print; bad = 1 } END { exit bad }'
}

# Variables of ours that a header defines would exist once for each set.
holds_no_variable_of_ours() { # OBJECT
  ! nm --defined-only "$1" | grep -E ' [bBdDuV] _Z(GV)?(Z)?N6lamina' | grep -vE '_ZTI|_ZTS|_ZTV|NS_?3cpu|backendEv'
}

train() { # OUT SET THREADS OPTION...
  local out=$1 set=$2 threads=$3
  shift 3
  LAMINA_CPU=$set "${run[@]}" train --out "$out" --threads "$threads" --data synthetic:8x8x3x4 --limit-train 320 --limit-test 40 \
    --model resnet8 --batch 32 --epochs 1 --checkpoint-steps 5 --keep-checkpoints 10 --progress none "$@"
}

same_bytes() { cmp "$1/weights.safetensors" "$2/weights.safetensors"; }

near_losses() { # of ten steps
  paste -d, <(cut -d, -f5 "$1/steps.csv") <(cut -d, -f5 "$2/steps.csv") |
    awk -F, 'NR > 1 { n++; d = $1 / $2 - 1; if (d * d > 1e-10) { print; bad = 1 } } END { exit bad || n != 10 }'
}

goes_on_with() { # OUT SET: after its fifth step
  rm -f "$1"/checkpoint-10.safetensors "$1/weights.safetensors" "$1/evaluation.json"
  LAMINA_CPU=$2 "${run[@]}" train --resume --progress none --out "$1" 2>message && cat message
}
notes_other_kernels() { goes_on_with "$1" "$2" && grep -q "was computed with the CPU kernels" message; }
notes_nothing() { goes_on_with "$1" "$2" && [ ! -s message ]; }

names_those_there_are() {
  LAMINA_CPU=v9 "${run[@]}" train --out nothing 2>message
  [ $? = 2 ] && grep -q "LAMINA_CPU: v9 .*expected ${sets[*]:0:1}" message && [ ! -e nothing ]
}

if [ -e "${kernels[0]}" ]; then
  check "no other object uses wide registers" no_other_object_is_wide
  for object in "$build"/lamina_*_generic.o "${kernels[@]}"; do
    check "what is visible of ${object##*/}" only_its_namespace_is_visible "$object"
    check "no variables in ${object##*/}" holds_no_variable_of_ours "$object"
  done
  check "wide registers are found where they are" uses_wide_registers "${kernels[0]}"
fi
for set in "${sets[@]}"; do
  check "$set: a run with one thread" train "$set-1" "$set" 1
  check "$set: a run with three" train "$set-3" "$set" 3
  check "$set: the same weights" same_bytes "$set-1" "$set-3"
  check "$set: nearly the losses of ${sets[0]}" near_losses "$set-1" "${sets[0]}-1"
done
if [ ${#sets[@]} -gt 1 ]; then
  check "other kernels: noted" notes_other_kernels "${sets[1]}-3" "${sets[0]}"
  check "the same kernels: not" notes_nothing "${sets[1]}-1" "${sets[1]}"
fi
check "an unknown set" names_those_there_are
if [ -e "${kernels[0]}" ] && command -v qemu-x86_64 >/dev/null; then
  run=(qemu-x86_64 -cpu Nehalem "$build/lamina") # of 2008
  check "an older CPU: a run" train older "" 1
  check "an older CPU: nearly the losses" near_losses older generic-1
elif [ -e "${kernels[0]}" ]; then
  echo "an older CPU: skipped, needs qemu-user"
fi
report
