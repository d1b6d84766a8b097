# lamina_gpu_architectures(result): the compute capabilities of the GPUs that are here, as in "80;90"; empty if there are none.
# CMake's own "native" came with 3.24, and is an error where nvidia-smi is installed without a GPU, as on login nodes.
function(lamina_gpu_architectures result)
  set(found "")
  find_program(nvidia_smi nvidia-smi NO_CACHE)
  if(nvidia_smi)
    execute_process(COMMAND ${nvidia_smi} --query-gpu=compute_cap --format=csv,noheader TIMEOUT 20
                    OUTPUT_VARIABLE lines ERROR_QUIET RESULT_VARIABLE status)
    if(status EQUAL 0)
      string(REGEX MATCHALL "[0-9]+\\.[0-9]+" capabilities "${lines}")
      foreach(capability ${capabilities})
        string(REPLACE "." "" architecture ${capability})
        list(APPEND found ${architecture})
      endforeach()
      list(REMOVE_DUPLICATES found)
      list(SORT found COMPARE NATURAL)
    endif()
  endif()
  set(${result} "${found}" PARENT_SCOPE)
endfunction()

if(CMAKE_SCRIPT_MODE_FILE STREQUAL CMAKE_CURRENT_LIST_FILE)  # cmake -P prints them
  lamina_gpu_architectures(architectures)
  message("${architectures}")
endif()
