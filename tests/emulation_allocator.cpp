// The policy of the GPU's allocator, on a stand-in for the device: addresses that nobody writes to.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <thread>
#include <vector>

#include "catch.h"
#include "core/cuda/allocator.h"
#include "core/memory/outlives_capture.h"
#include "core/random.h"
#include "core/tensor.h"
#include "message_of.h"

namespace lamina::tests {
namespace {

using cuda::CudaAllocator;

constexpr std::size_t megabyte = std::size_t{1} << 20;

// Segments follow one another without a gap, so that a merge across them would show.
struct FakeDevice {
  std::size_t capacity;
  std::map<std::byte*, std::size_t> segments{};
  std::size_t used = 0;
  std::byte* next = reinterpret_cast<std::byte*>(std::uintptr_t{1} << 32);  // NOLINT: never followed

  std::byte* allocate(std::size_t bytes) {
    if (bytes > capacity - used) return nullptr;
    used += bytes;
    std::byte* segment = std::exchange(next, next + bytes);
    segments[segment] = bytes;
    return segment;
  }
  void release(std::byte* segment) {
    used -= segments.at(segment);
    segments.erase(segment);
  }
  bool holds(const std::byte* begin, std::size_t bytes) const {
    const auto after = segments.upper_bound(const_cast<std::byte*>(begin));
    if (after == segments.begin()) return false;
    const auto& [segment, size] = *std::prev(after);
    return begin + bytes <= segment + size;
  }
  cuda::SegmentSource source() {
    return {[this](std::size_t bytes) { return allocate(bytes); },
            [this](std::byte* segment) { release(segment); }, [] { return "the fake device"; }};
  }
};

std::byte* allocate(Allocator& allocator, std::size_t bytes) {
  return static_cast<std::byte*>(allocator.allocate(bytes));
}

}  // namespace

TEST_CASE("new memory of the emulated GPU is poisoned", "[cuda]") {
  const Tensor x = Tensor::empty({1000}, {DType::f32, Device::cuda()});
  for (const float value : x.to_vector<float>()) REQUIRE(std::isnan(value));
}

TEST_CASE("a segment serves many requests, and a released block the next one at once", "[cuda]") {
  FakeDevice device{1024 * megabyte};
  CudaAllocator allocator(device.source());
  std::byte* a = allocate(allocator, 1000);
  std::byte* b = allocate(allocator, 0);
  CHECK(b == a + 1024);
  CHECK(device.used == 64 * megabyte);
  CHECK(allocator.use().live_bytes == 1280);
  allocator.release(a, 1000);
  CHECK(allocator.use().live_bytes == 256);
  CHECK(allocator.use().peak_bytes == 1280);
  CHECK(allocate(allocator, 1024) == a);
  allocator.reset_peak();
  CHECK(allocator.use().peak_bytes == 1280);
}

TEST_CASE("a large request has a segment of its size, rounded to 2 MiB", "[cuda]") {
  FakeDevice device{1024 * megabyte};
  CudaAllocator allocator(device.source());
  allocator.release(allocator.allocate(100 * megabyte), 100 * megabyte);
  CHECK(device.used == 102 * megabyte);  // 256 bytes more than 100 MiB
  allocator.release(nullptr, 0);
}

TEST_CASE("blocks of adjacent segments do not become one", "[cuda]") {
  FakeDevice device{1024 * megabyte};
  CudaAllocator allocator(device.source());
  std::byte* a = allocate(allocator, 60 * megabyte);
  std::byte* b = allocate(allocator, 60 * megabyte);
  allocator.release(a, 60 * megabyte);
  allocator.release(b, 60 * megabyte);
  REQUIRE(device.segments.size() == 2);
  std::byte* wide = allocate(allocator, 100 * megabyte);
  CHECK(device.holds(wide, 100 * megabyte));
  CHECK(device.segments.size() == 3);
}

TEST_CASE("empty_cache gives back whole free segments alone", "[cuda]") {
  FakeDevice device{1024 * megabyte};
  CudaAllocator allocator(device.source());
  std::byte* first = allocate(allocator, 40 * megabyte);
  std::byte* second = allocate(allocator, 40 * megabyte);
  std::byte* small = allocate(allocator, megabyte);
  allocator.release(first, 40 * megabyte);
  allocator.release(second, 40 * megabyte);
  allocator.empty_cache();
  CHECK(device.used == 64 * megabyte);
  CHECK(device.holds(small, megabyte));
  CHECK(allocator.use().cached_bytes == 63 * megabyte - 256);
  allocator.release(small, megabyte);
  allocator.empty_cache();
  CHECK(device.used == 0);
  CHECK(allocator.use().cached_bytes == 0);
}

TEST_CASE("near the end of the memory segments are no larger than needed, and cached ones are given up",
          "[cuda]") {
  FakeDevice device{100 * megabyte};
  CudaAllocator allocator(device.source());
  std::byte* a = allocate(allocator, 63 * megabyte);
  allocator.allocate(10 * megabyte);  // 36 MiB are left: less than a segment
  CHECK(device.used == 76 * megabyte);
  allocator.release(a, 63 * megabyte);
  CHECK(device.holds(allocate(allocator, 80 * megabyte), 80 * megabyte));
}

TEST_CASE("GPU memory that cannot be had is an error that names the sizes and the way out", "[cuda]") {
  FakeDevice device{100 * megabyte};
  CudaAllocator allocator(device.source());
  std::byte* live = allocate(allocator, 1024);
  for (const std::size_t bytes : {std::numeric_limits<std::size_t>::max(), 200 * megabyte}) {
    CAPTURE(bytes);
    CHECK(unexplained([&] { allocator.allocate(bytes); }, {std::to_string(bytes).c_str(), "1024 bytes live",
                                                           "the fake device", "micro_batch"}) == "nothing");
    CHECK(allocator.use().live_bytes == 1024);
  }
  CHECK(allocate(allocator, 1024) == live + 1024);  // still usable
}

TEST_CASE("what captured work has released, nothing else is given while it may be replayed",
          "[cuda][captured]") {
  FakeDevice device{1024 * megabyte};
  CudaAllocator allocator(device.source());
  std::byte* before = allocate(allocator, megabyte);
  allocator.begin_capture();
  std::byte* temporary = allocate(allocator, 2 * megabyte);
  std::byte* result = allocate(allocator, megabyte);
  allocator.release(temporary, 2 * megabyte);
  CHECK(allocate(allocator, megabyte) == temporary);  // within the capture it is
  allocator.release(temporary, megabyte);
  allocator.release(before, megabyte);
  allocator.end_capture();

  CHECK(allocate(allocator, megabyte) == before);
  CHECK(allocate(allocator, 2 * megabyte) != temporary);
  allocator.release(result, megabyte);  // after the capture: still its memory
  const std::size_t used = device.used;
  allocator.empty_cache();
  CHECK(device.used == used);

  allocator.begin_capture();  // a second one shares it
  CHECK(allocate(allocator, 2 * megabyte) == temporary);
  allocator.release(temporary, 2 * megabyte);
  allocator.end_capture();
  allocator.drop_capture();
  allocator.empty_cache();
  CHECK(device.used == used);
  allocator.drop_capture();
  allocator.empty_cache();
  CHECK(device.used < used);
}

TEST_CASE("while work is captured, what stays and what other threads ask for is no graph's memory",
          "[cuda][captured]") {
  FakeDevice device{1024 * megabyte};
  CudaAllocator allocator(device.source());
  allocator.release(allocate(allocator, megabyte), megabyte);
  allocator.begin_capture();
  allocator.release(allocate(allocator, megabyte), megabyte);
  std::byte* of_graphs = allocate(allocator, megabyte);
  allocator.release(of_graphs, megabyte);
  std::byte* stays = nullptr;
  {
    const OutlivesCapture kept;
    stays = allocate(allocator, megabyte);
  }
  std::byte* elsewhere = nullptr;
  std::thread([&] { elsewhere = allocate(allocator, megabyte); }).join();
  CHECK(stays != of_graphs);
  CHECK(elsewhere != of_graphs);
  CHECK(allocate(allocator, megabyte) == of_graphs);
  allocator.end_capture();
  allocator.drop_capture();
}

TEST_CASE("memory that outlives its capture is free when it is released", "[cuda][captured]") {
  FakeDevice device{64 * megabyte};
  CudaAllocator allocator(device.source());
  allocator.begin_capture();
  std::byte* result = allocate(allocator, 60 * megabyte);
  allocator.end_capture();
  allocator.drop_capture();
  CHECK(unexplained([&] { allocator.allocate(10 * megabyte); }, {"out of GPU memory"}) == "nothing");
  allocator.release(result, 60 * megabyte);
  CHECK(allocate(allocator, 10 * megabyte) == result);
}

TEST_CASE("a capture that runs out of memory gives nothing back while it lasts", "[cuda][captured]") {
  FakeDevice device{128 * megabyte};
  CudaAllocator allocator(device.source());
  allocator.release(allocator.allocate(50 * megabyte), 50 * megabyte);
  allocator.begin_capture();
  allocator.allocate(50 * megabyte);
  CHECK(unexplained([&] { allocator.allocate(50 * megabyte); }, {"out of GPU memory"}) == "nothing");
  CHECK(device.used == 128 * megabyte);
  allocator.end_capture();
  allocator.drop_capture();
  CHECK(device.holds(allocate(allocator, 60 * megabyte), 60 * megabyte));
}

TEST_CASE("whatever comes and goes, blocks lie inside a segment and never overlap", "[cuda]") {
  FakeDevice device{200 * megabyte};
  std::map<std::byte*, std::size_t> live;  // the model: sizes as asked for
  {
    CudaAllocator allocator(device.source());
    const Random random{.stream = Stream::probe};
    std::uint32_t draw = 0;
    const auto below = [&](std::size_t n) { return random.below(draw++, static_cast<std::uint32_t>(n)); };
    std::size_t refused = 0, live_bytes = 0;
    for (int i = 0; i < 20'000; ++i) {
      if (below(500) == 0) allocator.empty_cache();
      if (!live.empty() && (live.size() > 60 || below(5) < 2)) {
        const auto block = std::next(live.begin(), static_cast<std::ptrdiff_t>(below(live.size())));
        allocator.release(block->first, block->second);
        live_bytes -= (std::max<std::size_t>(block->second, 1) + 255) / 256 * 256;
        live.erase(block);
      } else {
        const std::size_t bytes = below(std::size_t{1} << (8 + below(19)));
        try {
          std::byte* begin = allocate(allocator, bytes);
          REQUIRE(device.holds(begin, bytes));
          const auto after = live.lower_bound(begin);
          if (after != live.end()) REQUIRE(begin + bytes <= after->first);
          if (after != live.begin()) REQUIRE(std::prev(after)->first + std::prev(after)->second <= begin);
          live[begin] = bytes;
          live_bytes += (std::max<std::size_t>(bytes, 1) + 255) / 256 * 256;
        } catch (const Error&) {
          ++refused;
        }
      }
      const MemoryUse use = allocator.use();
      REQUIRE(use.live_bytes == live_bytes);
      REQUIRE(use.live_bytes + use.cached_bytes + 256 * device.segments.size() == device.used);
    }
    CHECK(refused > 0);  // or the end of the memory was never reached
    for (const auto& [begin, bytes] : live) allocator.release(begin, bytes);
    allocator.empty_cache();
    CHECK(device.used == 0);
    allocator.allocate(1);
  }
  CHECK(device.segments.empty());  // the destructor gives everything back
}

TEST_CASE("a GPU's allocator keeps to its limit, and says how much there could have been", "[cuda]") {
  FakeDevice device{100 * megabyte};
  cuda::SegmentSource source = device.source();
  source.free_bytes = [&device] { return device.capacity - device.used; };
  CudaAllocator allocator(source);
  const auto most_bytes = [&](std::size_t bytes) {
    try {
      allocator.allocate(bytes);
    } catch (const OutOfMemory& error) {
      return error.shortage().most_bytes;
    }
    return std::size_t{0};
  };
  std::byte* block = allocate(allocator, megabyte);
  CHECK(most_bytes(100 * megabyte) == 100 * megabyte - CudaAllocator::alignment);  // all but a segment's gap
  allocator.set_limit(10 * megabyte);
  CHECK(most_bytes(9 * megabyte + 1) == 10 * megabyte);
  CHECK(device.used == 64 * megabyte);  // nothing was asked of the device
  allocator.release(allocate(allocator, 9 * megabyte), 9 * megabyte);
  allocator.release(block, megabyte);
}

TEST_CASE("separate blocks have their own size, and are the device's again when released", "[cuda]") {
  FakeDevice device{1000};
  cuda::SeparateAllocator allocator(device.source());
  std::byte* a = allocate(allocator, 700);
  CHECK(device.segments.at(a) == 700);
  CHECK(unexplained([&] { allocator.allocate(301); }, {"301 bytes", "700 bytes live", "the fake device"}) ==
        "nothing");
  std::byte* b = allocate(allocator, 300);
  CHECK(allocator.use().live_bytes == 1000);
  allocator.release(a, 700);
  allocator.release(nullptr, 0);
  CHECK(device.used == 300);
  CHECK(allocator.use().live_bytes == 300);
  CHECK(allocator.use().peak_bytes == 1000);
  allocator.set_limit(400);
  CHECK_THROWS_AS(allocator.allocate(101), OutOfMemory);
  allocator.release(b, 300);
  CHECK(device.segments.empty());
}

TEST_CASE("separate blocks of captured work stay until the last capture is dropped", "[cuda][captured]") {
  FakeDevice device{1000};
  cuda::SeparateAllocator allocator(device.source());
  std::byte* before = allocate(allocator, 10);
  allocator.begin_capture();
  std::byte *kept = allocate(allocator, 100), *released = allocate(allocator, 200);
  allocator.release(released, 200);
  allocator.release(before, 10);
  CHECK(device.used == 310);  // nothing is given back during a capture
  allocator.end_capture();
  CHECK(device.used == 300);
  allocator.begin_capture();
  allocator.end_capture();
  allocator.drop_capture();
  allocator.release(allocate(allocator, 500), 500);
  CHECK(device.used == 300);
  allocator.drop_capture();
  CHECK(device.used == 100);
  allocator.release(kept, 100);
  CHECK(device.used == 0);
}

}  // namespace lamina::tests
