#include "core/memory/allocator.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <thread>
#include <vector>

#include "catch.h"
#include "core/backend.h"
#include "core/base/available_memory.h"
#include "core/base/error.h"
#include "core/random.h"
#include "core/tensor.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

using namespace lamina;

namespace {

constexpr std::size_t kilobyte = 1024;
#if defined(__SANITIZE_ADDRESS__)
constexpr std::size_t block_overhead = 64;
#else
constexpr std::size_t block_overhead = 0;
#endif

// Blocks of these sizes, one behind the other.
std::vector<std::byte*> allocate_all(Allocator& allocator, const std::vector<std::size_t>& sizes) {
  std::vector<std::byte*> blocks;
  blocks.reserve(sizes.size());
  for (const std::size_t size : sizes) blocks.push_back(static_cast<std::byte*>(allocator.allocate(size)));
  return blocks;
}

}  // namespace

TEST_CASE("released memory serves every size that fits") {
  HostAllocator allocator;
  void* first = allocator.allocate(1'000'000);
  allocator.release(first, 1'000'000);
  CHECK(allocator.use().live_bytes == 0);
  CHECK(allocator.use().cached_bytes >= 1'000'000);

  void* smaller = allocator.allocate(600'000);
  CHECK(smaller == first);
  void* rest = allocator.allocate(300'000);
  CHECK(rest > first);
  CHECK(rest < static_cast<std::byte*>(first) + 1'000'000);
  allocator.release(smaller, 600'000);
  allocator.release(rest, 300'000);
}

TEST_CASE("neighbouring free blocks become one, in whatever order they come") {
  const std::vector<std::size_t> sizes{64 * kilobyte, 64 * kilobyte, 64 * kilobyte, kilobyte};
  std::vector<std::size_t> order{0, 1, 2};
  do {
    CAPTURE(order);
    HostAllocator allocator;
    const auto blocks = allocate_all(allocator, sizes);  // the last one stays, or all would be cut off
    for (const std::size_t i : order) allocator.release(blocks[i], sizes[i]);
    CHECK(allocator.allocate(3 * 64 * kilobyte) == blocks[0]);
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST_CASE("a request takes the smallest free block that holds it") {
  const std::vector<std::size_t> sizes{8 * kilobyte, kilobyte,     2 * kilobyte,
                                       kilobyte,     4 * kilobyte, kilobyte};
  HostAllocator allocator;
  const auto blocks = allocate_all(allocator, sizes);
  for (const std::size_t i : {0u, 2u, 4u}) allocator.release(blocks[i], sizes[i]);
  CHECK(allocator.allocate(3 * kilobyte) == blocks[4]);
  CHECK(allocator.allocate(2 * kilobyte) == blocks[2]);
  CHECK(allocator.allocate(5 * kilobyte) == blocks[0]);
  CHECK(allocator.allocate(9 * kilobyte) > blocks[5]);
}

TEST_CASE("blocks never overlap and keep what is written to them") {
  struct Block {
    unsigned char* data;
    std::size_t bytes;
    unsigned char value;
  };
  HostAllocator allocator;
  std::vector<Block> live;
  const Random random{.stream = Stream::probe};
  std::uint32_t draw = 0;
  const auto below = [&](std::size_t n) { return random.below(draw++, static_cast<std::uint32_t>(n)); };
  std::size_t held = 0;
  for (int i = 0; i < 20'000; ++i) {
    if (live.size() > 100 || (!live.empty() && below(5) < 2)) {
      std::swap(live[below(live.size())], live.back());
      const Block block = live.back();
      live.pop_back();
      REQUIRE(std::all_of(block.data, block.data + block.bytes, [&](auto v) { return v == block.value; }));
      allocator.release(block.data, block.bytes);
    } else {
      const std::size_t bytes = below(std::size_t{1} << (6 + below(10)));
      const Block block{static_cast<unsigned char*>(allocator.allocate(bytes)), bytes,
                        static_cast<unsigned char>(below(256))};
      std::memset(block.data, block.value, bytes);
      live.push_back(block);
    }
    held = std::max(held, allocator.use().live_bytes + allocator.use().cached_bytes);
  }
  CHECK(held < 2 * allocator.use().peak_bytes);
  for (const Block& block : live) allocator.release(block.data, block.bytes);
  CHECK(allocator.use().live_bytes == 0);
  CHECK(allocator.use().cached_bytes == held);
}

TEST_CASE("blocks are aligned, wholly usable, and waste little") {
  HostAllocator allocator;
  for (const std::size_t bytes :
       {0u, 1u, 63u, 64u, 65u, 512u, 513u, 575u, 577u, 1024u, 1025u, 4097u, 100'000u, 12'345'678u}) {
    CAPTURE(bytes);
    void* block = allocator.allocate(bytes);
    REQUIRE(block != nullptr);
    CHECK(reinterpret_cast<std::uintptr_t>(block) % 64 == 0);
    CHECK(allocator.use().live_bytes >= bytes);
    CHECK(allocator.use().live_bytes <= std::max<std::size_t>(bytes, 1) + 63 + block_overhead);
    std::memset(block, 0xab, bytes);  // the address sanitizer watches
    allocator.release(block, bytes);
  }
}

TEST_CASE("live, peak and cached bytes are accounted for") {
  constexpr std::size_t megabyte = 1 << 20, block = megabyte + block_overhead;
  HostAllocator allocator;
  void* a = allocator.allocate(megabyte);
  void* b = allocator.allocate(megabyte);
  CHECK(allocator.use().live_bytes == 2 * block);
  CHECK(allocator.use().peak_bytes == 2 * block);
  allocator.release(a, megabyte);
  CHECK(allocator.use().live_bytes == block);
  CHECK(allocator.use().cached_bytes == block);
  CHECK(allocator.use().peak_bytes == 2 * block);
  allocator.reset_peak();
  CHECK(allocator.use().peak_bytes == block);
  allocator.release(b, megabyte);
  allocator.release(nullptr, 0);
  CHECK(allocator.use().live_bytes == 0);
  CHECK(allocator.use().cached_bytes == 2 * block);
}

TEST_CASE("empty_cache gives the memory back and leaves live blocks alone") {
  constexpr std::size_t bytes = 8 << 20;
  HostAllocator allocator;
  const auto blocks = allocate_all(allocator, {bytes, bytes, bytes});
  for (std::byte* block : blocks) std::memset(block, 7, bytes);
  allocator.release(blocks[0], bytes);
  allocator.release(blocks[2], bytes);
  allocator.empty_cache();
  CHECK(std::all_of(blocks[1], blocks[1] + bytes, [](std::byte v) { return v == std::byte{7}; }));
  const auto* again = static_cast<std::byte*>(allocator.allocate(bytes));
  CHECK(again == blocks[0]);
  CHECK(again[bytes / 2] == std::byte{0});  // a fresh page
  CHECK(allocator.allocate(bytes) == blocks[2]);
}

#if defined(__SANITIZE_ADDRESS__)
TEST_CASE("the address sanitizer sees released blocks and what lies between blocks") {
  HostAllocator allocator;
  const auto blocks = allocate_all(allocator, {100, 100});
  CHECK(__asan_address_is_poisoned(blocks[0] + 99) == 0);
  CHECK(__asan_address_is_poisoned(blocks[0] + 100) == 1);
  CHECK(__asan_address_is_poisoned(blocks[1] - 1) == 1);
  allocator.release(blocks[0], 100);
  CHECK(__asan_address_is_poisoned(blocks[0]) == 1);
  CHECK(__asan_address_is_poisoned(blocks[1]) == 0);
}
#endif

TEST_CASE("memory that cannot be had is an error that names the sizes") {
  HostAllocator allocator;
  void* live = allocator.allocate(1024);
  void* cached = allocator.allocate(4096);
  allocator.release(cached, 4096);
  for (const std::size_t bytes : {std::numeric_limits<std::size_t>::max(), std::size_t{1} << 60}) {
    CAPTURE(bytes);
    try {
      allocator.allocate(bytes);
      FAIL("an impossible allocation succeeded");
    } catch (const Error& error) {
      const std::string message = error.what();
      CHECK(message.find(std::to_string(bytes)) != std::string::npos);
      CHECK(message.find(std::to_string(1024 + block_overhead)) != std::string::npos);
    }
    CHECK(allocator.use().live_bytes == 1024 + block_overhead);
  }
  CHECK(allocator.allocate(4096) == cached);
  allocator.release(live, 1024);
}

TEST_CASE("a limit holds for what is live at once") {
  HostAllocator allocator;
  allocator.set_limit(10'000);
  CHECK_THROWS_AS(allocator.allocate(20'000), OutOfMemory);
  void* block = allocator.allocate(6'000);
  try {
    allocator.allocate(5'000);
    FAIL("more than the limit");
  } catch (const OutOfMemory& error) {
    CHECK(error.shortage().asked_bytes == 5'000);
    CHECK(error.shortage().live_bytes == allocator.use().live_bytes);
    CHECK(error.shortage().most_bytes == 10'000);
  }
  allocator.release(block, 6'000);
  block = allocator.allocate(9'000);  // what is only cached does not count
  allocator.release(block, 9'000);
  allocator.set_limit(20'000);
  allocator.release(allocator.allocate(19'000), 19'000);
}

TEST_CASE("without a limit at most the machine's memory can be live") {
  HostAllocator allocator;
  void* block = allocator.allocate(1 << 20);
  try {
    allocator.allocate(std::size_t{1} << 60);
    FAIL("an impossible allocation succeeded");
  } catch (const OutOfMemory& error) {
    CHECK(error.shortage().most_bytes > (1 << 20));
    CHECK(error.shortage().most_bytes <= 2 * physical_memory());
  }
  allocator.release(block, 1 << 20);
}

TEST_CASE("threads may allocate and release at the same time") {
  HostAllocator allocator;
  std::vector<std::thread> threads;
  threads.reserve(4);
  std::vector<int> overwritten(4, 0);
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 2000; ++i) {
        const auto bytes = static_cast<std::size_t>(64 + (i * 37 + t * 101) % 5000);
        auto* block = static_cast<unsigned char*>(allocator.allocate(bytes));
        std::memset(block, t + 1, bytes);
        if (block[0] != t + 1 || block[bytes - 1] != t + 1) overwritten[static_cast<std::size_t>(t)]++;
        allocator.release(block, bytes);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(overwritten == std::vector<int>(4, 0));
  CHECK(allocator.use().live_bytes == 0);
  CHECK(allocator.use().peak_bytes <= 4 * (5120 + block_overhead));
}

TEST_CASE("the memory of a tensor returns to the cache with its last handle") {
  Allocator& allocator = cpu_backend().allocator();
  const std::size_t before = allocator.use().live_bytes;
  {
    const Tensor tensor = Tensor::empty({1000, 1000});
    const Tensor handle = tensor.rows(3, 5);
    CHECK(allocator.use().live_bytes >= before + 4'000'000);
  }
  CHECK(allocator.use().live_bytes == before);
}
