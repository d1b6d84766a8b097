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
export OMPI_MCA_mpi_yield_when_idle=1 OMPI_MCA_btl_base_warn_component_unused=0

with_ranks() { # N COMMAND...
  local n=$1
  shift
  timeout 120 mpirun -n "$n" bash -c '[ "${OMPI_COMM_WORLD_RANK:-${PMI_RANK:-0}}" = 0 ] || exec "$@" >/dev/null; exec "$@"' _ "$@"
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
else
  echo "4 MPI cases skipped: no mpirun, or a build without MPI"
fi
check "one process" "$build/tests/test_parallel"
check "processes that do not see one another" tells_of_another_mpi
report
