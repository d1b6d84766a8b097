#!/usr/bin/env bash
# A project embeds Lamina by add_subdirectory, and nothing of it but the library shows there.
#
#   tests/subdirectory.sh [--build]
#
#   --build   compiles README's program in it as well: minutes

set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
source "$root/tests/checks.sh"
export CMAKE_GENERATOR=Ninja
unset CMAKE_BUILD_TYPE CMAKE_CXX_COMPILER_LAUNCHER CMAKE_EXPORT_COMPILE_COMMANDS # CMake would heed them

# parent NAME: a project whose settings are not Lamina's.
parent() {
  mkdir "$scratch/$1" && cd "$scratch/$1" || return
  cat <<'END' >CMakeLists.txt
cmake_minimum_required(VERSION 3.22)
project(parent VERSION 1 LANGUAGES CXX)
set(CMAKE_CXX_STANDARD 17)
set(CMAKE_POSITION_INDEPENDENT_CODE OFF)
set(CMAKE_UNITY_BUILD ON)
add_compile_options(-Wall -Wextra -Wold-style-cast -Wuseless-cast -Werror)
END
  awk '/^```cpp$/ { on = 1; next } /^```/ && on { exit } on' "$root/README.md" >mine.cpp
}

find_packages() { grep '^find_package(' "$root/CMakeLists.txt" >>CMakeLists.txt; } # they fill the cache too

embed() { # adds Lamina to the project here, in a folder `lamina` that CMake may write into
  mkdir lamina && ln -s "$root"/* lamina && rm -f lamina/{build,CMakeFiles} || return
  cat <<'END' >>CMakeLists.txt
add_subdirectory(lamina)
if(NOT TARGET lamina::lamina)
  message(FATAL_ERROR "lamina::lamina is no target")
endif()
foreach(target lamina_program lamina_apps test_core)
  if(TARGET ${target} AND NOT LAMINA_PROGRAM)
    message(FATAL_ERROR "${target} is a target")
  endif()
endforeach()
if(CMAKE_BUILD_TYPE OR CMAKE_CXX_COMPILER_LAUNCHER OR CMAKE_BUILD_RPATH OR CMAKE_EXPORT_COMPILE_COMMANDS)
  message(FATAL_ERROR "a variable of this project has been set")
endif()
if(NOT CMAKE_CXX_STANDARD EQUAL 17)
  message(FATAL_ERROR "the C++ standard has been set")
endif()
add_executable(mine mine.cpp)
target_link_libraries(mine PRIVATE lamina::lamina)
END
}

configure() { # BUILD-FOLDER [OPTION...]
  cmake -S . -B "$@" -DLAMINA_CUDA=OFF
}

entries() { grep -oP '^[^#/:][^:]*(?=:)' "$1/CMakeCache.txt" | sort; }

only_own_entries() { # PLAIN-BUILD BUILD: what is in the second's cache alone
  local more
  more=$(comm -13 <(entries "$1") <(entries "$2") | grep -vE '^(LAMINA_[A-Z]+(-STRINGS)?|lamina_(SOURCE_DIR|BINARY_DIR|IS_TOP_LEVEL|.*LIB_DEPENDS))$')
  echo "set by Lamina: $more"
  [ -z "$more" ] && grep -qx 'CMAKE_BUILD_TYPE:STRING=' "$2/CMakeCache.txt"
}

# Lamina's files are compiled as C++20 and its dependents too, others as they were.
standards() {
  local commands
  commands=$(ninja -C build -t commands mine | grep -e ' -c ')
  grep -q -e '-std=gnu++20 .*mine\.dir' <<<"$commands" && ! grep 'core/tensor.cpp' <<<"$commands" | grep -v -e '-std=c++20'
}

# lamina/lamina is a folder of headers if one builds among the sources.
program_has_a_place() { # BUILD
  local program
  configure "$1" -DLAMINA_PROGRAM=ON || return
  program=$(ninja -C "$1" -t targets all | sed -n 's/: CXX_EXECUTABLE_LINKER__lamina_program.*//p')
  echo "the program: $program"
  [ -n "$program" ] && [ ! -d "$1/$program" ]
}

builds() { # and starts: there are no data
  configure build && cmake --build build --target mine || return
  { ./build/mine 2>&1 || true; } | grep cifar-10-batches-bin
}

check "a project without Lamina" parent plain
check "configures" eval "find_packages && configure build"
plain=$scratch/plain/build
check "a project with Lamina in it" parent below
check "configures with it" eval "embed && configure build"
check "nothing else in its cache" only_own_entries "$plain" build
check "no folder in the program's place" program_has_a_place build
check "C++20 where it is needed" standards
if [ "${1:-}" = --build ]; then
  check "README's program builds and starts" builds
fi
check "a project that builds where its sources are" parent inside
check "configures there" eval "embed && configure ."
check "nothing else in that cache" only_own_entries "$plain" .
check "no folder in the program's place there" program_has_a_place .
report
