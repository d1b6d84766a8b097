// Captured work (core/captured.h) on a GPU, emulated or not.
#include "core/captured.h"

#include <limits>
#include <utility>
#include <vector>

#include "catch.h"
#include "core/memory/allocator.h"
#include "core/ops/ops.h"
#include "layers/dropout.h"
#include "message_of.h"

namespace lamina::tests {

TEST_CASE("captured work that waits or uploads is an error, and nothing stays captured",
          "[captured][errors]") {
  const Device gpu = Device::cuda();
  const Tensor x = Tensor::full({3}, 2, {.device = gpu});
  Tensor total = Tensor::zeros({}, {.device = gpu});
  enum { add, read, upload, wait, leave } what = add;
  Captured work(gpu, [&] {
    backend_for(gpu).accumulate(sum(x), total);
    if (what == read) total.item();
    if (what == upload) Tensor::from<float>({1}, {1}, gpu);
    if (what == wait) backend_for(gpu).synchronize();
    if (what == leave) fail("enough");
  });
  work.run();
  for (const auto& [kind, message] : {std::pair(read, "reading from the GPU"),
                                      {upload, "copying to the GPU"},
                                      {wait, "waiting for the GPU"}}) {
    what = kind;
    CHECK(unexplained([&] { work.run(); }, {message, "capture = false"}) == "nothing");
    CHECK(total.item() == 6);
  }
  what = leave;
  CHECK(message_of([&] { work.run(); }) == "enough");
  what = add;
  Allocator& allocator = backend_for(gpu).allocator();
  allocator.set_limit(allocator.use().live_bytes);
  CHECK_THROWS_AS(work.run(), OutOfMemory);
  allocator.set_limit(std::numeric_limits<std::size_t>::max());
  CHECK(total.item() == 6);
  work.run();
  what = leave;  // no longer called
  work.run();
  CHECK(total.item() == 18);
}

TEST_CASE("captured work reads its inputs in one place; other shapes start a new capture", "[captured]") {
  for (const bool capture : {true, false}) {
    const Device gpu = Device::cuda();
    Tensor total = Tensor::zeros({}, {.device = gpu});
    int calls = 0;
    Captured work(gpu,
                  [&](const Tensor& x, const Tensor& y) {
                    backend_for(gpu).accumulate(sum(x * y), total);
                    ++calls;
                  },
                  {.capture = capture});
    double expected = 0;
    const auto run = [&](std::int64_t size, double x, double y) {
      Tensor a = Tensor::full({size}, x, {.device = gpu});
      const Tensor b = Tensor::full({size}, y, {.device = gpu});
      work.run(a, b);
      CHECK(total.item() == (expected += static_cast<double>(size) * x * y));
      CHECK(a.to_vector<float>()[0] == static_cast<float>(x));
      return a;
    };
    const Tensor first = run(3, 1, 2);
    for (int x = 2; x < 6; ++x) run(3, x, 3);
    CHECK(first.to_vector<float>()[0] == 1);  // a copy of it was written to
    CHECK(calls == (capture ? 2 : 5));
    for (int x = 2; x < 6; ++x) run(2, x, 3);
    CHECK(calls == (capture ? 4 : 9));
    CHECK(unexplained([&] { work.run(first); }, {"given 1 tensors", "takes 2"}) == "nothing");
  }
}

TEST_CASE("captured work may take a list of any length", "[captured]") {
  for (const Device device : {Device::cpu(), Device::cuda()}) {
    Tensor total = Tensor::zeros({}, {.device = device});
    Captured work(device, [&](std::span<const Tensor> inputs) {
      for (const Tensor& input : inputs) backend_for(device).accumulate(sum(input), total);
    });
    double expected = 0;
    for (const std::size_t count : {3U, 3U, 3U, 2U, 2U, 2U, 0U}) {
      const std::vector<Tensor> inputs(count, Tensor::full({2}, 5, {.device = device}));
      work.run(inputs);
      CHECK(total.item() == (expected += 10 * static_cast<double>(count)));
    }
    work.run(Tensor::full({2}, 1, {.device = device}));  // and one by one
    CHECK(total.item() == expected + 2);
  }
}

TEST_CASE("without a capture nothing of a batch is copied or kept", "[captured][memory]") {
  for (const Device device : {Device::cpu(), Device::cuda()}) {
    const Allocator& allocator = backend_for(device).allocator();
    const bool on_cpu = device.type == DeviceType::cpu;  // which never captures
    Captured work(device, [](const Tensor& x) { Tensor(x).fill(1); }, {.capture = on_cpu});
    const std::size_t before = allocator.use().live_bytes;
    {
      const Tensor x = Tensor::zeros({1000}, {.device = device});
      const std::size_t with = allocator.use().live_bytes;
      work.run(x);
      CHECK(allocator.use().live_bytes == with);
      CHECK(x.to_vector<float>()[999] == 1);  // not a copy of it
    }
    CHECK(allocator.use().live_bytes == before);
  }
}

TEST_CASE("on the CPU captured work is simply done", "[captured]") {
  int runs = 0;
  Captured work(Device::cpu(), [&] { ++runs; });
  for (int i = 0; i < 3; ++i) work.run();
  CHECK(runs == 3);
}

TEST_CASE("captured Dropout draws a new mask every time, the CPU's", "[captured]") {
  const Device gpu = Device::cuda();
  Dropout layer(0.5, {.device = gpu, .seed = 1}), on_cpu(0.5, {.seed = 1});
  const Tensor x = Tensor::full({1000}, 1, {.device = gpu});
  Tensor mask = Tensor::zeros({1000}, {.device = gpu});
  Captured work(gpu, [&] {
    mask.fill(0);
    backend_for(gpu).accumulate(layer(x), mask);
  });
  for (int i = 0; i < 4; ++i) {
    work.run();
    CHECK(mask.to_vector<float>() == on_cpu(Tensor::full({1000}, 1)).to_vector<float>());
  }
  CHECK(layer.parameter("num_masks").value.item() == 4);
}

}  // namespace lamina::tests
