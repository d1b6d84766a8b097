// CUDA's runtime on the host (cuda_runtime_api.h): the GPUs there are, and what calls return.
#include <utility>

#include "core/cuda/launch.h"
#include "errors.h"
#include "machine.h"

namespace {

thread_local cudaError_t last_error = cudaSuccess;
thread_local int gpu_in_use = 0;

}  // namespace

namespace lamina::tests {

EmulatedMachine& emulated_machine() {
  static EmulatedMachine machine;
  return machine;
}

cudaError_t report(cudaError_t error) {
  if (error != cudaSuccess) last_error = error;
  return error;
}

}  // namespace lamina::tests

using lamina::tests::emulated_machine;
using lamina::tests::report;

namespace {

cudaError_t find_gpu(int device) {
  return report(device >= 0 && device < emulated_machine().gpus ? cudaSuccess : cudaErrorInvalidDevice);
}

}  // namespace

cudaError_t cudaGetLastError() { return std::exchange(last_error, cudaSuccess); }

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorInvalidValue:
      return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorInsufficientDriver:
      return "cudaErrorInsufficientDriver";
    case cudaErrorNoDevice:
      return "cudaErrorNoDevice";
    case cudaErrorInvalidDevice:
      return "cudaErrorInvalidDevice";
    case cudaErrorIllegalState:
      return "cudaErrorIllegalState";
    case cudaErrorIllegalAddress:
      return "cudaErrorIllegalAddress";
    case cudaErrorStreamCaptureUnsupported:
      return "cudaErrorStreamCaptureUnsupported";
    case cudaErrorStreamCaptureInvalidated:
      return "cudaErrorStreamCaptureInvalidated";
    default:
      break;
  }
  return "unknown";
}
const char* cudaGetErrorString(cudaError_t) { return "as the emulation says"; }

cudaError_t cudaDriverGetVersion(int* version) {
  *version = emulated_machine().driver;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceCount(int* count) {
  const auto& machine = emulated_machine();
  *count = 0;
  if (machine.driver < CUDART_VERSION) return report(cudaErrorInsufficientDriver);
  if (machine.gpus == 0) return report(cudaErrorNoDevice);
  *count = machine.gpus;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  const cudaError_t error = find_gpu(device);
  if (error == cudaSuccess) gpu_in_use = device;
  return error;
}
cudaError_t cudaGetDevice(int* device) {
  *device = gpu_in_use;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  const auto& machine = emulated_machine();
  *value = [&] {
    switch (attribute) {
      case cudaDevAttrMultiProcessorCount:
        return lamina::cuda::multiprocessors;
      case cudaDevAttrL2CacheSize:
        return machine.cache_bytes;
      case cudaDevAttrComputeCapabilityMajor:
        return machine.compute_capability / 10;
      case cudaDevAttrComputeCapabilityMinor:
        return machine.compute_capability % 10;
      case cudaDevAttrCooperativeLaunch:
        return int{machine.cooperative};
    }
    return 0;
  }();
  return find_gpu(device);
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  const auto& machine = emulated_machine();
  *properties = {.name = "the host, emulating a GPU",
                 .totalGlobalMem = machine.memory,
                 .major = machine.compute_capability / 10,
                 .minor = machine.compute_capability % 10};
  return find_gpu(device);
}
