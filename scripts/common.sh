# shellcheck shell=bash disable=SC2034
# Shared by the scripts beside it: messages, Debian packages, building. Sourced, never run.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
log=$root/build/log.txt
build_packages=(g++ cmake ninja-build libeigen3-dev catch2 libcli11-dev nlohmann-json3-dev libfmt-dev gnuplot-nox
  libtomlplusplus-dev libjpeg-dev libpng-dev libstb-dev libxxhash-dev zlib1g-dev liblbfgs-dev)

say() { printf '%s\n' "$*" >&2; }
fail() { say "error: $*"; exit 1; }

# The comment at the head of the script that is running.
usage() { sed -n '2,/^$/{/^set /d;s/^# \{0,1\}//;p}' "$0" >&2; }

# Runs a command with its output in $log, which is shown in part, and named, if the command fails.
quietly() {
  mkdir -p "$(dirname "$log")"
  "$@" >"$log" 2>&1 </dev/null && return 0
  tail -n 25 "$log" >&2
  say "error: '$*' failed; its whole output: $log"
  return 1
}

# The packages among the arguments that are not installed, one a line.
lacking_packages() {
  local package
  for package in "$@"; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || echo "$package"
  done
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# Installs what is lacking among the arguments; fails without a word if that is impossible.
try_install() {
  local lacking
  mapfile -t lacking < <(lacking_packages "$@")
  [ ${#lacking[@]} -gt 0 ] || return 0
  [ "$(id -u)" = 0 ] || command -v sudo >/dev/null || return 1
  say "Installing ${lacking[*]} …"
  mkdir -p "$(dirname "$log")"
  {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update ||
      true # a stale list of packages may still serve
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${lacking[@]}"
  } >"$log" 2>&1 </dev/null
}

# Installs what is lacking among the arguments, or says what to do and ends the script.
install_packages() {
  if ! command -v dpkg-query >/dev/null; then
    say "This is not Debian or Ubuntu: please see to it that these are installed: $*"
    return 0
  fi
  try_install "$@" && return 0
  [ -s "$log" ] && tail -n 15 "$log" >&2
  fail "could not install packages. Install them and run this again:
  sudo apt-get install --no-install-recommends $(lacking_packages "$@" | tr '\n' ' ')"
}

# build PRESET [BUILD-OPTION...]: configures and builds build/PRESET.
build() {
  local preset=$1 started=$SECONDS
  shift
  say "Building build/$preset …"
  cd "$root" || return
  quietly cmake --preset "$preset"
  quietly cmake --build --preset "$preset" "$@"
  say "Built in $((SECONDS - started)) s."
}
