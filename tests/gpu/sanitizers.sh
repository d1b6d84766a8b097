#!/usr/bin/env bash
# compute-sanitizer: memory errors, races, reads of memory that nothing wrote, and misused barriers in a small training
# run with a trace; memory errors in every op and kernel too. As sanitizers-short memory errors in our kernels in bf16
# and the optimizers' steps, and races and misused barriers in batch normalisation.
source "$(dirname "${BASH_SOURCE[0]}")/part.sh"
work=$out/sanitizers
mkdir -p "$work"

sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer \
  /usr/local/cuda/compute-sanitizer/compute-sanitizer 2>/dev/null | head -n 1)
if [ -z "$sanitizer" ]; then
  row "compute-sanitizer" FAILED "not found on the PATH nor in /usr/local/cuda"
  exit 1
fi

# The errors that a log reports. Reads of memory that nothing wrote count where one of our kernels made them: NVIDIA's
# read beyond the channels there are, and drop what they read.
count_errors() { # TOOL LOG
  case $1 in
    initcheck) awk '/^========= Uninitialized/ { getline; if (/lamina/) ++n } END { print n + 0 }' "$2" ;;
    racecheck) sed -n 's/^========= RACECHECK SUMMARY: .*(\([0-9]*\) errors\?.*/\1/p' "$2" | tail -n 1 ;;
    *) sed -n 's/^========= ERROR SUMMARY: \([0-9]*\) errors\?.*/\1/p' "$2" | tail -n 1 ;;
  esac
}

# sanitize TOOL WHAT COMMAND...
sanitize() {
  local tool=$1 what="$1: $2" log status=0 started=$SECONDS errors
  log=$work/$(tr -c 'a-z0-9\n' - <<<"$what").txt
  shift 2
  # Calls that fail are no error here: whoever makes them looks at what they return.
  local options=(--tool "$tool" --print-limit 10000 --log-file "$log")
  if [ "$tool" = memcheck ]; then options+=(--report-api-errors no); fi
  # NVIDIA's kernels are not ours to check for races. initcheck must see all, or it would not know what they wrote.
  case $tool in racecheck | synccheck) options+=(--kernel-name kernel_substring=lamina) ;; esac
  timeout "$patience" "$sanitizer" "${options[@]}" "$@" || status=$?
  if ! grep -q 'SUMMARY' "$log" 2>/dev/null; then
    row "$what" FAILED "no result, exit status $status after $((SECONDS - started)) s; $log"
    return
  fi
  errors=$(count_errors "$tool" "$log")
  if [ "${errors:-unknown}" != 0 ]; then
    row "$what" FAILED "errors: ${errors:-unknown}; $log"
  elif [ $status != 0 ]; then
    row "$what" FAILED "exit status $status; $log"
  else
    row "$what" passed "no error, $((SECONDS - started)) s"
  fi
}

patience=170
export LAMINA_GPU_MEMORY=separate # in segments shared by many tensors an access past a tensor's end would not show
if [ "$part" = sanitizers-short ]; then
  tests=$build/tests/test_gpu patience=60
  "$tests" "[bf16],[engine]" # and cuDNN's engines are chosen: trying them under a tool takes minutes
  sanitize memcheck "kernels in bf16" "$tests" "[bf16]"
  patience=30
  sanitize memcheck "the optimizers' steps" "$tests" "[engine]"
  sanitize racecheck "batch normalisation" "$tests" "*batch norm*"
  sanitize synccheck "batch normalisation" "$tests" "*batch norm*"
  exit 0
fi
precisions=(bf16 f32)
tools=(memcheck racecheck initcheck synccheck)
[ "$quick" = false ] || precisions=(bf16) tools=(memcheck racecheck)
small=(--model resnet8 --optimizer tvlars --lr 1 --batch 32 --limit-train 128 --limit-test 32 --epochs 1 --trace)
for precision in "${precisions[@]}"; do
  train synthetic "$work/run" "${small[@]}" --precision "$precision" || row "without a tool, $precision" FAILED "training failed"
done
"$build/tests/test_gpu" "~[model]" # and cuDNN's engines are chosen: trying them under a tool takes minutes
for tool in "${tools[@]}"; do
  for precision in "${precisions[@]}"; do
    # Products in bf16 store their results by bulk copies on Hopper. Not all of those are seen to write (initcheck's
    # release notes, 2025.4, and its known limitations): our kernels would seem to read what nothing wrote.
    [ "$tool-$precision" != initcheck-bf16 ] || continue
    rm -rf "$work/run"
    sanitize "$tool" "training, $precision" "$lamina" train --data synthetic --device cuda --progress none \
      --out "$work/run" "${small[@]}" --precision "$precision"
  done
done
sanitize memcheck "every op and kernel" "$build/tests/test_gpu" "~[model]"
[ "$quick" = true ] ||
  sanitize initcheck "our kernels, bf16" "$build/tests/test_gpu" '[bf16]~"convolutions in bf16*"~"products in bf16*"'
