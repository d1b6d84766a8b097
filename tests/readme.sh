#!/usr/bin/env bash
# Runs the commands of README.md on tiny random images, with one epoch of small batches: every line of its ```sh
# blocks that starts with "lamina", in order. Then the programs of docs/tutorial.md, which fail where what they show is not so.
#
#   tests/readme.sh PROGRAM        the tutorial's are beside it, in tests/

set -euo pipefail
readme=$(cd "$(dirname "$0")/.." && pwd)/README.md
program=$(readlink -f "$1")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
mkdir bin
ln -s "$program" bin/lamina
ln -s "$(dirname "$readme")"/{docs,studies} .
export PATH=$scratch/bin:$PATH LAMINA_DATA=$scratch/data XDG_CACHE_HOME=$scratch/cache

# CIFAR-10's layout: a record is a label byte and 3072 pixels.
make_cifar10() {
  local file i folder=$LAMINA_DATA/cifar-10-batches-bin
  mkdir -p "$folder"
  for file in data_batch_{1..5} test_batch; do
    for ((i = 0; i < 10; ++i)); do
      printf %b "\\x0$((i % 10))"
      head -c 3072 /dev/urandom
    done >"$folder/$file.bin"
  done
}

make_image() { # 32×32 pixels of one colour
  base64 -d >cat.png <<'END'
iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAIAAAD8GO2jAAAAK0lEQVR42u3NQQEAQAQAMC6NTHIKeCX4bQWW0xWXXhwTCAQCgUAg
EAgEWz498AF2cHp0bgAAAABJRU5ErkJggg==
END
}

commands() {
  awk '/^```sh$/ { on = 1; next } /^```/ { on = 0 } on' "$readme" |
    sed -e ':join' -e '/\\$/{N;s/\\\n *//;b join' -e '}' |
    sed -nE -e 's/ +#.*//' -e 's/--epochs [0-9]+/--epochs 1/' -e 's/--batch [0-9]+/--batch 32/' \
      -e 's/--micro-batch [0-9]+/--micro-batch 16/' -e 's/--warmup-epochs [0-9]+/--warmup-epochs 0.5/' -e '/^lamina /p'
}

passed=0 failed=0
run() { # COMMAND
  local status=0
  bash -euc "$1" >output.txt 2>&1 </dev/null || status=$?
  if [ $status = 0 ]; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "failed with status $status: $1"
    cat output.txt
  fi
}

make_cifar10
make_image
while read -r command; do run "$command"; done < <(commands)
[ $((passed + failed)) -gt 0 ] || { echo "no commands found in $readme"; exit 1; }
for number in $(seq "$(grep -c '^int main' "$(dirname "$readme")/docs/tutorial.md")"); do
  run "$(dirname "$program")/tests/docs_tutorial_$number"
done
echo "test cases: $((passed + failed)) | $passed passed | $failed failed"
[ $failed = 0 ]
