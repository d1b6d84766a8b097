#!/usr/bin/env bash
# A program outside builds against an installed Lamina: by find_package and by pkg-config, from a prefix that was moved.
#
#   tests/installed.sh BUILD

set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
build=$(readlink -f "$1")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
source "$root/tests/checks.sh"
prefix=$scratch/moved
project=$scratch/project
# The examples that take seconds without arguments. Their exit status says whether what they show is so.
quick=(first_program own_objective own_optimizer own_layer own_op fine_tuning input_gradients hessian_vector)

install_and_move() {
  cmake --install "$build" --prefix "$scratch/prefix" && mv "$scratch/prefix" "$prefix"
}

# The C++ blocks of README.md: readme_1.cpp, readme_2.cpp …
extract_readme() {
  awk -v file="$project/readme_" '
    /^```cpp$/ { ++n; on = 1; next }
    /^```/ { on = 0 }
    on { print > (file n ".cpp") }' "$root/README.md"
  [ -f "$project/readme_1.cpp" ]
}

write_project() {
  mkdir -p "$project" && extract_readme || return
  ! ls "$root"/examples/*.cpp >/dev/null 2>&1 || cp "$root"/examples/*.cpp "$project"
  cat >"$project/CMakeLists.txt" <<'END'
cmake_minimum_required(VERSION 3.22)
project(mine CXX)
find_package(lamina REQUIRED)
file(GLOB sources *.cpp)
foreach(source ${sources})
  get_filename_component(name ${source} NAME_WE)
  file(STRINGS ${source} main REGEX "^int main")
  if(main)
    add_executable(${name} ${source})
  else()
    add_library(${name} OBJECT ${source})
  endif()
  target_link_libraries(${name} PRIVATE lamina::lamina)
endforeach()
END
}

build_project() {
  cmake -S "$project" -B "$project/build" -G Ninja -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_CXX_FLAGS=-O0 &&
    cmake --build "$project/build"
}

build_by_pkg_config() {
  local flags
  PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name lamina.pc)")
  export PKG_CONFIG_PATH
  flags=$(pkg-config --cflags --libs --static lamina) || return
  # shellcheck disable=SC2086
  ${CXX:-g++} -std=c++20 -O0 "$project/readme_1.cpp" -o "$project/by_pkg_config" $flags
}

starts() { # PROGRAM: its libraries are found, and it says what it lacks, data, or ends well
  (cd "$scratch" && "$1") >"$scratch/started" 2>&1 </dev/null
  local status=$?
  cat "$scratch/started"
  [ $status = 0 ] || grep -q "cifar-10-batches-bin" "$scratch/started"
}

headers_are_whole() {
  local lacking
  lacking=$(grep -rhoP '^#include "\K[^"]+' "$prefix/include" | sort -u | while read -r header; do
    [ -f "$prefix/include/lamina/$header" ] || echo "$header"
  done)
  echo "not installed: $lacking"
  [ -z "$lacking" ]
}

names_no_path() {
  local files
  mapfile -t files < <(find "$prefix" -name '*.cmake' -o -name '*.pc')
  [ ${#files[@]} -ge 4 ] && ! grep -nF -e "$root" -e "$build" -e "$scratch" "${files[@]}"
}

one_folder_of_headers() { [ "$(ls "$prefix/include")" = lamina ]; }

check "install, and move the prefix" install_and_move
check "headers in one folder" one_folder_of_headers
check "headers find one another" headers_are_whole
check "no path of the source or the build" names_no_path
check "lamina starts" "$prefix/bin/lamina" info
check "a project with README's code and the examples" write_project
check "find_package builds it" build_project
for name in "${quick[@]}"; do
  check "$name runs" env -C "$scratch" "$project/build/$name"
done
check "README's program starts" starts "$project/build/readme_1"
check "README's second program starts" starts "$project/build/readme_2"
check "pkg-config builds README's program" build_by_pkg_config
check "which starts" starts "$project/by_pkg_config"
report
