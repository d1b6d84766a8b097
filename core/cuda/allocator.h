// Memory of one GPU. All its work runs on one stream, in order: a released block may be handed out again at
// once, since whatever still uses it comes before whatever will.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <thread>

#include "core/memory/allocator.h"

namespace lamina::cuda {

// Where segments come from: the device, or a stand-in for it in the tests.
struct SegmentSource {
  std::function<std::byte*(std::size_t bytes)>
      allocate;                                     // aligned to 256 bytes; nullptr: no such memory left
  std::function<void(std::byte* segment)> release;  // waits for what still uses it; does not throw
  std::function<std::string()> describe;            // "cuda: 0.3 of 139.8 GiB free", for the Error
  std::function<std::size_t()> free_bytes = {};     // what the device has left; unset: nothing
};

// Memory of one GPU, also for captured work.
class GpuAllocator : public Allocator {
 public:
  // Between the two, this thread's requests are served from memory that all captured work shares, and nothing
  // else uses, until the last capture is dropped. Graphs are replayed one after another, so that what one has
  // released the next may use.
  void begin_capture();
  virtual void end_capture() = 0;
  virtual void drop_capture() noexcept = 0;  // once for each, when it will not be replayed again

 protected:
  bool is_capturing() const { return capturing_ != std::thread::id(); }
  bool serves_graphs() const;  // the request at hand

  std::thread::id capturing_ = {};  // the thread between begin_capture() and end_capture()
  int captures_ = 0;                // that may be replayed, or are being made
};

// Kept for reuse. The device is asked for segments of at least 64 MiB. A request takes the smallest free
// block that holds it, of any segment; neighbouring free blocks of a segment become one. When the device has
// no more, whole free segments are given back and it is asked once more.
class CudaAllocator final : public GpuAllocator {
 public:
  static constexpr std::size_t alignment = 256;                     // of blocks and of their sizes
  static constexpr std::size_t granularity = std::size_t{2} << 20;  // of segments
  static constexpr std::size_t smallest_segment = std::size_t{64} << 20;

  explicit CudaAllocator(SegmentSource source) : source_(std::move(source)) {}
  ~CudaAllocator() override;  // blocks still live are lost with their segments

  // Throws OutOfMemory with the bytes asked for, live and cached, and what the device says of itself.
  void* allocate(std::size_t bytes) override;
  void release(void* data, std::size_t bytes) noexcept override;
  void empty_cache() noexcept override;  // waits for the device if there is anything to give back

  void end_capture() override;
  void drop_capture() noexcept override;

 private:
  struct Segment {
    std::size_t bytes;  // that can be used
    bool for_graphs;    // while captured work may be replayed, for that alone
  };
  FreeBlocks& free_blocks(bool for_graphs) { return for_graphs ? free_for_graphs_ : free_; }
  bool is_for_graphs(std::byte* block) const;
  std::byte* take(std::size_t size);
  bool grow(std::size_t size);
  bool add_segment(std::size_t bytes);
  void give_back_segments() noexcept;

  SegmentSource source_;
  std::map<std::byte*, Segment> segments_;
  FreeBlocks free_, free_for_graphs_;
};

// Every block is memory of its own, given back when it is released. Slow, as that waits for the device; but
// what checks every access can then tell blocks apart, and what was written from what was not.
class SeparateAllocator final : public GpuAllocator {
 public:
  explicit SeparateAllocator(SegmentSource source) : source_(std::move(source)) {}

  void* allocate(std::size_t bytes) override;  // throws as CudaAllocator does
  void release(void* data, std::size_t bytes) noexcept override;
  void empty_cache() noexcept override {}
  void end_capture() override;
  void drop_capture() noexcept override;

 private:
  SegmentSource source_;
  // Those of captured work, given back with the last capture; and those to be given back: nothing may wait
  // for the device during a capture.
  std::set<std::byte*> kept_, released_;
};

}  // namespace lamina::cuda
