// Batches of images on their way to the GPU while it is at work.
#pragma once

#include <array>
#include <functional>
#include <mutex>

#include "core/cuda/owned.h"
#include "core/tensor.h"

namespace lamina::cuda {

// Copies are made by a stream of their own, through pinned memory, into two places that are taken in turn:
// the next batch comes while the work on this one is done. Keeps both.
class ImageUpload {
 public:
  // Hands work to `stream` by use(copy), the copy of `images`, which are on the CPU and may change as soon as
  // this returns. It waits until the copy before the last is made.
  void run(const Tensor& images, Device device, cudaStream_t stream,
           const std::function<void(const Tensor& copy)>& use);

 private:
  struct Place {
    PinnedMemory pinned;
    std::size_t pinned_bytes = 0;
    Tensor on_gpu;            // u8 [bytes]
    OwnedEvent copied, used;  // out of `pinned`; by the work on it
  };
  void make_room(Place& place, std::size_t bytes, Device device, cudaStream_t stream);

  std::mutex mutex_;
  OwnedStream copies_;  // made when first used
  std::array<Place, 2> places_;
  std::size_t next_ = 0;
};

}  // namespace lamina::cuda
