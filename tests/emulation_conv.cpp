// What a convolution on the GPU is described by, and how its plan is remembered.
#include <unistd.h>

#include <cstdint>
#include <fstream>
#include <optional>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include "catch.h"
#include "core/cuda/alignment.h"
#include "core/cuda/conv_problem.h"
#include "core/cuda/fastest.h"
#include "core/cuda/plan_file.h"

namespace lamina::tests {
namespace {

namespace fs = std::filesystem;

struct TemporaryFolder {
  fs::path path = fs::temp_directory_path() / fmt::format("lamina-plans-{}", getpid());
  TemporaryFolder() { fs::remove_all(path); }
  ~TemporaryFolder() { fs::remove_all(path); }
};

cuda::ConvProblem problem_of(const Tensor& x, const Tensor& weight, const Tensor& y) {
  return {.direction = cuda::ConvDirection::forward,
          .x = x,
          .weight = weight,
          .y = y,
          .stride = 2,
          .padding = 1,
          .alignment = 16,
          .tf32 = false,
          .deterministic = true};
}

}  // namespace

TEST_CASE("cuDNN's extents and strides find every element of NHWC memory", "[cuda]") {
  const Shape shape{2, 3, 5, 4};
  const cuda::Extents extents = cuda::nchw_extents(shape), strides = cuda::nhwc_strides(extents);
  CHECK(extents == cuda::Extents{2, 4, 3, 5});
  std::int64_t place = 0;
  for (std::int64_t n = 0; n < shape[0]; ++n)
    for (std::int64_t h = 0; h < shape[1]; ++h)
      for (std::int64_t w = 0; w < shape[2]; ++w)
        for (std::int64_t c = 0; c < shape[3]; ++c)
          CHECK(n * strides[0] + c * strides[1] + h * strides[2] + w * strides[3] == place++);
}

TEST_CASE("problems that differ in anything have plans of their own", "[cuda]") {
  const Tensor x = Tensor::empty({8, 5, 7, 3}), weight = Tensor::empty({4, 3, 3, 3}),
               y = Tensor::empty({8, 3, 4, 4});
  const Tensor rounded = Tensor::empty({8, 5, 7, 3}, {.dtype = DType::bf16});
  const cuda::ConvProblem problem = problem_of(x, weight, y);
  std::set<cuda::ConvProblem> problems{problem, problem};
  CHECK(problems.size() == 1);
  auto other = [&](auto change) {
    cuda::ConvProblem changed = problem;
    change(changed);
    problems.insert(changed);
  };
  other([](auto& p) { p.direction = cuda::ConvDirection::grad_input; });
  other([](auto& p) { p.direction = cuda::ConvDirection::grad_weight; });
  other([&](auto& p) { p.x = Tensor::empty({8, 6, 7, 3}); });
  other([&](auto& p) { p.x = rounded; });
  other([](auto& p) { p.stride = 1; });
  other([](auto& p) { p.padding = 0; });
  other([](auto& p) { p.alignment = 4; });
  other([](auto& p) { p.tf32 = true; });
  other([](auto& p) { p.deterministic = false; });
  other([](auto& p) { p.adds = true; });
  CHECK(problems.size() == 11);
  CHECK(problem.str() ==
        "conv2d x f32 [8, 5, 7, 3] weight f32 [4, 3, 3, 3] y f32 [8, 3, 4, 4] stride 2 padding 1");
}

TEST_CASE("the alignment of several addresses is that of the worst", "[cuda]") {
  const auto at = [](std::uintptr_t address) { return reinterpret_cast<const void*>(address); };  // NOLINT
  CHECK(cuda::common_alignment({at(0x1000), at(0x2000)}, 16) == 16);
  CHECK(cuda::common_alignment({at(0x1000), at(0x2000)}, 256) == 256);
  CHECK(cuda::common_alignment({at(0x1000), at(0x2004), at(0x2008)}, 256) == 4);
  CHECK(cuda::common_alignment({at(0x1001)}, 256) == 1);
}

TEST_CASE("a plan is measured once and then found in the file", "[cuda]") {
  const TemporaryFolder folder;
  const fs::path path = folder.path / "cache" / "plans";
  int measured = 0;
  const auto choose = [&](const std::string& key, int choice) {
    return cuda::PlanFile(path).choose(key, [&] { return ++measured, choice; });
  };
  CHECK(choose("a 3x3", 7) == 7);
  CHECK(choose("a 3x3", 8) == 7);
  CHECK(choose("a 3x", 2) == 2);  // not the beginning of another key
  CHECK(choose("a 3x3 too", 3) == 3);
  CHECK(measured == 3);
  CHECK(choose("a 3x", 9) == 2);
}

TEST_CASE("a plan file that cannot be read is measured again, one that cannot be written is none", "[cuda]") {
  const TemporaryFolder folder;
  fs::create_directories(folder.path);
  std::ofstream(folder.path / "plans") << "a\t\nb\tx\nc\t5 \nf3\ng\t-1\nd\t4\n";
  const cuda::PlanFile file(folder.path / "plans");
  for (const char* key : {"a", "b", "c", "f", "g"}) {
    CAPTURE(key);
    CHECK(file.choose(key, [] { return 1; }) == 1);
  }
  CHECK(file.choose("d", [] { return 1; }) == 4);
  CHECK_FALSE(cuda::PlanFile({}).choose("a", [] { return 1; }).has_value());
  CHECK_FALSE(
      cuda::PlanFile(folder.path / "plans" / "below a file").choose("a", [] { return 1; }).has_value());
  const auto failing = []() -> int { throw std::runtime_error("no GPU"); };
  CHECK_THROWS_AS(file.choose("new", failing), std::runtime_error);
  CHECK(file.choose("new", [] { return 2; }) == 2);
}

TEST_CASE("a plan file that another program holds is waited for, but not for ever", "[cuda]") {
  const TemporaryFolder folder;
  const fs::path path = folder.path / "plans";
  std::optional<int> meanwhile = 0;
  const auto measure = [&] {
    meanwhile = cuda::PlanFile(path, std::chrono::milliseconds(0)).choose("b", [] { return 1; });
    return 2;
  };
  CHECK(cuda::PlanFile(path).choose("a", measure) == 2);
  CHECK_FALSE(meanwhile.has_value());
  CHECK(cuda::PlanFile(path, std::chrono::milliseconds(0)).choose("b", [] { return 3; }) == 3);
}

TEST_CASE("of several engines the fastest that is admitted is taken", "[cuda]") {
  std::vector<std::size_t> tried;
  const auto find = [&](const std::vector<double>& times, int most, std::size_t forgone = 99) {
    tried.clear();
    return cuda::find_fastest(
        cuda::Ways{.count = times.size(), .most = most}, [&](std::size_t i) { return i != forgone; },
        [&](std::size_t i, double shortest) -> std::optional<double> {
          CHECK(shortest >= 1);
          tried.push_back(i);
          if (times[i] == 0) return std::nullopt;  // out of the question
          if (times[i] < 0) fail("engine {} has failed", i);
          return times[i];
        });
  };
  const cuda::Fastest all = find({3, 2, 4, 1}, 16);
  CHECK(all.way == 3u);
  CHECK(all.milliseconds == 1);
  CHECK(all.tried == 4);
  CHECK(all.forgone_milliseconds == cuda::Fastest::never);
  CHECK(find({3, 2, 4, 1}, 3).way == 1u);  // proposed later than those that are tried
  CHECK(find({2, 2}, 16).way == 0u);

  const cuda::Fastest admitted = find({3, 2, 4, 1}, 16, 3);
  CHECK(admitted.way == 1u);
  CHECK(admitted.forgone_milliseconds == 1);
  CHECK(find({3, 2}, 1, 0).way == 1u);
  CHECK(tried == std::vector<std::size_t>{1});  // no time for what may not be chosen

  const cuda::Fastest working = find({-1, 0, 5, 4, 3}, 2);
  CHECK(working.way == 3u);  // neither what failed nor what is out of the question counts as tried
  CHECK(working.error == "engine 0 has failed");
  CHECK(find({0, -1, -1}, 2).way == std::nullopt);
  CHECK(find({}, 16).way == std::nullopt);
}

TEST_CASE("engines that are compiled at run time are tried last, while there is time", "[cuda]") {
  std::vector<std::size_t> tried;
  const auto find = [&](const std::vector<double>& times, int most, double seconds) {
    tried.clear();
    return cuda::find_fastest(
        cuda::Ways{.count = times.size(), .most = most, .first_slow = 3, .slow_seconds = seconds},
        [](std::size_t) { return true; },
        [&](std::size_t i, double) -> std::optional<double> {
          tried.push_back(i);
          if (i >= 3) std::this_thread::sleep_for(std::chrono::milliseconds(2));
          if (times[i] < 0) fail("engine {} has failed", i);
          return times[i];
        });
  };
  using Tried = std::vector<std::size_t>;
  CHECK(find({5, 6, 7, 4, 3}, 2, 1e9).way == 4u);
  CHECK(tried == Tried{0, 1, 3, 4});
  const cuda::Fastest one = find({5, 6, 7, 4, 3}, 2, 1e-3);
  CHECK(one.way == 3u);
  CHECK(tried == Tried{0, 1, 3});  // it took longer than there was
  CHECK(one.slow_seconds >= 2e-3);
  CHECK(find({5, 6, 7, 4, 3}, 2, 0).way == 0u);
  CHECK(tried == Tried{0, 1});
  CHECK(find({-1, -1, -1, -1, 3}, 2, 0).way == 4u);  // nothing else works
  CHECK(find({5, 6, 7, 4, 3}, 1, 0).way == 0u);
  CHECK(tried == Tried{0});
}

}  // namespace lamina::tests
