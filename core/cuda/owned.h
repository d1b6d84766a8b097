// Owners of what CUDA's runtime hands out.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <memory>

#include "core/cuda/check.h"

namespace lamina::cuda {

template <auto destroy>
struct Destroy {
  template <typename T>
  void operator()(T* handle) const noexcept {
    destroy(handle);
  }
};

using OwnedStream = std::unique_ptr<CUstream_st, Destroy<cudaStreamDestroy>>;
using OwnedEvent = std::unique_ptr<CUevent_st, Destroy<cudaEventDestroy>>;
using OwnedGraph = std::unique_ptr<CUgraph_st, Destroy<cudaGraphDestroy>>;
using OwnedExecutableGraph = std::unique_ptr<CUgraphExec_st, Destroy<cudaGraphExecDestroy>>;
using PinnedMemory = std::unique_ptr<std::byte, Destroy<cudaFreeHost>>;  // host memory the GPU reads directly

inline OwnedStream make_stream() {
  cudaStream_t stream = nullptr;
  check_cuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "making a stream");
  return OwnedStream(stream);
}

inline OwnedEvent make_event(unsigned flags) {
  cudaEvent_t event = nullptr;
  check_cuda(cudaEventCreateWithFlags(&event, flags), "making an event");
  return OwnedEvent(event);
}

inline PinnedMemory make_pinned(std::size_t bytes) {
  void* memory = nullptr;
  check_cuda(cudaMallocHost(&memory, bytes), "allocating pinned memory");
  return PinnedMemory(static_cast<std::byte*>(memory));
}

// Times what is handed to a stream.
class Stopwatch {
 public:
  explicit Stopwatch(cudaStream_t stream) : stream_(stream) {}

  template <typename Work>
  double milliseconds(const Work& work) const {  // waits for the work
    check_cuda(cudaEventRecord(start_.get(), stream_), "timing");
    work();
    check_cuda(cudaEventRecord(stop_.get(), stream_), "timing");
    check_cuda(cudaEventSynchronize(stop_.get()), "timing");
    float elapsed = 0;
    check_cuda(cudaEventElapsedTime(&elapsed, start_.get(), stop_.get()), "timing");
    return static_cast<double>(elapsed);
  }

 private:
  cudaStream_t stream_;
  OwnedEvent start_ = make_event(cudaEventDefault), stop_ = make_event(cudaEventDefault);
};

}  // namespace lamina::cuda
