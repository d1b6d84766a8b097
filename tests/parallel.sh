#!/usr/bin/env bash
# The cases of test_parallel with several numbers of ranks, and what ranks that cannot find one another say.
#
#   tests/parallel.sh BUILD

set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
build=$(readlink -f "$1")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
source "$root/tests/checks.sh"
cd "$scratch" || exit 1

# More ranks than cores, and as root in a container, are for tests alone. What rank 0 says is shown.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
export OMPI_MCA_mpi_yield_when_idle=1 OMPI_MCA_btl_vader_single_copy_mechanism=none # which containers forbid
export OMPI_MCA_btl_base_warn_component_unused=0

with_ranks() { # N COMMAND...
  local n=$1
  shift
  timeout 120 mpirun -n "$n" bash -c '[ "${OMPI_COMM_WORLD_RANK:-${PMI_RANK:-0}}" = 0 ] || exec "$@" >/dev/null; exec "$@"' _ "$@"
}

options=(train --data synthetic:8x8x3x4 --limit-train 300 --limit-test 50 --model resnet8 --batch 30 --epochs 60
  --checkpoint-steps 7 --progress none)

lamina_with() { # N OUT OPTION...
  local n=$1 out=$2
  shift 2
  timeout 120 mpirun -n "$n" "$build/lamina" "${options[@]}" --out "$out" "$@"
}

near_losses() { # OUT OUT: of f32 sums in another order, in the first twenty steps
  paste -d, <(cut -d, -f5 "$1/steps.csv") <(cut -d, -f5 "$2/steps.csv") |
    awk -F, 'NR > 1 && NR < 22 { n++; d = $1 / $2 - 1; if (d * d > 1e-8) { print; bad = 1 } } END { exit bad || n != 20 }'
}

same_weights() { cmp "$1/weights.safetensors" "$2/weights.safetensors"; }

# Sends a signal to the last rank of a run, after its first checkpoint.
struck() { # SIGNAL N OUT
  lamina_with "$2" "$3" >struck.log 2>&1 &
  local run=$!
  until compgen -G "$3/checkpoint-*" >/dev/null || ! kill -0 $run 2>/dev/null; do sleep 0.01; done
  pkill "-$1" --newest -f "^$build/lamina train.* --out $3"
  wait $run
  local status=$?
  cat struck.log
  [ $status != 0 ] && [ ! -e "$3/weights.safetensors" ]
}

stops_with_all_saved() {
  struck TERM 3 stopped && grep -q "everything is saved" struck.log && grep -q "^stopped in epoch" struck.log
}

goes_on() { # N OUT
  timeout 120 mpirun -n "$1" "$build/lamina" train --resume --progress none --out "$2"
}

refuses() { # TEXT COMMAND...
  local text=$1
  shift
  "$@" >message 2>&1 && return 1
  cat message
  grep -q "$text" message
}

differ() { # OPTION VALUE OPTION VALUE: those of rank 0 and of rank 1
  timeout 120 mpirun -n 1 "$build/lamina" "${options[@]}" --out different "${@:1:2}" : \
    -n 1 "$build/lamina" "${options[@]}" --out different "${@:3}"
}

other_kernels() {
  timeout 120 mpirun -n 1 env LAMINA_CPU=v3 "$build/lamina" "${options[@]}" --out different : \
    -n 1 env LAMINA_CPU=generic "$build/lamina" "${options[@]}" --out different
}

tells_of_another_mpi() {
  OMPI_COMM_WORLD_SIZE=3 "$build/tests/test_parallel" >message 2>&1 && return 1
  cat message
  grep -q "3 processes were started together" message
}

if ! grep -q "^LAMINA_MPI.*=OFF" "$build/CMakeCache.txt" && command -v mpirun >/dev/null; then
  for n in 1 2 3 4; do
    check "$n ranks" with_ranks "$n" "$build/tests/test_parallel"
  done
  check "a run of 3 ranks" lamina_with 3 three
  check "a run of one process" "$build/lamina" "${options[@]}" --out one --micro-batch 10
  check "nearly the losses of one process" near_losses three one
  check "the same run again" lamina_with 3 again
  check "the same bytes" same_weights three again
  check "SIGTERM to one rank stops all, and saves" stops_with_all_saved
  check "which goes on" goes_on 3 stopped
  check "to the same bytes" same_weights three stopped
  check "a rank that is killed ends the others" struck KILL 3 killed
  check "which goes on" goes_on 3 killed
  check "to the same bytes" same_weights three killed
  check "and with other ranks" struck TERM 2 other
  check "which goes on" goes_on 4 other
  check "statistics over all ranks" lamina_with 3 synchronised --sync-batch-norm
  check "a run of one process" "$build/lamina" "${options[@]}" --out whole
  check "nearly the losses of the whole batch" near_losses synchronised whole
  check "not of its parts" refuses "micro-batch 5" lamina_with 3 different --sync-batch-norm --micro-batch 5
  check "ranks with different options" refuses "options/lr: 0.2, on rank 0 0.1" differ --lr 0.1 --lr 0.2
  check "ranks with different tests" refuses "options/eval_every: 2, on rank 0 1" differ --eval-every 1 --eval-every 2
  ! "$build/lamina" info --json | grep -A3 '"instruction_sets"' | grep -q '"v3"' ||
    check "ranks with different kernels" refuses 'resolved/kernels: "generic", on rank 0 "v3"' other_kernels
  [ ! -e different ] || check "nothing is left" false
  check "a command for one process" refuses "this command is for one" timeout 120 mpirun -n 2 "$build/lamina" bench train
  check "more ranks than images in a batch" refuses "for 3 ranks" lamina_with 3 small --batch 2
else
  echo "26 MPI cases skipped: no mpirun, or a build without MPI"
fi
check "one process" "$build/tests/test_parallel"
check "processes that do not see one another" tells_of_another_mpi
report
