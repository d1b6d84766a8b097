// What CUDA, cuBLAS and cuDNN return, turned into Errors.
#pragma once

#include <cuda_runtime_api.h>

#include <string>

#include "core/base/error.h"

namespace lamina::cuda {

// Throws DeviceError. The first message of a capture explains what fails after it.
[[noreturn]] void fail_device(const std::string& message);
[[noreturn]] void fail_cuda(cudaError_t status, const char* doing);
void begin_failures_of_capture();  // on this thread: there have been none

// check_cuda(cudaMalloc(…), "allocating"): throws DeviceError naming what was being done.
inline void check_cuda(cudaError_t status, const char* doing) {
  if (status != cudaSuccess) fail_cuda(status, doing);
}

// Of a kernel just handed to the GPU. What goes wrong while it runs shows at the next synchronisation.
inline void check_launch() { check_cuda(cudaGetLastError(), "starting a kernel"); }

// What is captured to be replayed must not wait for the GPU, nor copy from memory that will have changed.
inline void check_not_capturing(cudaStream_t stream, const std::string& what) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  check_cuda(cudaStreamIsCapturing(stream, &status), "asking about the stream");
  if (status == cudaStreamCaptureStatusNone) return;
  throw DeviceError(what + ": impossible while work is captured (core/captured.h)");
}

}  // namespace lamina::cuda
