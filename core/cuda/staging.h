// Uploads from memory that may be gone when the call returns: through pinned buffers, taken in turn.
#pragma once

#include <array>
#include <mutex>

#include "core/cuda/owned.h"

namespace lamina::cuda {

class Staging {
 public:
  static constexpr std::size_t buffer_bytes = std::size_t{4} << 20;

  // Hands the copy to the stream. Returns as soon as `source` is no longer needed.
  void upload(const void* source, std::size_t bytes, void* destination, cudaStream_t stream);

 private:
  struct Buffer {
    PinnedMemory memory;
    OwnedEvent read;  // the stream has passed the last copy out of it
  };
  void start_next_buffer(cudaStream_t stream);

  std::mutex mutex_;
  std::array<Buffer, 4> buffers_;  // empty until first used
  std::size_t current_ = 0, filled_ = buffer_bytes;
};

}  // namespace lamina::cuda
