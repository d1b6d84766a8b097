#include "core/cuda/staging.h"

#include <algorithm>
#include <cstring>

namespace lamina::cuda {

void Staging::upload(const void* source, std::size_t bytes, void* destination, cudaStream_t stream) {
  const std::lock_guard lock(mutex_);
  const auto* from = static_cast<const std::byte*>(source);
  auto* to = static_cast<std::byte*>(destination);
  while (bytes > 0) {
    if (filled_ == buffer_bytes) start_next_buffer(stream);
    const std::size_t part = std::min(bytes, buffer_bytes - filled_);
    std::byte* staged = buffers_[current_].memory.get() + filled_;
    std::memcpy(staged, from, part);
    check_cuda(cudaMemcpyAsync(to, staged, part, cudaMemcpyHostToDevice, stream), "copying to the GPU");
    filled_ += part, from += part, to += part, bytes -= part;
  }
}

// Marks where the stream has read the full buffer, and waits until the next one, filled three buffers ago,
// has been read.
void Staging::start_next_buffer(cudaStream_t stream) {
  if (buffers_[current_].read != nullptr) {
    check_cuda(cudaEventRecord(buffers_[current_].read.get(), stream), "marking an upload");
    current_ = (current_ + 1) % buffers_.size();
  }
  Buffer& next = buffers_[current_];
  if (next.read == nullptr) {
    next.memory = make_pinned(buffer_bytes);
    next.read = make_event(cudaEventDisableTiming);
  }
  check_cuda(cudaEventSynchronize(next.read.get()), "waiting for an upload");
  filled_ = 0;
}

}  // namespace lamina::cuda
