#include "core/cuda/cooperative.h"

#include <cstdlib>
#include <string_view>

#include "core/cuda/check.h"

namespace lamina::cuda {
namespace {

int attribute_of_gpu_in_use(cudaDeviceAttr attribute) {
  int device = 0, value = 0;
  check_cuda(cudaGetDevice(&device), "asking which GPU is in use");
  check_cuda(cudaDeviceGetAttribute(&value, attribute, device), "asking about the GPU");
  return value;
}

bool wants_separate_launches() {
  const char* wanted = std::getenv("LAMINA_GPU_LAUNCHES");
  if (wanted == nullptr || std::string_view(wanted).empty()) return false;
  check(std::string_view(wanted) == "separate",
        "LAMINA_GPU_LAUNCHES is \"{}\"; expected nothing, or separate: no kernel whose blocks wait for one "
        "another",
        wanted);
  return true;
}

}  // namespace

bool is_cooperative(std::int64_t bytes) {
  return !wants_separate_launches() && bytes <= attribute_of_gpu_in_use(cudaDevAttrL2CacheSize) &&
         attribute_of_gpu_in_use(cudaDevAttrCooperativeLaunch) != 0;
}

int multiprocessors_in_use() { return attribute_of_gpu_in_use(cudaDevAttrMultiProcessorCount); }

}  // namespace lamina::cuda
