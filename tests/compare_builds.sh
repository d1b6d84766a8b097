#!/usr/bin/env bash
# Whether two builds of the program train to the same bits: the weights and traces of tiny trainings of every optimizer,
# plain, in parts with everything measured, and stopped and gone on with. For changes that must not change results.
#
#   tests/compare_builds.sh PROGRAM OTHER

set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/checks.sh"
one=$(readlink -f "$1") other=$(readlink -f "$2")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch" || exit 1

common=(train --data synthetic:8x8x3x4 --limit-train 200 --limit-test 64 --model resnet8 --batch 30 --threads 2 --progress none)
everything=(--micro-batch 7 --trace --noise-scale --label-smoothing 0.1 --warmup-epochs 0.5 --schedule cosine)

stopped_and_resumed() { # PROGRAM OUT
  "$1" "${common[@]}" --lr 0.05 --epochs 30 --micro-batch 7 --trace --checkpoint-steps 3 --out "$2" &
  local run=$!
  while [ ! -e "$2/checkpoint-6.safetensors" ] && kill -0 $run; do sleep 0.005; done
  kill -INT $run
  wait $run
  [ $? = 130 ] && "$1" train --resume --progress none --out "$2"
}

same() { # NAME COMMAND...: with the program put in front of its arguments, and a directory behind them
  local name=$1
  shift
  "$1" "$one" "${@:2}" "one-$name" && "$1" "$other" "${@:2}" "other-$name" || return 1
  same_tensors weights "$name" || return 1
  [ ! -e "one-$name/trace.safetensors" ] || same_tensors trace "$name"
}
# Without their header, in which versions say different things of a run.
tensors() { tail -c "+$(($(od -A n -t u8 -N 8 "$1") + 9))" "$1"; }
same_tensors() { cmp <(tensors "one-$2/$1.safetensors") <(tensors "other-$2/$1.safetensors"); }
train() { "$1" "${common[@]}" --epochs 2 "${@:2:$#-2}" --out "${!#}"; } # PROGRAM OPTION... OUT

for optimizer in sgd adamw lars lamb tvlars lars:barlowtwins lamb:official tvlars:official; do
  check "$optimizer" same "$optimizer" train --optimizer "$optimizer" --lr 0.05
  check "$optimizer in parts, measured" same "$optimizer-parts" train --optimizer "$optimizer" --lr 0.05 "${everything[@]}"
done
check "stopped and resumed" same resumed stopped_and_resumed
report
