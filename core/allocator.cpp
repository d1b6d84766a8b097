#include "core/allocator.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <new>

#include "core/error.h"

namespace lamina {
namespace {

constexpr std::align_val_t alignment{64};

// Blocks come in eight sizes per power of two: at most an eighth is wasted, and tensors of nearly the same
// size (the last batch, another layer) share blocks.
std::size_t block_size(std::size_t bytes) {
  const std::size_t wanted = std::max<std::size_t>(bytes, 1);
  const std::size_t step = std::max<std::size_t>(64, std::bit_floor(wanted - 1) / 8);
  return (wanted + step - 1) / step * step;
}

void* new_block(std::size_t size) noexcept { return ::operator new(size, alignment, std::nothrow); }

void delete_block(void* block) noexcept { ::operator delete(block, alignment); }

}  // namespace

CachingAllocator::~CachingAllocator() { release_cache_locked(); }

void* CachingAllocator::allocate(std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  const bool addressable = bytes <= std::numeric_limits<std::size_t>::max() / 4;
  const std::size_t size = addressable ? block_size(bytes) : 0;
  void* block = nullptr;
  if (const auto found = free_blocks_.find(size); found != free_blocks_.end() && !found->second.empty()) {
    block = found->second.back();
    found->second.pop_back();
    use_.cached_bytes -= size;
  } else if (addressable) {
    block = new_block(size);
    if (block == nullptr) {
      release_cache_locked();
      block = new_block(size);
    }
  }
  check(block != nullptr,
        "out of memory: {} bytes asked for with {} bytes live; use a smaller batch or --micro-batch", bytes,
        use_.live_bytes);
  use_.live_bytes += size;
  use_.peak_bytes = std::max(use_.peak_bytes, use_.live_bytes);
  return block;
}

void CachingAllocator::release(void* data, std::size_t bytes) noexcept {
  if (data == nullptr) return;
  const std::lock_guard lock(mutex_);
  const std::size_t size = block_size(bytes);
  use_.live_bytes -= size;
  try {
    free_blocks_[size].push_back(data);
    use_.cached_bytes += size;
  } catch (const std::bad_alloc&) {  // no memory to remember it by
    delete_block(data);
  }
}

MemoryUse CachingAllocator::use() const {
  const std::lock_guard lock(mutex_);
  return use_;
}

void CachingAllocator::reset_peak() {
  const std::lock_guard lock(mutex_);
  use_.peak_bytes = use_.live_bytes;
}

void CachingAllocator::empty_cache() noexcept {
  const std::lock_guard lock(mutex_);
  release_cache_locked();
}

void CachingAllocator::release_cache_locked() noexcept {
  for (const auto& [size, blocks] : free_blocks_) {
    for (void* block : blocks) delete_block(block);
  }
  free_blocks_.clear();
  use_.cached_bytes = 0;
}

}  // namespace lamina
