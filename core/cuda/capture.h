// CUDA graphs: what a stream is handed is noted instead of done, to be done as a whole later.
#pragma once

#include <exception>

#include "core/cuda/owned.h"

namespace lamina::cuda {

// What `work` hands to the stream, ready to be launched. Throws what the work throws.
template <typename Work>
OwnedExecutableGraph capture(cudaStream_t stream, const Work& work) {
  begin_failures_of_capture();
  check_cuda(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capturing work");
  std::exception_ptr error;
  try {
    work();
  } catch (...) {
    error = std::current_exception();
  }
  cudaGraph_t captured = nullptr;
  const cudaError_t status = cudaStreamEndCapture(stream, &captured);
  const OwnedGraph graph(captured);
  if (error) {
    cudaGetLastError();  // the capture's end reports the failure once more
    std::rethrow_exception(error);
  }
  check_cuda(status, "capturing work");
  cudaGraphExec_t executable = nullptr;
  check_cuda(cudaGraphInstantiate(&executable, graph.get(), 0), "preparing a graph");
  return OwnedExecutableGraph(executable);
}

}  // namespace lamina::cuda
