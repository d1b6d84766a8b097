// How core/cuda deals with the machine: GPUs that are not there, uploads, memory that runs out, and work that
// the host does not wait for.
#include "emulated_cuda/machine.h"

#include <cstdlib>
#include <memory>
#include <numeric>
#include <thread>

#include "catch.h"
#include "core/autograd.h"
#include "core/captured.h"
#include "core/cuda/check.h"
#include "core/memory/allocator.h"
#include "core/ops/ops.h"
#include "data/loader.h"
#include "data/sets/synthetic.h"
#include "layers/resnet.h"
#include "message_of.h"
#include "optim/optimizer.h"
#include "train/objectives/classification.h"
#include "train/step.h"

namespace lamina::tests {
namespace {

// Blocks of the first GPU are separate ones, so that what lies beyond them, and what was never written,
// shows.
const int separate_blocks = setenv("LAMINA_GPU_MEMORY", "separate", 1);

constexpr int pooled_index = 1;  // of the GPU that keeps its memory for reuse, as those of users do

// Backends stay, and know then how to get memory.
Device pooled_gpu() {
  unsetenv("LAMINA_GPU_MEMORY");
  Tensor::zeros({1}, {.device = Device::cuda(pooled_index)});
  setenv("LAMINA_GPU_MEMORY", "separate", 1);
  return Device::cuda(pooled_index);
}

// What is said to somebody who asks for a GPU that was never used before.
std::string refusal(const EmulatedMachine& machine, int index = 7) {
  const Pretence pretence(machine);
  return message_of([&] { Tensor::zeros({1}, {.device = Device::cuda(index)}); });
}

std::string missing(const std::string& message, std::initializer_list<const char*> parts) {
  return unexplained([&] { fail("{}", message); }, parts);
}

}  // namespace

TEST_CASE("a GPU that cannot be used is an error that says why, and what to do", "[cuda][errors]") {
  CHECK(missing(refusal({.driver = 0}), {"device cuda:7", "no NVIDIA driver",
                                         "install one for CUDA 12.8 or newer", "device cpu"}) == "nothing");
  CHECK(missing(refusal({.driver = 11040}), {"driver supports CUDA 11.4", "built with 12.8",
                                             "update the driver", "device cpu"}) == "nothing");
  CHECK(missing(refusal({.gpus = 0}), {"no GPU that this program may use", "CUDA_VISIBLE_DEVICES"}) ==
        "nothing");
  CHECK(missing(refusal({.gpus = 1}), {"cuda:7 does not exist", "there is 1 GPU here, cuda:0"}) == "nothing");
  CHECK(missing(refusal({.gpus = 3}), {"there are 3 GPUs here, cuda:0 to cuda:2"}) == "nothing");
  CHECK(missing(refusal({.gpus = 8, .compute_capability = 75}),
                {"compute capability 7.5", "built for sm_80, sm_90", "-DCMAKE_CUDA_ARCHITECTURES=75"}) ==
        "nothing");
  CHECK(cuda_device_description(0) ==
        "the host, emulating a GPU, compute capability 9.0, 16.0 GiB, driver for CUDA 13.0");
}

TEST_CASE("how a GPU's memory is to be had is checked", "[cuda][errors]") {
  setenv("LAMINA_GPU_MEMORY", "pooled", 1);
  const std::string message = refusal({.gpus = 8});
  setenv("LAMINA_GPU_MEMORY", "separate", 1);
  CHECK(missing(message, {"LAMINA_GPU_MEMORY is \"pooled\"", "expected nothing, or separate"}) == "nothing");
}

TEST_CASE("what is uploaded may change as soon as the call returns", "[cuda]") {
  constexpr std::int64_t size = std::int64_t{1} << 20;  // as much as a buffer for uploads holds
  for (const Device device : {Device::cuda(), pooled_gpu()}) {
    std::vector<float> values(size);
    std::vector<Tensor> uploaded;
    for (int i = 0; i < 11; ++i) {  // around all the buffers, and begun at every place of one
      const std::int64_t count = size / 8 * (i % 3 + 3) + i;
      std::iota(values.begin(), values.end(), static_cast<float>(1000 * i));
      uploaded.push_back(Tensor::empty({count}, {.device = device}));
      backend_for(device).copy_from_host(values.data(), uploaded.back());
    }
    std::fill(values.begin(), values.end(), -1.0f);
    for (int i = 0; i < 11; ++i) {
      const std::vector<float> seen = uploaded[static_cast<std::size_t>(i)].to_vector<float>();
      std::iota(values.begin(), values.end(), static_cast<float>(1000 * i));
      CHECK(std::equal(seen.begin(), seen.end(), values.begin()));
    }
  }
}

namespace {

const data::Split& images_on_cpu() {
  static const data::Split split = data::synthetic({.height = 8, .width = 8, .train = 200, .test = 10}).train;
  return split;
}

// Whether these are the batches of the loader's epoch 1.
bool are_right(const std::vector<Tensor>& batches, const data::Loader& loader) {
  std::size_t next = 0;
  for (const data::Part& part : loader.epoch(1))
    if (batches.at(next++).to_vector<float>() != part.images().to_vector<float>()) return false;
  return next == batches.size();
}

}  // namespace

TEST_CASE("images come to a GPU while it is at work, some batches ahead of it", "[cuda]") {
  const Device device = pooled_gpu();
  const data::Loader loader(images_on_cpu(),
                            {.batch = 20, .augment = data::standard(), .workers = 0, .seed = 2});
  for (const data::Part& part : loader.epoch(0, device)) part.images().to_vector<float>();  // makes room
  Tensor at_work = Tensor::full({1}, 1, {.device = device});
  backend_for(device).synchronize();
  at_work.fill(2);  // the step of the batch before, which takes long
  std::vector<Tensor> batches;
  for (const data::Part& part : loader.epoch(1, device)) {
    batches.push_back(part.images());
    if (batches.size() == 4) CHECK(*at_work.data<float>() == 1);  // nothing has waited for it
  }
  CHECK(are_right(batches, loader));
}

TEST_CASE("images do not come into memory that work at hand still writes", "[cuda]") {
  const Device device = pooled_gpu();
  const data::Loader loader(images_on_cpu(), {.batch = 40, .workers = 0, .seed = 2});
  const TensorOptions bytes{DType::u8, device};
  const Tensor before = Tensor::empty({7680}, bytes);
  Tensor released = Tensor::empty({7680}, bytes);
  const Tensor after = Tensor::empty({7680}, bytes);
  backend_for(device).synchronize();
  released.fill(255);
  released = {};  // the next 7680 bytes, those of a batch, lie there
  std::vector<Tensor> batches;
  for (const data::Part& part : loader.epoch(1, device)) batches.push_back(part.images());
  CHECK(are_right(batches, loader));
}

TEST_CASE("memory that a GPU lacks is an error that says what it has", "[cuda][errors]") {
  const Device device = pooled_gpu();
  Allocator& allocator = backend_for(device).allocator();
  allocator.empty_cache();
  const Tensor held = Tensor::zeros({1000}, {.device = device});
  const Pretence small({.memory = std::size_t{1} << 30});
  const std::size_t live = allocator.use().live_bytes;
  try {
    Tensor::zeros({std::int64_t{1} << 29}, {.device = device});  // 2 GiB
    FAIL("2 GiB were found in 1");
  } catch (const OutOfMemory& error) {
    CHECK(missing(error.what(), {"2147483648 bytes asked for", "cuda:1 has ", " of 1073741824 bytes free"}) ==
          "nothing");
    CHECK(error.shortage().asked_bytes == std::size_t{1} << 31);
    CHECK(error.shortage().live_bytes == live);
    CHECK(error.shortage().most_bytes > live);
    CHECK(error.shortage().most_bytes <= std::size_t{1} << 30);
  }
  CHECK(held.to_vector<float>() == std::vector<float>(1000));  // the failed call left nothing behind
}

TEST_CASE("what a broken GPU is found by is said once", "[cuda][errors]") {
  Tensor x = Tensor::zeros({1}, {.device = Device::cuda()});
  const Pretence pretence({.broken = true});
  const std::string first = message_of([&] { x.item(); });
  CHECK(missing(first, {"cudaErrorIllegalAddress", "every call on this GPU", "CUDA_LAUNCH_BLOCKING=1",
                        "eager", "compute-sanitizer"}) == "nothing");
  const std::string second = message_of([&] { x.item(); });
  CHECK(missing(second, {"cudaErrorIllegalAddress"}) == "nothing");
  CHECK(second.find("CUDA_LAUNCH_BLOCKING") == std::string::npos);
}

TEST_CASE("an invalidated capture says what broke it, as far as that is known", "[captured][errors]") {
  const Device gpu = Device::cuda();
  const Tensor x = Tensor::full({3}, 2, {.device = gpu});
  bool checked = true;
  Captured work(gpu, [&] {
    void* memory = nullptr;
    const cudaError_t status = cudaMalloc(&memory, 1);  // not allowed while this thread captures
    if (status == cudaSuccess) cudaFree(memory);
    if (checked) message_of([&] { cuda::check_cuda(status, "getting some memory"); });
    Tensor doubled = x + x;
  });
  work.run();
  CHECK(unexplained([&] { work.run(); },
                    {"capturing work failed", "cudaErrorStreamCaptureInvalidated", "first call to fail was",
                     "getting some memory failed", "cudaErrorStreamCaptureUnsupported", "capture = false"}) ==
        "nothing");
  checked = false;
  CHECK(unexplained([&] { work.run(); }, {"cudaErrorStreamCaptureInvalidated", "not allowed while work is",
                                          "code of one's own"}) == "nothing");
}

TEST_CASE("gradients that are first made while work is captured survive the replays of other work",
          "[captured][memory]") {
  const auto gradients = [](bool capture) {
    const Device gpu = pooled_gpu();  // whose blocks are parts of segments that graphs share
    std::vector<Tensor> weights, found;
    std::vector<std::unique_ptr<Captured>> works;
    for (const std::int64_t size : {100, 50}) {  // the first one's temporaries cover the second one's memory
      weights.push_back(Tensor::full({size, size}, 0.5, {.device = gpu}).requires_grad_());
      const auto work = [weight = weights.back()](const Tensor& x) {
        const Tensor half = x * 0.5;
        sum(square(half + half) * weight).backward();
      };
      works.push_back(std::make_unique<Captured>(gpu, work, CapturedOptions{.capture = capture}));
    }
    int step = 0;  // the second work starts when the first one's graph is there
    for (const std::size_t which : {0, 0, 1, 0, 1, 0, 1, 1})
      works[which]->run(Tensor::full(weights[which].shape(), step++, {.device = gpu}));
    for (const Tensor& weight : weights) found.push_back(weight.grad().clone());
    return found;
  };
  const std::vector<Tensor> expected = gradients(false), found = gradients(true);
  // 0² + 1² + 3² + 5² and 2² + 4² + 6² + 7², which are exact.
  CHECK(expected[0].to_vector<float>()[7] == 35);
  CHECK(expected[1].to_vector<float>()[7] == 105);
  for (std::size_t i = 0; i < 2; ++i) CHECK(found[i].to_vector<float>() == expected[i].to_vector<float>());
}

TEST_CASE("another thread's tensors, made while work is captured, keep what they hold",
          "[captured][memory]") {
  const Device gpu = pooled_gpu();
  Tensor total = Tensor::zeros({100}, {.device = gpu}), elsewhere;
  Captured work(gpu, [&](const Tensor& x) {
    backend_for(gpu).accumulate(square(x * 2.0 + x), total);  // whose temporaries are free again
    if (!elsewhere.defined()) std::thread([&] { elsewhere = Tensor::empty({100}, {.device = gpu}); }).join();
  });
  const Tensor x = Tensor::full({100}, 1, {.device = gpu});
  work.run(x);
  elsewhere = {};
  work.run(x);  // captured
  elsewhere.fill(5);
  for (int i = 0; i < 3; ++i) work.run(x);
  CHECK(elsewhere.to_vector<float>() == std::vector<float>(100, 5));
  CHECK(total.to_vector<float>() == std::vector<float>(100, 5 * 9));
}

TEST_CASE("sums with the same total are not added up by the same kernel", "[cuda]") {
  Backend& gpu = backend_for(Device::cuda());
  std::vector<Backend::Accumulation> sums(10);
  for (auto& sum : sums)
    sum = {Tensor::full({5}, 1, {.device = Device::cuda()}), Tensor::zeros({5}, {.device = Device::cuda()})};
  const auto kernels = [&] {
    gpu.synchronize();
    gpu.accumulate_all(sums);
    return emulated_backlog();
  };
  CHECK(kernels() == 1);
  sums[6].total = sums[2].total;
  CHECK(kernels() == 2);
  CHECK(sums[2].total.to_vector<float>() == std::vector<float>(5, 3));
}

TEST_CASE("gradients that join at a convolution's input take no launch of their own", "[cuda]") {
  const TensorOptions on_gpu{.device = pooled_gpu()};  // where releasing memory waits for nothing
  const Conv2dOptions options{.padding = 1};
  const Tensor a = Tensor::full({4, 3, 3, 4}, 0.5, on_gpu), b = a.clone();
  const auto leaf = [&] { return Tensor::full({1, 4, 4, 4}, 1, on_gpu).requires_grad_(); };
  const auto launches = [&](const Tensor& x, const Tensor& y, std::initializer_list<Tensor> wanted) {
    const Tensor loss = conv2d(x, a, options) + conv2d(y, b, options);
    const Tensor from_above = Tensor::full(loss.shape(), 1, on_gpu);
    backend_for(on_gpu.device).synchronize();
    const std::vector<Tensor> gradients = grad(loss, wanted, from_above);
    return emulated_backlog();
  };
  const Tensor x = leaf(), y = leaf();
  CHECK(launches(x, y, {x, y}) > 0);
  CHECK(launches(x, x, {x}) == launches(x, y, {x, y}));
}

#ifdef LAMINA_CUDA  // else the library's optimizers know no GPU

TEST_CASE("a replayed step is handed out at once, and nothing in it waits", "[captured]") {
  const Device device = pooled_gpu();
  data::Split split =
      data::synthetic({.classes = 4, .height = 8, .width = 8, .train = 200, .test = 10}).train;
  split.images = split.images.to(device);
  ResNet net("resnet8", {.classes = 4, .device = device});
  Sgd optimizer(net.parameters(), {.lr = 0.1});
  Classification objective(net);
  train::TrainingStep step(objective, optimizer);
  const data::Loader loader(split, {.batch = 20, .augment = data::standard()});
  std::vector<std::size_t> backlogs;
  for (const data::Part& part : loader.epoch(0, device)) {
    step.run(part);
    backlogs.push_back(emulated_backlog());
  }
  REQUIRE(backlogs.size() == 10);
  CHECK(backlogs[9] - backlogs[8] == backlogs[8] - backlogs[7]);
  CHECK(backlogs[9] - backlogs[8] <= 10);  // uploads and augmentation, and the graph: one
  for (std::size_t i = 3; i < backlogs.size(); ++i) CHECK(backlogs[i] > backlogs[i - 1]);
  CAPTURE(backlogs);
  CHECK(step.results().steps.size() == 10);
  CHECK(emulated_backlog() == 0);
}

#endif

}  // namespace lamina::tests
