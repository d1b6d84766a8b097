// Memory for tensors. A training step asks for the same sizes again and again, and page faults for fresh
// memory cost several percent of it, so released memory is kept. It serves requests of every size:
// neighbouring free blocks become one, and a request takes the smallest block that holds it. On ResNets the
// memory held stays within 3 % of the most that was ever live; keeping free blocks by size needs up to 40 %
// more.
#pragma once

#include <cstddef>
#include <limits>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <utility>

#include "core/base/error.h"

namespace lamina {

struct MemoryUse {
  std::size_t live_bytes = 0;    // handed out now
  std::size_t peak_bytes = 0;    // highest live_bytes since the start or since reset_peak()
  std::size_t cached_bytes = 0;  // free for reuse
};

// A request that cannot be met.
struct MemoryShortage {
  std::size_t asked_bytes = 0;
  std::size_t live_bytes = 0;  // then
  std::size_t most_bytes = 0;  // how many could have been live: these, the cached ones, and what is left
};

class OutOfMemory : public Error {
 public:
  OutOfMemory(const std::string& message, const MemoryShortage& shortage)
      : Error(message), shortage_(shortage) {}
  const MemoryShortage& shortage() const { return shortage_; }

 private:
  MemoryShortage shortage_;
};

// Free blocks of one range of addresses.
class FreeBlocks {
 public:
  // The start of the smallest block of at least `size` bytes, whose remainder stays free; nullptr: there is
  // none.
  std::byte* take(std::size_t size);
  // Cuts off and returns the bytes of the free block that ends at `end`; 0: there is none.
  std::size_t take_before(const std::byte* end);
  // Takes the free block [begin, begin + size) if there is one of just that size.
  bool take_exactly(std::byte* begin, std::size_t size);
  void give(std::byte* begin, std::size_t size);

  // visit(begin, size) in the order of addresses.
  template <typename Visit>
  void for_each(const Visit& visit) const {
    for (const auto& [begin, size] : by_address_) visit(begin, size);
  }

 private:
  using ByAddress = std::map<std::byte*, std::size_t>;
  void insert(std::byte* begin, std::size_t size);
  void erase(ByAddress::iterator block);

  ByAddress by_address_;
  std::set<std::pair<std::size_t, std::byte*>> by_size_;
};

// allocate() throws OutOfMemory when the memory cannot be had. All members are thread-safe.
class Allocator {
 public:
  Allocator() = default;
  Allocator(const Allocator&) = delete;
  Allocator& operator=(const Allocator&) = delete;
  virtual ~Allocator() = default;
  virtual void* allocate(std::size_t bytes) = 0;
  virtual void release(void* data, std::size_t bytes) noexcept = 0;  // bytes as given to allocate()
  virtual void empty_cache() noexcept = 0;                           // gives what is free back to the system

  MemoryUse use() const;
  void reset_peak();
  // Refuses what would make more than this many bytes live. Default: no limit.
  void set_limit(std::size_t live_bytes);

 protected:
  // What follows is for holders of the mutex.
  mutable std::mutex mutex_;
  MemoryUse use_;
  std::size_t limit_ = std::numeric_limits<std::size_t>::max();

  // Sizes beyond it would overflow when they are rounded up.
  static constexpr std::size_t largest_request = std::numeric_limits<std::size_t>::max() / 2;
  bool is_within_limit(std::size_t more) const { return use_.live_bytes + more <= limit_; }
  void add_live(std::size_t size);
  // A free block of at least `size` bytes, cut to that, becomes a live one. nullptr: there is none.
  std::byte* take_free(std::size_t size, FreeBlocks& free);
  // A live block becomes a free one. Without memory to remember it by, it is lost.
  void make_free(std::byte* block, std::size_t size, FreeBlocks& free) noexcept;
};

// Host memory, aligned to 64 bytes, in one range of addresses as large as the machine's memory. The system
// provides pages when they are first written.
class HostAllocator final : public Allocator {
 public:
  HostAllocator() = default;
  ~HostAllocator() override;

  void* allocate(std::size_t bytes) override;
  void release(void* data, std::size_t bytes) noexcept override;
  void empty_cache() noexcept override;

 private:
  std::byte* take(std::size_t size);
  std::size_t most_live() const;
  bool reserve();
  bool make_usable(const std::byte* begin, std::size_t size);
  std::byte* grow(std::size_t size);

  std::byte *begin_ = nullptr, *end_ = nullptr;  // the range; [begin_, used_) is live or free
  std::byte *used_ = nullptr,
            *usable_ = nullptr;  // [used_, usable_) may be written without asking the system
  FreeBlocks free_;
};

}  // namespace lamina
