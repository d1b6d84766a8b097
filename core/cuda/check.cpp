#include "core/cuda/check.h"

#include <atomic>

#include "core/base/option_name.h"

namespace lamina::cuda {
namespace {

thread_local std::string first_failure;  // since this thread's capture began

// Whether all later calls fail with it, too. NVIDIA, CUDA Runtime API, cudaError.
bool is_sticky(cudaError_t status) {
  switch (status) {
    case cudaErrorECCUncorrectable:
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchTimeout:
    case cudaErrorAssert:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorLaunchFailure:
      return true;
    default:
      return false;
  }
}

std::string how_to_find_it() {
  static std::atomic<bool> said = false;
  if (said.exchange(true)) return "";
  return fmt::format(
      ". Some kernel or copy before it has failed, and from now on every call on this GPU does: start the "
      "program anew. To find out which, set CUDA_LAUNCH_BLOCKING=1 and hand out kernels one by one ({}), or "
      "run it under compute-sanitizer",
      option_name("eager"));
}

std::string what_broke_the_capture() {
  if (first_failure.empty())
    return ". Something before it is not allowed while work is captured; a library, or code of one's own, "
           "has not looked at what it returned";
  return ". The first call to fail was: " + first_failure;
}

}  // namespace

void begin_failures_of_capture() { first_failure.clear(); }

void fail_device(const std::string& message) {
  if (first_failure.empty()) first_failure = message;
  throw DeviceError(message);
}

void fail_cuda(cudaError_t status, const char* doing) {
  cudaGetLastError();  // or the next launch would report it
  std::string message =
      fmt::format("CUDA: {} failed: {} ({})", doing, cudaGetErrorString(status), cudaGetErrorName(status));
  if (is_sticky(status)) message += how_to_find_it();
  if (status == cudaErrorStreamCaptureInvalidated) message += what_broke_the_capture();
  fail_device(message);
}

}  // namespace lamina::cuda
