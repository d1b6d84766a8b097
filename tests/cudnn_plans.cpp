// What is asked of cuDNN, as far as cuDNN answers without a GPU: it proposes engines and makes plans for one
// that is described to it. They are not run.
#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string_view>
#include <vector>

#include "catch.h"
#include "core/cuda/cudnn_graph.h"
#include "core/cuda/library_files.h"
#include "message_of.h"
#include "temporary_directory.h"

namespace lamina::tests {
namespace {

using cuda::ConvDirection;

// A GPU of the Hopper generation, as cuDNN describes one.
constexpr std::string_view hopper = R"({
  "deviceName": "NVIDIA H100", "deviceVer": 900, "driverVer": 13000, "cudaDeviceId": 0, "pciDeviceId": 0,
  "multiProcessorCount": 132, "totalGlobalMem": 85000000000, "l2CacheSize": 52428800,
  "smClockRateKHz": 1980000, "memClockRateKHz": 2619000, "isTccDriver": 0, "supportCoopLaunch": 1,
  "maxGridSize": [2147483647, 65535, 65535], "maxBlockSize": [1024, 1024, 64], "warpSize": 32,
  "regsPerBlock": 65536, "maxRegistersPerSM": 65536, "maxCtasPerSM": 32, "maxThreadsPerBlock": 1024,
  "maxThreadsPerSM": 2048, "maxSharedMemoryPerBlock": 49152, "maxSharedMemoryPerBlockOptin": 232448,
  "reservedSharedMemoryPerBlock": 1024})";

cuda::Descriptor described_gpu() {
  cuda::Descriptor properties(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  properties
      .set(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
           static_cast<std::int64_t>(hopper.size()), hopper.data())
      .finalize("describing a GPU");
  return properties;
}

struct Convolution {
  Shape x, weight, y;
  Conv2dOptions options;
};

// The kinds that ResNets have, at a small batch.
std::vector<Convolution> convolutions() {
  return {{{4, 32, 32, 3}, {64, 3, 3, 3}, {4, 32, 32, 64}, {.stride = 1, .padding = 1}},
          {{4, 224, 224, 3}, {64, 7, 7, 3}, {4, 112, 112, 64}, {.stride = 2, .padding = 3}},
          {{4, 32, 32, 64}, {64, 3, 3, 64}, {4, 32, 32, 64}, {.stride = 1, .padding = 1}},
          {{4, 32, 32, 64}, {128, 3, 3, 64}, {4, 16, 16, 128}, {.stride = 2, .padding = 1}},
          {{4, 32, 32, 64}, {128, 1, 1, 64}, {4, 16, 16, 128}, {.stride = 2, .padding = 0}},
          {{3, 9, 7, 5}, {6, 3, 3, 5}, {3, 5, 4, 6}, {.stride = 2, .padding = 1}}};
}

cuda::ConvProblem problem_of(const Convolution& c, ConvDirection direction, DType dtype,
                             std::int64_t alignment) {
  const TensorOptions options{.dtype = dtype};
  return {.direction = direction,
          .x = Tensor::empty(c.x, options),
          .weight = Tensor::empty(c.weight, options),
          .y = Tensor::empty(c.y, options),
          .stride = c.options.stride,
          .padding = c.options.padding,
          .alignment = alignment,
          .tf32 = false,
          .deterministic = true};
}

}  // namespace

TEST_CASE("cuDNN has deterministic engines and plans for every convolution of a ResNet", "[cuda]") {
  const cuda::Descriptor gpu = described_gpu();
  const cuda::Target target{.properties = &gpu};
  for (const Convolution& convolution : convolutions()) {
    for (const auto direction :
         {ConvDirection::forward, ConvDirection::grad_input, ConvDirection::grad_weight}) {
      for (const DType dtype : {DType::f32, DType::bf16}) {
        for (const std::int64_t alignment : {16, 4}) {
          const cuda::ConvProblem problem = problem_of(convolution, direction, dtype, alignment);
          INFO(problem.str() << " alignment " << alignment);
          const cuda::ConvGraph graph = make_graph(target, problem);
          const auto engines = engines_for(target, graph, problem);
          CHECK(std::none_of(engines.begin(), engines.end(),
                             [](const cuda::Engine& e) { return e.rounds_inputs || e.rounds_sums; }));
          CHECK(std::any_of(engines.begin(), engines.end(), [&](const cuda::Engine& e) {
            return e.deterministic && make_plan(target, e).has_value();
          }));
        }
      }
    }
  }
}

TEST_CASE("cuDNN adds to a gradient that is there by deterministic engines", "[cuda]") {
  const cuda::Descriptor gpu = described_gpu();
  const cuda::Target target{.properties = &gpu};
  for (const Convolution& convolution : convolutions()) {
    for (const DType dtype : {DType::f32, DType::bf16}) {
      cuda::ConvProblem problem = problem_of(convolution, ConvDirection::grad_input, dtype, 16);
      problem.adds = true;
      INFO(problem.str());
      const cuda::ConvGraph graph = make_graph(target, problem);
      const auto engines = engines_for(target, graph, problem);
      CHECK(std::any_of(engines.begin(), engines.end(), [&](const cuda::Engine& e) {
        return e.deterministic && make_plan(target, e).has_value();
      }));
      CHECK(graph.operation.get<float>(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA, CUDNN_TYPE_FLOAT, 1) ==
            std::vector<float>{1});
    }
  }
}

TEST_CASE("TF32 adds engines, and cuDNN knows which sums come in no fixed order", "[cuda]") {
  const cuda::Descriptor gpu = described_gpu();
  const cuda::Target target{.properties = &gpu};
  cuda::ConvProblem problem = problem_of(convolutions()[3], ConvDirection::grad_weight, DType::f32, 16);
  const cuda::ConvGraph graph = make_graph(target, problem);
  const auto exact = engines_for(target, graph, problem);
  problem.tf32 = true;
  const auto rounded = engines_for(target, graph, problem);
  CHECK(rounded.size() > exact.size());
  CHECK(std::any_of(rounded.begin(), rounded.end(), [](const cuda::Engine& e) { return e.rounds_inputs; }));
  CHECK(std::any_of(rounded.begin(), rounded.end(), [](const cuda::Engine& e) { return !e.deterministic; }));
}

TEST_CASE("what cuDNN cannot do is an error with its reason", "[cuda]") {
  const cuda::Descriptor gpu = described_gpu();
  const cuda::Target target{.properties = &gpu};
  cuda::ConvProblem problem = problem_of(convolutions()[2], ConvDirection::forward, DType::f32, 16);
  problem.stride = 2;  // y would be smaller
  CHECK(unexplained([&] { make_graph(target, problem); }, {"cuDNN", "BAD_PARAM"}) == "nothing");
  CHECK(
      unexplained(
          [&] { make_graph(target, problem_of(convolutions()[2], ConvDirection::forward, DType::f64, 16)); },
          {"f64", "f32 or bf16"}) == "nothing");
}

TEST_CASE("a cuDNN that is missing or too old is an error that says so", "[cuda][errors]") {
  CHECK(unexplained([] { cuda::open_cudnn({OLD_CUDNN "/libcudnn.so.9"}); },
                    {"cuDNN 8.9 is too old", "version 9 or newer", "LAMINA_CUDNN_PATH"}) == "nothing");
  CHECK(unexplained(
            [] {
              cuda::open_cudnn({"/nowhere/libcudnn.so.9", "libnothing.so"});
            },
            {"cuDNN cannot be loaded", "/nowhere/libcudnn.so.9", "libnothing.so", "Install cuDNN 9"}) ==
        "nothing");
}

TEST_CASE("NVIDIA's libraries are looked for beside the program and in Python's folders", "[cuda]") {
  namespace fs = std::filesystem;
  const Directory folder;
  const cuda::LibraryName name{.file = "libcu.so.9", .built = "/build/libcu.so", .variable = "LIBCU_PATH"};
  const auto place = [&](const char* at) {
    fs::create_directories(folder.file(at).parent_path());
    put(folder.file(at), "");
    return folder.file(at).string();
  };
  const std::string packaged = place("site-packages/nvidia/cudnn/lib/libcu.so.9"),
                    python = place("venv/lib/python3.11/site-packages/nvidia/cu13/lib/libcu.so.9");
  place("venv/lib/python3.11/site-packages/nvidia/other/lib/libother.so");
  using Files = std::vector<std::string>;
  for (const char* origin : {"site-packages", "site-packages/lamina", "site-packages/lamina/lib"})
    CHECK(cuda::beside(folder.file(origin), name.file) == Files{packaged});
  CHECK(cuda::beside(folder.file("venv/bin"), name.file) == Files{python});
  CHECK(cuda::beside("/nowhere/at/all", name.file).empty());

  setenv("VIRTUAL_ENV", folder.file("venv").c_str(), 1);
  CHECK(cuda::library_files(name) == Files{"/build/libcu.so", python, "libcu.so.9"});
  setenv("LIBCU_PATH", folder.file("site-packages/nvidia/cudnn/lib").c_str(), 1);
  CHECK(cuda::library_files(name) == Files{packaged});
  setenv("LIBCU_PATH", "/some/libcu.so.9.1", 1);
  CHECK(cuda::library_files(name) == Files{"/some/libcu.so.9.1"});
  unsetenv("LIBCU_PATH");
  unsetenv("VIRTUAL_ENV");
}

TEST_CASE("engines that cuDNN compiles at run time come last", "[cuda]") {
  // Without a driver it proposes none; the toolkit's stand-in is enough for proposals.
  if (dlopen("libcuda.so.1", RTLD_NOW | RTLD_GLOBAL) == nullptr)
    REQUIRE(dlopen(CUDA_DRIVER_STUB, RTLD_NOW | RTLD_GLOBAL) != nullptr);
  const cuda::Descriptor gpu = described_gpu();
  const cuda::Target target{.properties = &gpu};
  std::size_t compiled = 0;
  for (const Convolution& convolution : convolutions()) {
    for (const auto direction : {ConvDirection::forward, ConvDirection::grad_weight}) {
      const cuda::ConvProblem problem = problem_of(convolution, direction, DType::bf16, 16);
      const auto engines = engines_for(target, make_graph(target, problem), problem);
      const auto is_compiled = [](const cuda::Engine& engine) { return engine.compiles; };
      compiled += static_cast<std::size_t>(std::ranges::count_if(engines, is_compiled));
      CHECK(std::ranges::is_partitioned(engines, std::not_fn(is_compiled)));
    }
  }
  CHECK(compiled > 0);
}

TEST_CASE("which libraries are opened can be asked for", "[cuda]") {
  const std::vector<std::string> libraries = cuda_libraries();
  REQUIRE(libraries.size() == 2);
  const std::size_t version = cuda::cudnn().cudnnGetVersion();
  CHECK(libraries[0].starts_with(fmt::format("cuDNN {}.{}.", version / 10000, version / 100 % 100)));
  CHECK(libraries[0].find("/libcudnn.so") != std::string::npos);
  CHECK(libraries[1].find("/libcublasLt.so") != std::string::npos);
}

}  // namespace lamina::tests
