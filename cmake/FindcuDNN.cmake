# cuDNN 9's headers and library: in the CUDA toolkit, in the system's folders, or in Python's nvidia packages
# (pip install nvidia-cudnn-cu13). Sets cuDNN_FOUND, cuDNN_VERSION, cuDNN_INCLUDE_DIR and cuDNN_LIBRARY.
# cuDNN_ROOT names another place.
find_program(cudnn_python NAMES python3 python NO_CACHE)
set(python_cudnn "")
if(cudnn_python AND NOT cuDNN_INCLUDE_DIR)
  execute_process(COMMAND ${cudnn_python} -c "import nvidia.cudnn; print(list(nvidia.cudnn.__path__)[0], end='')"
                  OUTPUT_VARIABLE python_cudnn ERROR_QUIET)
endif()

find_path(cuDNN_INCLUDE_DIR cudnn_version.h HINTS ${CUDAToolkit_INCLUDE_DIRS} PATHS ${python_cudnn}/include)
find_library(cuDNN_LIBRARY NAMES cudnn libcudnn.so.9 HINTS ${CUDAToolkit_LIBRARY_DIR} PATHS ${python_cudnn}/lib)
mark_as_advanced(cuDNN_INCLUDE_DIR cuDNN_LIBRARY)

if(EXISTS ${cuDNN_INCLUDE_DIR}/cudnn_version.h)
  file(STRINGS ${cuDNN_INCLUDE_DIR}/cudnn_version.h lines REGEX "^#define CUDNN_(MAJOR|MINOR|PATCHLEVEL) ")
  string(REGEX REPLACE "#define CUDNN_[A-Z]+ +([0-9]+)" "\\1" cuDNN_VERSION "${lines}")
  list(JOIN cuDNN_VERSION "." cuDNN_VERSION)
endif()
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(cuDNN REQUIRED_VARS cuDNN_LIBRARY cuDNN_INCLUDE_DIR cuDNN_VERSION VERSION_VAR cuDNN_VERSION)
