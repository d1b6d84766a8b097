#include "core/cuda/allocator.h"

#include <algorithm>
#include <iterator>
#include <new>

#include "core/base/error.h"
#include "core/base/rounding.h"
#include "core/memory/outlives_capture.h"

namespace lamina::cuda {
namespace {

// Left unused at the end of every segment, so that blocks of adjacent segments are no neighbours and never
// become one.
constexpr std::size_t gap = CudaAllocator::alignment;

constexpr std::size_t block_size(std::size_t bytes) {
  return round_up(std::max<std::size_t>(bytes, 1), CudaAllocator::alignment);
}

[[noreturn]] void fail_out_of_memory(std::size_t bytes, const MemoryUse& use, std::size_t limit,
                                     const SegmentSource& source) {
  const std::size_t free = source.free_bytes ? source.free_bytes() : 0;
  throw OutOfMemory(
      fmt::format("out of GPU memory: {} bytes asked for with {} bytes live and {} cached ({}); use a "
                  "smaller batch or smaller parts of it (micro_batch)",
                  bytes, use.live_bytes, use.cached_bytes, source.describe()),
      {bytes, use.live_bytes, std::min(limit, use.live_bytes + use.cached_bytes + free)});
}

}  // namespace

void GpuAllocator::begin_capture() {
  const std::lock_guard lock(mutex_);
  capturing_ = std::this_thread::get_id();
  ++captures_;
}

bool GpuAllocator::serves_graphs() const {
  return capturing_ == std::this_thread::get_id() && !OutlivesCapture::is_asked_for();
}

CudaAllocator::~CudaAllocator() {
  for (const auto& [begin, segment] : segments_) source_.release(begin);
}

void* CudaAllocator::allocate(std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  std::byte* block = nullptr;
  if (bytes <= largest_request) block = take(block_size(bytes));
  if (block == nullptr) fail_out_of_memory(bytes, use_, limit_, source_);
  return block;
}

std::byte* CudaAllocator::take(std::size_t size) {
  if (!is_within_limit(size)) return nullptr;
  FreeBlocks& free = free_blocks(serves_graphs());
  std::byte* block = take_free(size, free);
  return block == nullptr && grow(size) ? take_free(size, free) : block;
}

bool CudaAllocator::grow(std::size_t size) {
  const std::size_t needed = round_up(size + gap, granularity);
  if (add_segment(std::max(needed, smallest_segment)) || add_segment(needed)) return true;
  if (is_capturing()) return false;  // nothing may wait for the device
  give_back_segments();
  return add_segment(needed);
}

bool CudaAllocator::add_segment(std::size_t bytes) {
  std::byte* begin = source_.allocate(bytes);
  if (begin == nullptr) return false;
  const std::size_t usable = bytes - gap;
  try {
    segments_.emplace(begin, Segment{usable, serves_graphs()});
    free_blocks(serves_graphs()).give(begin, usable);
  } catch (const std::bad_alloc&) {
    segments_.erase(begin);
    source_.release(begin);
    return false;
  }
  use_.cached_bytes += usable;
  return true;
}

void CudaAllocator::release(void* data, std::size_t bytes) noexcept {
  if (data == nullptr) return;
  const std::lock_guard lock(mutex_);
  auto* block = static_cast<std::byte*>(data);
  make_free(block, block_size(bytes), free_blocks(is_for_graphs(block)));
}

bool CudaAllocator::is_for_graphs(std::byte* block) const {
  return captures_ > 0 && std::prev(segments_.upper_bound(block))->second.for_graphs;
}

void CudaAllocator::end_capture() {
  const std::lock_guard lock(mutex_);
  capturing_ = {};
}

void CudaAllocator::drop_capture() noexcept {
  const std::lock_guard lock(mutex_);
  if (--captures_ > 0) return;
  for (auto& [begin, segment] : segments_) segment.for_graphs = false;
  try {
    free_for_graphs_.for_each([this](std::byte* begin, std::size_t size) { free_.give(begin, size); });
  } catch (const std::bad_alloc&) {  // no memory to remember them by: the blocks are lost
  }
  free_for_graphs_ = {};
}

void CudaAllocator::empty_cache() noexcept {
  const std::lock_guard lock(mutex_);
  give_back_segments();
}

void CudaAllocator::give_back_segments() noexcept {
  for (auto segment = segments_.begin(); segment != segments_.end();) {
    const auto [begin, size] = std::pair(segment->first, segment->second.bytes);
    if (segment->second.for_graphs || !free_.take_exactly(begin, size)) {
      ++segment;
      continue;
    }
    source_.release(begin);
    use_.cached_bytes -= size;
    segment = segments_.erase(segment);
  }
}

void* SeparateAllocator::allocate(std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  const std::size_t size = std::max<std::size_t>(bytes, 1);
  std::byte* block = nullptr;
  if (size <= largest_request && is_within_limit(size)) block = source_.allocate(size);
  if (block == nullptr) fail_out_of_memory(bytes, use_, limit_, source_);
  add_live(size);
  if (serves_graphs()) kept_.insert(block);
  return block;
}

void SeparateAllocator::release(void* data, std::size_t bytes) noexcept {
  if (data == nullptr) return;
  const std::lock_guard lock(mutex_);
  use_.live_bytes -= std::max<std::size_t>(bytes, 1);
  auto* block = static_cast<std::byte*>(data);
  if (!is_capturing() && !kept_.contains(block)) return source_.release(block);
  try {
    released_.insert(block);
  } catch (const std::bad_alloc&) {  // no memory to remember it by: the block is lost
  }
}

void SeparateAllocator::end_capture() {
  const std::lock_guard lock(mutex_);
  capturing_ = {};
  std::erase_if(released_, [this](std::byte* block) {
    if (kept_.contains(block)) return false;
    source_.release(block);
    return true;
  });
}

void SeparateAllocator::drop_capture() noexcept {
  const std::lock_guard lock(mutex_);
  if (--captures_ > 0) return;
  for (std::byte* block : released_) source_.release(block);
  released_.clear();
  kept_.clear();
}

}  // namespace lamina::cuda
