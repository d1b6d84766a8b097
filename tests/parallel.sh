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

kills() { # N OUT
  struck KILL "$1" "$2" && [ "$(grep -c "lamina: rank .* has died.*--resume" struck.log)" = 1 ]
}

goes_on() { # N OUT
  timeout 120 mpirun -n "$1" "$build/lamina" train --resume --progress none --out "$2"
}

cat >small.toml <<'TOML'
[base]
data = "synthetic:8x8x3x4"
limit_train = 300
limit_test = 50
model = "resnet8"
batch = 30
epochs = 30
checkpoint_steps = 7
[grid]
seed = [1, 2]
[[contender]]
label = "diverges"
optimizer = "sgd"
lr = 1e30
sync_batch_norm = true
[[contender]]
label = "LARS"
optimizer = "lars"
[evaluate]
knn = true
baseline = true
TOML

study_with() { # N OUT OPTION...
  local n=$1 out=$2
  shift 2
  timeout 240 mpirun -n "$n" "$build/lamina" study small.toml --progress none --out "$out" "$@"
}

same_as_a_run() { # STUDY: its run of LARS, seed 2, and one of lamina train
  lamina_with 3 of-train --optimizer lars --epochs 30 --seed 2 &&
    same_weights of-train "$1/runs/lars_seed=2"
}

same_study() { # STUDY STUDY
  same_weights "$1/runs/lars_seed=1" "$2/runs/lars_seed=1" && same_weights "$1/runs/lars_seed=2" "$2/runs/lars_seed=2" &&
    cmp "$1/table.md" "$2/table.md" && cmp "$1/runs/diverges_seed=1/failure.txt" "$2/runs/diverges_seed=1/failure.txt"
}

is_whole_study() { # STUDY
  [ -s "$1/report.html" ] && [ -s "$1/runs/lars_seed=2/knn.json" ] && [ "$(ls "$1/baselines")" = "$(printf 'resnet8_seed=%d\n' 1 2)" ] &&
    grep -q "epoch 1, step 2: the loss is" "$1/runs/diverges_seed=1/failure.txt" && [ ! -e "$1/runs/diverges_seed=2/weights.safetensors" ]
}

struck_study() { # N OUT: SIGTERM to the last rank, in the run of LARS with seed 1
  study_with "$1" "$2" >struck.log 2>&1 &
  local study=$!
  until compgen -G "$2/runs/lars_seed=1/checkpoint-*" >/dev/null || ! kill -0 $study 2>/dev/null; do sleep 0.01; done
  pkill -TERM --newest -f "^$build/lamina study.* --out $2"
  wait $study
  [ $? = 143 ] && grep -q "stopped; everything is saved in $2" struck.log && [ ! -e "$2/runs/lars_seed=1/weights.safetensors" ] ||
    { cat struck.log; return 1; }
}

other_study() { # of fewer runs, on rank 1
  sed 's/seed = .*/seed = [1, 3]/' small.toml >other.toml
  timeout 120 mpirun -n 1 "$build/lamina" study small.toml --out different : -n 1 "$build/lamina" study other.toml --out different
}

says() { # TEXT COMMAND...
  local text=$1
  shift
  "$@" >message 2>&1
  local status=$?
  cat message
  [ $status = 0 ] && grep -q "$text" message
}

refuses() { # TEXT COMMAND...
  local text=$1
  shift
  "$@" >message 2>&1 && return 1
  cat message
  grep -q "$text" message && ! grep -q "has died" message
}

whole_column() { # FILE NAME: no cell is empty
  awk -F, -v name="$2" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) at = i } NR > 1 && $at == "" { bad = 1 } END { exit bad || !at || NR < 2 }' "$1"
}

differ() { # OPTION VALUE OPTION VALUE: those of rank 0 and of rank 1
  timeout 120 mpirun -n 1 "$build/lamina" "${options[@]}" --out different "${@:1:2}" : \
    -n 1 "$build/lamina" "${options[@]}" --out different "${@:3}"
}

# Rank 1 has two of three images, of a size at which they outweigh what each step costs both ranks alike.
unlike_shares() {
  timeout 120 mpirun -n 2 "$build/lamina" train --data synthetic:128x128x3x4 --limit-train 96 --limit-test 8 --model resnet8 --batch 3 \
    --epochs 2 --threads 1 --workers 0 --progress plain --out unlike 2>progress.log
  cat progress.log
  [ "$(grep -cE "^epoch [12]/2 .* images/s  ranks 2, slowest \+[1-9][0-9] % \(rank 1\)$" progress.log)" = 2 ]
}

# What is hidden follows from the other numbers of the same output; on one machine the sums come after the pass.
tells_what_is_hidden() {
  timeout 120 mpirun -n 2 "$build/lamina" bench parallel --model resnet8 --batch 32 --threads 1 --steps 3 --json >hidden.json
  cat hidden.json
  awk -F'[:,]' '/"sum_ms"/ { sum = $2 } /"added_ms"/ { added[n++] = $2 } /"hidden"/ { hidden[m++] = $2 }
    /"step_ms"/ { steps++ } /"used": true/ { used++ } /"sums": "after the backward pass"/ { after++ } /"sums": "beside/ { beside++ }
    END { for (i = 0; i < n; i++) { d = hidden[i] - (1 - added[i] / sum); if (d * d > 1e-6) exit 1 }
      exit !(n == 2 && m == 2 && steps == 3 && used == 1 && after == 1 && beside == 1 && sum > 0) }' hidden.json &&
    timeout 120 mpirun -n 2 "$build/lamina" bench parallel --model resnet8 --batch 32 --threads 1 --steps 3 >hidden.txt &&
    cat hidden.txt && grep -q "^Hidden: 1 - added / .*sums after the backward pass\.$" hidden.txt
}

tells_of_no_ranks() {
  "$build/lamina" "${options[@]}" --epochs 2 --progress plain --out unlike-one 2>progress.log
  cat progress.log
  [ "$(grep -cE "^epoch [12]/2 .* images/s$" progress.log)" = 2 ]
}

other_kernels() {
  timeout 120 mpirun -n 1 env LAMINA_CPU=v3 "$build/lamina" "${options[@]}" --out different : \
    -n 1 env LAMINA_CPU=generic "$build/lamina" "${options[@]}" --out different
}

# On the emulated GPU, with a stand-in for NCCL.
emulated_with() { # N OUT OPTION...
  local n=$1 out=$2
  shift 2
  timeout 240 mpirun -n "$n" "$build/tests/lamina_emulated" "${options[@]}" --epochs 2 --lr 0.1 --workers 0 --threads 1 --out "$out" "$@"
}

on_cpu() { # N OUT OPTION...
  emulated_with "$@" --device cpu
}

near_first_losses() { # OUT OUT: of f32 sums in another order, at a rate that amplifies no rounding
  paste -d, <(cut -d, -f5 "$1/steps.csv") <(cut -d, -f5 "$2/steps.csv") |
    awk -F, 'NR > 1 && NR < 8 { n++; d = $1 / $2 - 1; if (d * d > 1e-10) { print; bad = 1 } } END { exit bad || n != 6 }'
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
  check "a rank that is killed ends the others, one of which says so" kills 3 killed
  check "which goes on" goes_on 3 killed
  check "to the same bytes" same_weights three killed
  check "and with other ranks" struck TERM 2 other
  check "which goes on, and says that they are others" says "was computed by 2 ranks: by 4 ranks the run goes on" goes_on 4 other
  check "the progress says which rank is slowest" unlike_shares
  check "bench parallel says what the backward pass hides" tells_what_is_hidden
  check "statistics over all ranks" lamina_with 3 synchronised --sync-batch-norm
  check "a run of one process" "$build/lamina" "${options[@]}" --out whole
  check "nearly the losses of the whole batch" near_losses synchronised whole
  check "not of its parts" refuses "micro-batch 5" lamina_with 3 different --sync-batch-norm --micro-batch 5
  check "ranks with different options" refuses "options/lr: 0.2, on rank 0 0.1" differ --lr 0.1 --lr 0.2
  check "ranks with different tests" refuses "options/eval_every: 2, on rank 0 1" differ --eval-every 1 --eval-every 2
  ! "$build/lamina" info --json | grep -A3 '"instruction_sets"' | grep -q '"v3"' ||
    check "ranks with different kernels" refuses 'resolved/kernels: "generic", on rank 0 "v3"' other_kernels
  check "a study on 3 ranks" study_with 3 study
  check "all of it" is_whole_study study
  check "a run of it is that of lamina train" same_as_a_run study
  check "SIGTERM to one rank stops a study, and saves" struck_study 3 stopped-study
  check "which goes on" study_with 3 stopped-study
  check "to the same bytes" same_study study stopped-study
  check "and on other ranks" struck_study 2 other-study
  check "which goes on" study_with 4 other-study
  check "to its end" is_whole_study other-study
  check "ranks with different studies" refuses 'runs/2: "diverges_seed=3", on rank 0 "diverges_seed=2"' other_study
  check "ranks with different commands" refuses "rank 1 was started as lamina pretrain, rank 0 as lamina study" timeout 120 mpirun \
    -n 1 "$build/lamina" study small.toml --out different : -n 1 "$build/lamina" pretrain --data synthetic --method simclr
  [ ! -e different ] || check "nothing is left" false
  check "a command for one process" refuses "this command is for one" timeout 120 mpirun -n 2 "$build/lamina" bench train
  check "ranks with different data" refuses "data, there on that rank, here on rank 0: .*pattern4" differ --data synthetic:8x8x3x4 --data synthetic:8x8x3x5
  check "perturbations and noise of ranks" lamina_with 3 perturbed --epochs 1 --sam 0.05 --noise-scale
  check "all measured" whole_column perturbed/steps.csv noise_scale
  check "parts that lie on two ranks" refuses "sam-m 7 on 3 ranks.*a multiple of 21" lamina_with 3 different --sam 0.05 --sam-m 7
  check "curvature of statistics over ranks" refuses "sharpness-bn train with --sync-batch-norm" lamina_with 3 different --sync-batch-norm --sharpness-every 1 --sharpness-bn train
  check "more ranks than images" refuses "a batch of 2 samples for 3 ranks.*3 or more" lamina_with 3 different --limit-train 2 --batch 2
  check "more ranks than images in a batch" refuses "for 3 ranks" lamina_with 3 different --batch 2
  if [ -x "$build/tests/lamina_emulated" ]; then
    for n in 1 2 3; do
      check "sums of $n GPUs" with_ranks "$n" "$build/tests/test_emulation" "[ranks]"
    done
    check "2 ranks with a GPU each" emulated_with 2 gpus --device cuda
    check "kernel by kernel" emulated_with 2 eager --device cuda --eager
    check "the same bytes" same_weights gpus eager
    check "2 ranks on the CPU" on_cpu 2 cpus
    check "nearly their losses" near_first_losses gpus cpus
    parts=(--micro-batch 4 --sam 0.05 --noise-scale)
    check "perturbations and noise of parts on GPUs" emulated_with 2 gpu-parts --device cuda "${parts[@]}"
    check "and on the CPU" on_cpu 2 cpu-parts "${parts[@]}"
    check "nearly their losses" near_first_losses gpu-parts cpu-parts
    check "a GPU for two ranks" refuses "is also that of another rank of this machine" emulated_with 2 different --device cuda:0
    check "statistics over GPUs" refuses "statistics over ranks are for the CPU" emulated_with 2 different --device cuda --sync-batch-norm
    [ ! -e different ] || check "nothing is left" false
  fi
else
  [ -x "$build/tests/lamina_emulated" ] && skipped=58 || skipped=45
  echo "$skipped MPI cases skipped: no mpirun, or a build without MPI"
fi
check "statistics over ranks do nothing in one process" says "sync-batch-norm does nothing in one process" \
  "$build/lamina" "${options[@]}" --epochs 1 --out single --sync-batch-norm
check "and are not of parts" refuses "with --micro-batch 10 of --batch 30 each part has its own" \
  "$build/lamina" "${options[@]}" --out different --sync-batch-norm --micro-batch 10
check "nor has one part of a batch a noise" refuses "give a --micro-batch smaller than --batch 30" \
  "$build/lamina" "${options[@]}" --out different --noise-scale
[ ! -e different ] || check "nothing is left" false
check "one process" "$build/tests/test_parallel"
check "whose progress tells of no ranks" tells_of_no_ranks
check "processes that do not see one another" tells_of_another_mpi
report
