# shellcheck shell=bash
# Sourced by the parts of scripts/test-gpu, which sets root, build, out, part, quick, data and limit (in seconds).

set -uo pipefail
: "${root:?scripts/test-gpu runs this}" "${build:?}" "${out:?}" "${part:?}" "${quick:?}" "${limit:?}"
lamina=$build/lamina

# row WHAT RESULT [FIGURE [TARGET]]: a line of the table; scripts/test-gpu lists the results.
row() { printf '%s\t%s\t%s\t%s\t%s\n' "$part" "$1" "$2" "${3:-}" "${4:-}" >>"$out/rows.tsv"; }

# The seconds that are left of the part's time.
left() { echo $((limit - SECONDS)); }

# measure NAME SCRIPT OPTION...: a script of tests/peers, which writes its rows and figures itself.
measure() {
  local name=$1 script=$2
  shift 2
  [ "$quick" = false ] || set -- "$@" --quick
  PYTHONUNBUFFERED=1 python3 "$root/tests/peers/$script" --lamina "$lamina" --part "$part" --rows "$out/rows.tsv" \
    --figures "$out/$name.figures.json" --seconds "$(($(left) - 5))" "$@"
}

# train DATA RUN OPTION...: a run on the GPU.
train() {
  local images=$1 run=$2
  shift 2
  rm -rf "$run"
  "$lamina" train --data "$images" --device cuda --progress none --out "$run" "$@"
}

# same_bytes RUN RUN: of two runs with --trace, in all but the two columns of time.
same_bytes() {
  cmp "$1/weights.safetensors" "$2/weights.safetensors" && cmp "$1/trace.safetensors" "$2/trace.safetensors" &&
    cmp <(cut -d, -f1-6 "$1/steps.csv") <(cut -d, -f1-6 "$2/steps.csv")
}

# The last line of what the part has printed.
last_line() { tail -n 1 "$out/$part.log" | cut -c1-160; }
