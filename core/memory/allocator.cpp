#include "core/memory/allocator.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <new>

#include "core/base/available_memory.h"
#include "core/base/rounding.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(begin, size) (static_cast<void>(begin), static_cast<void>(size))
#define ASAN_UNPOISON_MEMORY_REGION(begin, size) (static_cast<void>(begin), static_cast<void>(size))
#endif

namespace lamina {
namespace {

constexpr std::size_t alignment = 64;
constexpr std::size_t growth = std::size_t{32} << 20;  // what the system is asked for at once
#if defined(__SANITIZE_ADDRESS__)
constexpr std::size_t red_zone = alignment;  // behind every block, so that writing past it is noticed
#else
constexpr std::size_t red_zone = 0;
#endif

std::size_t block_size(std::size_t bytes) {
  return round_up(std::max<std::size_t>(bytes, 1), alignment) + red_zone;
}

}  // namespace

std::byte* FreeBlocks::take(std::size_t size) {
  const auto smallest = by_size_.lower_bound({size, nullptr});
  if (smallest == by_size_.end()) return nullptr;
  const auto [free_size, begin] = *smallest;
  erase(by_address_.find(begin));
  if (free_size > size) insert(begin + size, free_size - size);
  return begin;
}

std::size_t FreeBlocks::take_before(const std::byte* end) {
  if (by_address_.empty()) return 0;
  const auto last = std::prev(by_address_.end());
  const std::size_t size = last->second;
  if (last->first + size != end) return 0;
  erase(last);
  return size;
}

bool FreeBlocks::take_exactly(std::byte* begin, std::size_t size) {
  const auto block = by_address_.find(begin);
  if (block == by_address_.end() || block->second != size) return false;
  erase(block);
  return true;
}

void FreeBlocks::give(std::byte* begin, std::size_t size) {
  const auto next = by_address_.lower_bound(begin);
  if (next != by_address_.begin()) {
    const auto previous = std::prev(next);
    if (previous->first + previous->second == begin) {
      begin = previous->first;
      size += previous->second;
      erase(previous);
    }
  }
  if (next != by_address_.end() && begin + size == next->first) {
    size += next->second;
    erase(next);
  }
  insert(begin, size);
}

void FreeBlocks::insert(std::byte* begin, std::size_t size) {
  by_address_.emplace(begin, size);
  by_size_.emplace(size, begin);
}

void FreeBlocks::erase(ByAddress::iterator block) {
  by_size_.erase({block->second, block->first});
  by_address_.erase(block);
}

MemoryUse Allocator::use() const {
  const std::lock_guard lock(mutex_);
  return use_;
}

void Allocator::reset_peak() {
  const std::lock_guard lock(mutex_);
  use_.peak_bytes = use_.live_bytes;
}

void Allocator::set_limit(std::size_t live_bytes) {
  const std::lock_guard lock(mutex_);
  limit_ = live_bytes;
}

void Allocator::add_live(std::size_t size) {
  use_.live_bytes += size;
  use_.peak_bytes = std::max(use_.peak_bytes, use_.live_bytes);
}

std::byte* Allocator::take_free(std::size_t size, FreeBlocks& free) {
  std::byte* block = free.take(size);
  if (block == nullptr) return nullptr;
  use_.cached_bytes -= size;
  add_live(size);
  return block;
}

void Allocator::make_free(std::byte* block, std::size_t size, FreeBlocks& free) noexcept {
  use_.live_bytes -= size;
  try {
    free.give(block, size);
    use_.cached_bytes += size;
  } catch (const std::bad_alloc&) {
  }
}

HostAllocator::~HostAllocator() {
  if (begin_ == nullptr) return;
  ASAN_UNPOISON_MEMORY_REGION(begin_, static_cast<std::size_t>(end_ - begin_));
  munmap(begin_, static_cast<std::size_t>(end_ - begin_));
}

void* HostAllocator::allocate(std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  std::byte* block = bytes <= largest_request ? take(block_size(bytes)) : nullptr;
  if (block == nullptr) {
    const MemoryShortage shortage{bytes, use_.live_bytes, most_live()};
    throw OutOfMemory(fmt::format("out of memory: {} bytes asked for with {} bytes live and at most {} to be "
                                  "had; use a smaller batch or smaller parts of it (micro_batch)",
                                  bytes, shortage.live_bytes, shortage.most_bytes),
                      shortage);
  }
  ASAN_UNPOISON_MEMORY_REGION(block, bytes);
  return block;
}

std::byte* HostAllocator::take(std::size_t size) {
  if (!is_within_limit(size)) return nullptr;
  if (std::byte* block = take_free(size, free_)) return block;
  std::byte* block = grow(size);
  if (block != nullptr) add_live(size);
  return block;
}

std::size_t HostAllocator::most_live() const {
  const auto usable = static_cast<std::size_t>(usable_ - begin_);
  const std::size_t rest = begin_ == nullptr ? physical_memory() : static_cast<std::size_t>(end_ - usable_);
  return std::min(limit_, usable + std::min(rest, available_memory()));
}

void HostAllocator::release(void* data, std::size_t bytes) noexcept {
  if (data == nullptr) return;
  const std::lock_guard lock(mutex_);
  const std::size_t size = block_size(bytes);
  ASAN_POISON_MEMORY_REGION(data, size);
  make_free(static_cast<std::byte*>(data), size, free_);
}

void HostAllocator::empty_cache() noexcept {
  const std::lock_guard lock(mutex_);
  const std::size_t last = free_.take_before(used_);
  used_ -= last;
  use_.cached_bytes -= last;
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  const auto give_back = [&](std::byte* begin, std::size_t size) {
    const std::size_t lead = round_up(static_cast<std::size_t>(begin - begin_), page);
    const std::size_t end = static_cast<std::size_t>(begin - begin_) + size;
    if (end > lead) madvise(begin_ + lead, (end - lead) / page * page, MADV_DONTNEED);
  };
  free_.for_each(give_back);
  if (used_ != usable_) give_back(used_, static_cast<std::size_t>(usable_ - used_));
}

// Addresses alone cost nothing. Where they are limited (ulimit -v) less is taken.
bool HostAllocator::reserve() {
  for (std::size_t size = round_up(physical_memory(), growth); size >= growth; size /= 2) {
    void* range = mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (range == MAP_FAILED) continue;
    madvise(range, size, MADV_HUGEPAGE);  // a tenth more bandwidth; where it fails, small pages do
    begin_ = used_ = usable_ = static_cast<std::byte*>(range);
    end_ = begin_ + size;
    return true;
  }
  return false;
}

// Lets [begin, begin + size) be written.
bool HostAllocator::make_usable(const std::byte* begin, std::size_t size) {
  if (size > static_cast<std::size_t>(end_ - begin)) return false;
  if (size <= static_cast<std::size_t>(usable_ - begin)) return true;
  const std::size_t wanted = round_up(static_cast<std::size_t>(begin - begin_) + size, growth);
  std::byte* usable = begin_ + std::min(wanted, static_cast<std::size_t>(end_ - begin_));
  const auto added = static_cast<std::size_t>(usable - usable_);
  if (added > available_memory() || mprotect(usable_, added, PROT_READ | PROT_WRITE) != 0) return false;
  ASAN_POISON_MEMORY_REGION(usable_, added);
  usable_ = usable;
  return true;
}

// A block at the end of what is used, which takes in a free block there. nullptr: no more memory.
std::byte* HostAllocator::grow(std::size_t size) {
  if (begin_ == nullptr && !reserve()) return nullptr;
  const std::size_t free_at_end = free_.take_before(used_);
  std::byte* block = used_ - free_at_end;
  if (!make_usable(block, size)) {
    if (free_at_end > 0) free_.give(block, free_at_end);
    return nullptr;
  }
  use_.cached_bytes -= free_at_end;
  used_ = block + size;
  return block;
}

}  // namespace lamina
