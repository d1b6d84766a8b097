#!/usr/bin/env bash
# Strikes a run of several ranks at random moments, again and again: a killed rank ends the others within half a
# minute, one of them saying so, a paused one delays them, and the run goes on to the bytes of one that was left alone.
#
#   tests/parallel_kills.sh BUILD [KILLS [RANKS]]

set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
build=$(readlink -f "$1") kills=${2:-20} ranks=${3:-3}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
source "$root/tests/checks.sh"
cd "$scratch" || exit 1

# More ranks than cores, and as root in a container, are for tests alone.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
export OMPI_MCA_mpi_yield_when_idle=1 OMPI_MCA_btl_vader_single_copy_mechanism=none

start() { # OUT
  timeout 300 mpirun -n "$ranks" "$build/lamina" train --data synthetic:8x8x3x4 --limit-train 300 --limit-test 50 --model resnet8 \
    --batch 30 --epochs 40 --checkpoint-steps 5 --progress none --out "$1"
}
go_on() { # OUT
  timeout 300 mpirun -n "$ranks" "$build/lamina" train --resume --progress none --out "$1"
}
random_rank() { pgrep -f "^$build/lamina train.* --out struck" | shuf -n 1; }
pause() { sleep "$(awk "BEGIN { srand($RANDOM); print $1 * rand() }")"; }

# Status 0: it was struck and ended in time; 3: it had ended before.
strike() {
  local seconds
  if [ -e struck/config.json ]; then go_on struck >log 2>&1 & else start struck >log 2>&1 & fi
  local run=$!
  pause 3
  kill -9 "$(random_rank)" 2>/dev/null || { wait $run; return 3; }
  SECONDS=0
  wait $run && { cat log; return 3; }
  seconds=$SECONDS
  [ "$seconds" -lt 30 ] || { echo "the others ended after $seconds s"; cat log; return 1; }
  # before there is a run they may not have found one another, after its end they part
  ! grep -q "^run " log || [ -e struck/weights.safetensors ] || [ "$(grep -c "lamina: rank .* has died" log)" = 1 ] || { cat log; return 1; }
}

survives() { # until so many ranks were killed, in as many runs as it takes
  local struck=0 status
  while [ "$struck" -lt "$kills" ]; do
    strike
    status=$?
    [ $status = 1 ] && return 1
    [ $status = 0 ] && struck=$((struck + 1))
    [ $status = 3 ] && { finishes || return; rm -rf struck; }
  done
  finishes
}

finishes() {
  if [ ! -e struck/weights.safetensors ]; then
    if [ -e struck/config.json ]; then go_on struck >log 2>&1; else start struck >log 2>&1; fi || { cat log; return 1; }
  fi
  cmp alone/weights.safetensors struck/weights.safetensors
}

is_delayed() { # a rank stands still five times for up to a second
  local rank
  rm -rf struck
  start struck >log 2>&1 &
  local run=$!
  for _ in 1 2 3 4 5; do
    pause 0.5
    rank=$(random_rank)
    kill -STOP "$rank" 2>/dev/null || break
    pause 1
    kill -CONT "$rank"
  done
  wait $run || { cat log; return 1; }
  cmp alone/weights.safetensors struck/weights.safetensors
}

check "a run of $ranks ranks that is left alone" start alone
check "$kills ranks killed: the others end, and it goes on to the same bytes" survives
check "a rank that stands still delays the others" is_delayed
report
