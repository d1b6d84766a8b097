#include "core/allocator.h"

#include <cstdint>
#include <cstring>
#include <limits>
#include <thread>
#include <vector>

#include "catch.h"
#include "core/backend.h"
#include "core/error.h"
#include "core/tensor.h"

using namespace lamina;

// Under the address sanitizer an impossible size returns null, as without it, instead of ending the program.
extern "C" const char* __asan_default_options() {  // NOLINT(bugprone-reserved-identifier)
  return "allocator_may_return_null=1";
}

TEST_CASE("a released block is handed out again for nearly the same size") {
  CachingAllocator allocator;
  void* first = allocator.allocate(1'000'000);
  allocator.release(first, 1'000'000);
  REQUIRE(allocator.use().live_bytes == 0);
  REQUIRE(allocator.use().cached_bytes >= 1'000'000);

  void* second = allocator.allocate(990'000);  // the same eighth of a power of two
  CHECK(second == first);
  CHECK(allocator.use().cached_bytes == 0);
  void* larger = allocator.allocate(1'300'000);
  CHECK(larger != first);
  allocator.release(second, 990'000);
  allocator.release(larger, 1'300'000);
}

TEST_CASE("blocks are aligned, wholly usable, and waste at most an eighth") {
  CachingAllocator allocator;
  for (const std::size_t bytes :
       {0, 1, 63, 64, 65, 512, 513, 575, 577, 1024, 1025, 4097, 100'000, 12'345'678}) {
    CAPTURE(bytes);
    void* block = allocator.allocate(bytes);
    REQUIRE(block != nullptr);
    CHECK(reinterpret_cast<std::uintptr_t>(block) % 64 == 0);
    CHECK(allocator.use().live_bytes >= bytes);
    CHECK(allocator.use().live_bytes <= bytes + bytes / 8 + 64);
    std::memset(block, 0xab, bytes);  // the address sanitizer watches
    allocator.release(block, bytes);
  }
}

TEST_CASE("live, peak and cached bytes are accounted for") {
  CachingAllocator allocator;
  void* a = allocator.allocate(1 << 20);
  void* b = allocator.allocate(1 << 20);
  CHECK(allocator.use().live_bytes == 2 << 20);
  CHECK(allocator.use().peak_bytes == 2 << 20);
  allocator.release(a, 1 << 20);
  CHECK(allocator.use().live_bytes == 1 << 20);
  CHECK(allocator.use().cached_bytes == 1 << 20);
  CHECK(allocator.use().peak_bytes == 2 << 20);
  allocator.reset_peak();
  CHECK(allocator.use().peak_bytes == 1 << 20);
  allocator.empty_cache();
  CHECK(allocator.use().cached_bytes == 0);
  CHECK(allocator.use().live_bytes == 1 << 20);
  allocator.release(b, 1 << 20);
  allocator.release(nullptr, 0);
  CHECK(allocator.use().live_bytes == 0);
}

TEST_CASE("memory that cannot be had is an error that names the sizes") {
  CachingAllocator allocator;
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
      CHECK(message.find("1024") != std::string::npos);
    }
    CHECK(allocator.use().live_bytes == 1024);
  }
  CHECK(allocator.use().cached_bytes == 0);  // given up before giving up
  allocator.release(live, 1024);
}

TEST_CASE("threads may allocate and release at the same time") {
  CachingAllocator allocator;
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
  CHECK(allocator.use().peak_bytes <= 4 * 5760);
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
