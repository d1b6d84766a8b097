// Memory for tensors. The caching allocator keeps released blocks by size and hands them out again: page
// faults for fresh memory cost a training step several percent.
#pragma once

#include <cstddef>
#include <map>
#include <mutex>
#include <vector>

namespace lamina {

struct MemoryUse {
  std::size_t live_bytes = 0;    // handed out now
  std::size_t peak_bytes = 0;    // highest live_bytes since the start or since reset_peak()
  std::size_t cached_bytes = 0;  // held for reuse
};

// Throws Error (bytes asked for, bytes live) when the memory cannot be had. All members are thread-safe.
class Allocator {
 public:
  virtual ~Allocator() = default;
  virtual void* allocate(std::size_t bytes) = 0;
  virtual void release(void* data, std::size_t bytes) noexcept = 0;  // bytes as given to allocate()
  virtual MemoryUse use() const = 0;
  virtual void reset_peak() = 0;
  virtual void empty_cache() noexcept = 0;
};

// Host memory, aligned to 64 bytes.
class CachingAllocator final : public Allocator {
 public:
  CachingAllocator() = default;
  ~CachingAllocator() override;
  CachingAllocator(const CachingAllocator&) = delete;
  CachingAllocator& operator=(const CachingAllocator&) = delete;

  void* allocate(std::size_t bytes) override;
  void release(void* data, std::size_t bytes) noexcept override;
  MemoryUse use() const override;
  void reset_peak() override;
  void empty_cache() noexcept override;

 private:
  void release_cache_locked() noexcept;

  mutable std::mutex mutex_;
  std::map<std::size_t, std::vector<void*>> free_blocks_;  // rounded size -> blocks
  MemoryUse use_;
};

}  // namespace lamina
