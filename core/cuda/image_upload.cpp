#include "core/cuda/image_upload.h"

#include <cstring>

namespace lamina::cuda {
namespace {

constexpr const char* uploading = "copying images to the GPU";

// When the scope ends, however it does: the work may have been handed out in part.
class MarkAtEnd {
 public:
  MarkAtEnd(cudaEvent_t event, cudaStream_t stream) : event_(event), stream_(stream) {}
  ~MarkAtEnd() { cudaEventRecord(event_, stream_); }
  MarkAtEnd(const MarkAtEnd&) = delete;
  MarkAtEnd& operator=(const MarkAtEnd&) = delete;

 private:
  cudaEvent_t event_;
  cudaStream_t stream_;
};

}  // namespace

void ImageUpload::run(const Tensor& images, Device device, cudaStream_t stream,
                      const std::function<void(const Tensor& copy)>& use) {
  const std::lock_guard lock(mutex_);
  check_not_capturing(stream, uploading);
  if (copies_ == nullptr) copies_ = make_stream();
  Place& place = places_[next_];
  next_ = (next_ + 1) % places_.size();
  make_room(place, images.bytes(), device, stream);
  std::memcpy(place.pinned.get(), images.raw(), images.bytes());
  check_cuda(cudaStreamWaitEvent(copies_.get(), place.used.get(), 0), uploading);
  check_cuda(cudaMemcpyAsync(place.on_gpu.raw(), place.pinned.get(), images.bytes(), cudaMemcpyHostToDevice,
                             copies_.get()),
             uploading);
  check_cuda(cudaEventRecord(place.copied.get(), copies_.get()), uploading);
  check_cuda(cudaStreamWaitEvent(stream, place.copied.get(), 0), uploading);
  const MarkAtEnd mark(place.used.get(), stream);
  use(place.on_gpu.flat(0, images.shape()));
}

void ImageUpload::make_room(Place& place, std::size_t bytes, Device device, cudaStream_t stream) {
  if (place.copied == nullptr) {
    place.copied = make_event(cudaEventDisableTiming);
    place.used = make_event(cudaEventDisableTiming);
  }
  check_cuda(cudaEventSynchronize(place.copied.get()), "waiting for an upload");
  if (place.pinned_bytes < bytes) {
    place.pinned_bytes = 0;
    place.pinned = make_pinned(bytes);
    place.pinned_bytes = bytes;
  }
  if (!place.on_gpu.defined() || place.on_gpu.bytes() < bytes) {
    place.on_gpu = {};
    place.on_gpu = Tensor::empty({static_cast<std::int64_t>(bytes)}, {DType::u8, device});
    // Work at hand may still use this memory: the allocator's is in the order of `stream` alone.
    check_cuda(cudaEventRecord(place.used.get(), stream), uploading);
  }
}

}  // namespace lamina::cuda
