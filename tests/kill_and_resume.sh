#!/usr/bin/env bash
# Kills a training run at random moments, resumes it each time, and compares its final weights, logs and traces byte
# for byte with those of a run left alone; then does the same for other numbers of threads and workers.
#
#   tests/kill_and_resume.sh LAMINA NAME[:DIR] [KILLS [OPTION...]]
#
#   tests/kill_and_resume.sh build/release/lamina cifar10:datasets 20 --device cuda

set -euo pipefail
lamina=$1 data=$2 kills=${3:-20}
shift $(($# < 3 ? $# : 3))
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
recipe=(--data "$data" --model resnet8 --optimizer tvlars --lr 1 --batch 128 --limit-train 10240 --limit-test 1000
  --epochs 4 --trace --checkpoint-steps 7 --progress none "$@")

same() {
  cmp "$work/whole/weights.safetensors" "$work/$1/weights.safetensors"
  cmp "$work/whole/trace.safetensors" "$work/$1/trace.safetensors"
  # All but the two columns of time.
  cmp <(cut -d, -f1-6 "$work/whole/steps.csv") <(cut -d, -f1-6 "$work/$1/steps.csv")
}

# Waits until the process trains, which a GPU lets begin seconds after the program: until it has written to its log.
wait_for_steps() { # PID RUN
  local log=$work/$2/steps.csv before
  before=$(stat -c %y "$log" 2>/dev/null || true)
  while kill -0 "$1" 2>/dev/null && [ "$(stat -c %y "$log" 2>/dev/null)" = "$before" ]; do sleep 0.01; done
}

"$lamina" train "${recipe[@]}" --out "$work/whole" >/dev/null &
wait_for_steps $! whole
start=$(date +%s%N)
wait $!
duration=$((($(date +%s%N) - start) / 1000000))
echo "The whole run trained for $duration ms."

killed=0
"$lamina" train "${recipe[@]}" --out "$work/killed" >/dev/null 2>"$work/log" &
while true; do
  pid=$!
  if [ "$killed" -lt "$kills" ]; then
    wait_for_steps $pid killed
    sleep "$(awk -v seed="$RANDOM" -v most=$((2 * duration / kills)) 'BEGIN { srand(seed); print (100 + rand() * most) / 1000 }')"
    if kill -9 $pid 2>/dev/null; then killed=$((killed + 1)); fi
  fi
  status=0
  { wait $pid || status=$?; } 2>/dev/null # without the shell's own word on it
  [ $status != 0 ] || break
  [ $status = 137 ] || { cat "$work/log"; exit 1; }
  if [ -d "$work/killed" ]; then
    "$lamina" train --resume --out "$work/killed" --progress none >/dev/null 2>"$work/log" &
  else
    "$lamina" train "${recipe[@]}" --out "$work/killed" >/dev/null 2>"$work/log" &
  fi
done
same killed
echo "Killed $killed times: the same bytes."

for threads in 1 2 4; do
  "$lamina" train "${recipe[@]}" --threads $threads --workers $((threads - 1)) --out "$work/threads-$threads" >/dev/null
  same threads-$threads
  echo "$threads threads, $((threads - 1)) workers: the same bytes."
done
