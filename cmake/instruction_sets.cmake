# The CPU's kernels are compiled once for each instruction set, and the program chooses between them when it starts
# (core/instruction_set.h). All else is compiled for the oldest CPU: the program runs on any.
#
# The kernels of a set become one object of which only the namespace lamina::cpu::SET is visible. Of an inline function
# that several objects have, a linker keeps any one, which must not be one with instructions that other CPUs lack.
set(instruction_sets "")
if(LAMINA_ARCH STREQUAL "auto")
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64" AND NOT LAMINA_SANITIZE)
    set(instruction_sets generic v3 v4)  # as in core/cpu_twins.h
    set(options_of_generic -march=x86-64 $<$<CONFIG:Release>:-O1>)  # for CPUs of before 2013: half the time to compile
    set(options_of_v3 -march=x86-64-v3)
    set(options_of_v4 -march=x86-64-v4)
  elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")  # sanitizers describe symbols, which are gone then
    set(only_instruction_set x86-64-v3)
  endif()
else()
  set(only_instruction_set ${LAMINA_ARCH})
endif()
if(only_instruction_set)
  lamina_compile_options(-march=${only_instruction_set})
else()
  set(only_instruction_set ${CMAKE_SYSTEM_PROCESSOR})
endif()
if(NOT instruction_sets)  # for all targets alike, so that they can share precompiled headers
  target_compile_definitions(lamina_options INTERFACE LAMINA_INSTRUCTION_SET=only
                             LAMINA_ONE_INSTRUCTION_SET="${only_instruction_set}")
endif()

# Adds sources to a library, once for each instruction set.
function(lamina_add_kernels library)
  cmake_parse_arguments(kernels "" "" "SOURCES;LIBRARIES;DEFINITIONS" ${ARGN})
  if(NOT instruction_sets)
    target_sources(${library} PRIVATE ${kernels_SOURCES})
    target_compile_definitions(${library} PRIVATE ${kernels_DEFINITIONS})
    set_source_files_properties(${kernels_SOURCES} PROPERTIES COMPILE_OPTIONS $<$<CONFIG:Release>:-O3>)
    return()
  endif()
  foreach(set ${instruction_sets})
    set(kernels ${library}_${set})
    add_library(${kernels} OBJECT ${kernels_SOURCES})
    lamina_compile_as_library(${kernels})
    target_link_libraries(${kernels} PRIVATE lamina_options ${kernels_LIBRARIES})
    target_compile_options(${kernels} PRIVATE ${options_of_${set}} $<$<CXX_COMPILER_ID:GNU>:-fno-gnu-unique>)  # those cannot be hidden
    target_compile_definitions(${kernels} PRIVATE LAMINA_INSTRUCTION_SET=${set} ${kernels_DEFINITIONS})
    set_target_properties(${kernels} PROPERTIES UNITY_BUILD ${LAMINA_UNITY} UNITY_BUILD_BATCH_SIZE 9)
    string(LENGTH ${set} length)
    set(object ${PROJECT_BINARY_DIR}/${kernels}.o)
    add_custom_command(OUTPUT ${object} DEPENDS ${kernels} $<TARGET_OBJECTS:${kernels}> VERBATIM COMMAND_EXPAND_LISTS
      COMMAND ${CMAKE_CXX_COMPILER} -r -nostdlib -Wl,--force-group-allocation -o ${object} $<TARGET_OBJECTS:${kernels}>
      COMMAND ${CMAKE_OBJCOPY} --wildcard --keep-global-symbol=_ZN6lamina3cpu${length}${set}* ${object})
    target_sources(${library} PRIVATE ${object})
  endforeach()
endfunction()
