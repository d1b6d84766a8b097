# shellcheck shell=bash
# For test scripts: counts checks and reports them like Catch2. Sourced, never run; expects $scratch, a folder.

passed=0 failed=0

# check WHAT COMMAND...: shows the output of a command that fails.
check() {
  local what=$1
  shift
  if "$@" >"$scratch/output" 2>&1; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "failed: $what"
    cat "$scratch/output"
  fi
}

# The last line; its status is the script's.
report() {
  echo "test cases: $((passed + failed)) | $passed passed | $failed failed"
  [ $failed = 0 ]
}
