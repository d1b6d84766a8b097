# Compiler options, and lamina_library(): a folder is a library, which links only downwards.
#   apps -> compare | analysis -> train -> layers | optim | data -> core

# What every target shares. -ffp-contract=off: an element's value must not depend on whether it fell into a
# vectorised loop body or its tail. errno and trapping flags change no value. No fast-math.
add_library(lamina_options INTERFACE)
function(lamina_compile_options)  # of C++; nvcc has its own (cmake/cuda.cmake)
  target_compile_options(lamina_options INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:${ARGN}>")
endfunction()
target_compile_features(lamina_options INTERFACE cxx_std_20)
lamina_compile_options(-ffp-contract=off -fno-math-errno -fno-trapping-math)
lamina_compile_options($<$<CXX_COMPILER_ID:GNU>:--param=ggc-min-heapsize=1000000>)  # collects no garbage below 1 GB: a tenth of its time
lamina_compile_options(-fopenmp-simd)  # `omp simd` alone: loops for vector registers, no runtime
if(PROJECT_IS_TOP_LEVEL OR LAMINA_WERROR)
  lamina_compile_options(-Wall -Wextra -Wpedantic -Wconversion -Wshadow)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    lamina_compile_options(-Wno-restrict)  # false alarms on std::string, GCC bug 105651
  elseif(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    lamina_compile_options(-Wno-pass-failed)  # `omp simd` around exp stays scalar: no harm
  endif()
else()
  lamina_compile_options(-w)  # the warnings, and the -Werror, of a project that embeds Lamina are for its own code
endif()
if(LAMINA_WERROR)
  lamina_compile_options(-Werror)
endif()
if(LAMINA_SANITIZE)
  lamina_compile_options(-fsanitize=${LAMINA_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(lamina_options INTERFACE -fsanitize=${LAMINA_SANITIZE})
endif()
if(LAMINA_FUZZ)
  lamina_compile_options(-fsanitize=fuzzer-no-link)
endif()

# For code that takes no time when run, but much when optimised: the program's options and files.
set(quick_to_compile $<$<CONFIG:Release>:-O1>)
# For the tests: to compile them takes longer than to run them.
set(not_optimised $<$<CONFIG:Release>:-O0>)
# What nearly every file includes, parsed once where units are many: a quarter of the build's time otherwise.
set(common_headers <algorithm> <filesystem> <functional> <map> <memory> <optional> <string> <vector> <fmt/format.h>)

# For a target whose files are small and many: most of their time goes into what they include.
function(lamina_compile_together target)
  set_target_properties(${target} PROPERTIES UNITY_BUILD ${LAMINA_UNITY} UNITY_BUILD_BATCH_SIZE 0)
endfunction()

# What a library's files are compiled with, whatever an embedding project has set.
function(lamina_compile_as_library target)
  set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE ON UNITY_BUILD OFF
                        CXX_STANDARD 20 CXX_STANDARD_REQUIRED ON CXX_EXTENSIONS OFF)
  target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-fno-semantic-interposition>)  # inlines as without PIC
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR})
endfunction()

# The library lamina_FOLDER, lamina::FOLDER outside, of a folder's sources.
function(lamina_library folder)
  set(library lamina_${folder})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${folder}/*.cpp)
  list(FILTER sources EXCLUDE REGEX "/core/cuda(/|_stub\\.cpp)")  # one or the other is added to core
  list(FILTER sources EXCLUDE REGEX "/apps/main\\.cpp$|/core/cpu/|/optim/engine/built_in_steps\\.cpp$|/core/parallel/mpi")  # lamina_add_kernels(); one or the other
  add_library(${library} STATIC ${sources})
  add_library(lamina::${folder} ALIAS ${library})
  set_target_properties(${library} PROPERTIES EXPORT_NAME ${folder} CUDA_STANDARD 20)
  lamina_compile_as_library(${library})
  target_compile_features(${library} PUBLIC cxx_std_20)
  set(system SYSTEM)  # in a project that embeds Lamina, whose warnings are for its own code
  if(PROJECT_IS_TOP_LEVEL)
    set(system "")
  endif()
  target_include_directories(${library} ${system} INTERFACE $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>)
  target_link_libraries(${library} PRIVATE $<BUILD_INTERFACE:lamina_options>)
  if(LAMINA_SANITIZE)
    target_link_options(${library} INTERFACE -fsanitize=${LAMINA_SANITIZE})
  endif()
endfunction()
