# GPUs. Sets lamina_cuda to whether CUDA is built, and lamina_cuda_sources to core's; defines
# lamina_add_cuda(library source...).
#
# What nvcc compiles takes long. AUTO makes machine code for the GPUs that are there, or for one kind if there is none;
# ON for the two most used. Newer GPUs translate the newest's PTX when they first run it.
# -DCMAKE_CUDA_ARCHITECTURES="80-real;90-real;120" changes it; all-major, for packages, is every generation from 8.0 on.
include(cmake/gpu_architectures.cmake)
lamina_gpu_architectures(default_architectures)
if(NOT LAMINA_CUDA STREQUAL "AUTO")
  set(default_architectures 80-real 90)
elseif(NOT default_architectures)
  set(default_architectures 90)
endif()
list(APPEND CMAKE_MODULE_PATH ${CMAKE_CURRENT_LIST_DIR})

set(lamina_cuda OFF)
set(missing "")
if(LAMINA_CUDA)
  find_package(CUDAToolkit 12 QUIET)
  if(CUDAToolkit_NVCC_EXECUTABLE AND NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
    set(ENV{CUDACXX} ${CUDAToolkit_NVCC_EXECUTABLE})  # it need not be on the PATH
  endif()
  include(CheckLanguage)
  check_language(CUDA)
  if(CUDAToolkit_FOUND)
    find_package(cuDNN 9 QUIET)
  endif()
  if(NOT CMAKE_CUDA_COMPILER)
    set(missing "no working CUDA compiler (nvcc) was found; put it on the PATH or set CMAKE_CUDA_COMPILER")
  elseif(NOT CUDAToolkit_FOUND)
    set(missing "no CUDA toolkit of version 12 or newer was found; set CUDAToolkit_ROOT")
  elseif(NOT cuDNN_FOUND)
    string(REGEX REPLACE "(.+)" " (but \\1)" found "${cuDNN_VERSION}")
    set(missing "no cuDNN 9 was found${found}; install it or set cuDNN_ROOT")
  elseif(NOT TARGET CUDA::cublasLt)
    set(missing "the CUDA toolkit has no cuBLASLt; install it")
  endif()
  if(missing AND NOT LAMINA_CUDA STREQUAL "AUTO")
    message(FATAL_ERROR "LAMINA_CUDA is ${LAMINA_CUDA}, but ${missing}. -DLAMINA_CUDA=OFF builds without GPUs.")
  elseif(NOT missing)
    set(lamina_cuda ON)
  endif()
endif()

if(lamina_cuda)
  if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES AND NOT DEFINED ENV{CUDAARCHS})
    set(CMAKE_CUDA_ARCHITECTURES ${default_architectures})
  elseif("${CMAKE_CUDA_ARCHITECTURES}" STREQUAL "all-major")
    lamina_major_architectures(CMAKE_CUDA_ARCHITECTURES ${CMAKE_CUDA_COMPILER})
  endif()
  enable_language(CUDA)
  # Kernels are optimised anyway: -O3 is for the host's code that launches them, and takes nvcc longer.
  string(REPLACE "-O3" "-Xcompiler=-O1" CMAKE_CUDA_FLAGS_RELEASE "${CMAKE_CUDA_FLAGS_RELEASE}")
  if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake before 3.26 does not know nvcc's
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
    set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
  endif()
  find_library(nccl_library nccl HINTS ${CUDAToolkit_LIBRARY_DIR} NO_CACHE)  # opened where several ranks have GPUs
  if(nccl_library)
    set_source_files_properties(core/cuda/nccl_library.cpp PROPERTIES COMPILE_DEFINITIONS "LAMINA_NCCL=\"${nccl_library}\"")
  endif()
  list(JOIN CMAKE_CUDA_ARCHITECTURES ", " architectures)
  message(STATUS "CUDA: ${CMAKE_CUDA_COMPILER_VERSION}, cuDNN ${cuDNN_VERSION} (${cuDNN_LIBRARY}), for ${architectures}")
elseif(missing)
  message(STATUS "CUDA: not built, ${missing}")
else()
  message(STATUS "CUDA: not built, LAMINA_CUDA is ${LAMINA_CUDA}")
endif()

# Adds sources that need CUDA to a library. cuBLASLt and cuDNN are not linked: cuBLASLt alone takes a tenth of a second
# to load, so they are opened when first used (core/cuda/libraries.h).
function(lamina_add_cuda library)
  target_sources(${library} PRIVATE ${ARGN})
  target_include_directories(${library} SYSTEM PRIVATE ${CUDAToolkit_INCLUDE_DIRS} ${cuDNN_INCLUDE_DIR})
  target_link_libraries(${library} PRIVATE CUDA::cudart_static)
  # -fmad=false: a*b + c rounds twice, as on the CPU.
  target_compile_options(${library} PRIVATE
    "$<$<COMPILE_LANGUAGE:CUDA>:--extended-lambda;--expt-relaxed-constexpr;-fmad=false>")
  if(PROJECT_IS_TOP_LEVEL OR LAMINA_WERROR)
    target_compile_options(${library} PRIVATE "$<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall,-Wextra>")
  else()
    target_compile_options(${library} PRIVATE "$<$<COMPILE_LANGUAGE:CUDA>:-w>")
  endif()
  if(LAMINA_WERROR)
    target_compile_options(${library} PRIVATE "$<$<COMPILE_LANGUAGE:CUDA>:-Werror=all-warnings>")
  endif()
  target_compile_definitions(${library} PRIVATE $<$<COMPILE_LANGUAGE:CUDA>:FMT_USE_CONSTEXPR=1>)
endfunction()

if(lamina_cuda)
  get_target_property(cublas CUDA::cublasLt IMPORTED_LOCATION)
  set_source_files_properties(core/cuda/libraries.cpp PROPERTIES COMPILE_DEFINITIONS
    "LAMINA_CUBLASLT=\"${cublas}\";LAMINA_CUDNN=\"${cuDNN_LIBRARY}\"")
  list(JOIN CMAKE_CUDA_ARCHITECTURES "," architectures)
  set_source_files_properties(core/cuda/devices.cpp PROPERTIES COMPILE_DEFINITIONS
    "LAMINA_CUDA_ARCHITECTURES=\"${architectures}\"")

  file(GLOB sources CONFIGURE_DEPENDS core/cuda/*.cpp)
  file(GLOB kernels CONFIGURE_DEPENDS core/cuda/*.cu)
  if(LAMINA_UNITY)  # nvcc takes longest over what all of them include, and CMake joins only C++
    list(TRANSFORM kernels REPLACE "(.+)" "#include \"\\1\"\n" OUTPUT_VARIABLE includes)
    list(JOIN includes "" includes)
    set(kernels ${PROJECT_BINARY_DIR}/kernels.cu)
    file(CONFIGURE OUTPUT ${kernels} CONTENT "${includes}")
  endif()
  set(lamina_cuda_sources ${sources} ${kernels})
endif()
