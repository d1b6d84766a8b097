// What nvcc makes of the kernels, read from the libraries that the build wrote: nobody runs them here, but a
// spill, a loop whose loads wait for one another, or registers that leave a multiprocessor half empty show.
#include <cstdint>
#include <string>
#include <vector>

#include <fmt/core.h>

#include "catch.h"
#include "machine_code.h"

namespace lamina::tests {
namespace {

constexpr unsigned capability = 90;  // what the figures below are for

std::vector<KernelCode> all_kernels() {
  std::vector<KernelCode> kernels = kernels_in(LAMINA_CORE_LIBRARY, capability);
  const std::vector<KernelCode> of_optimizers = kernels_in(LAMINA_OPTIM_LIBRARY, capability);
  kernels.insert(kernels.end(), of_optimizers.begin(), of_optimizers.end());
  if (kernels.empty()) WARN("CUDA code: not looked at, none for compute capability 9.0 is in the libraries");
  return kernels;
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != text.npos; }

std::string without_namespaces(std::string name) {
  for (const std::string part : {"(anonymous namespace)::", "lamina::", "cuda::", "batch_norm::"})
    for (std::size_t at = name.find(part); at != name.npos; at = name.find(part)) name.erase(at, part.size());
  return name;
}

// The loop, and the function that its body stands in.
struct Expected {
  const char *loop, *function;
  std::uint32_t registers;  // at most
  int wide_loads;           // of 16 bytes, before the first store; at least
  int all_wide_loads = 0;   // at least
};

// Of a thread of 256: 64 registers let four blocks onto a multiprocessor, 80 three, 128 two.
const std::vector<Expected> expectations{
    {"for_each", "map_kernel<8, math::Add, Bf16>", 64, 8},
    {"for_each", "map_kernel<4, math::Add, float>", 64, 8},
    {"for_each", "map_kernel<8, Same, float, Bf16>", 64, 8},
    {"for_each", "add_many", 64, 4},
    {"for_each", "round_many", 64, 4},
    {"for_each", "scatter_kernel<Bf16, 8>", 64, 3},
    {"for_each_column", "Normalise<false, true, Bf16, 8>", 64, 12},
    {"for_each_column", "Normalise<true, true, Bf16, 8>", 80, 12},
    {"for_each_column", "Normalise<false, true, float, 4>", 64, 8},
    {"for_each_column", "GradX<Bf16, 8, (Mask)0>", 80, 14},
    {"for_each_column", "GradX<Bf16, 8, (Mask)2>", 80, 16},
    {"sum_parts", "Deviations<Bf16, 8>", 128, 6},
    {"sum_parts", "GradientTerms<false, Bf16, 8, (Mask)2>", 128, 14},
    {"sum_parts", "GradientTerms<true, Bf16, 8, (Mask)1>", 128, 14},
    {"cooperate", "Normalise<false, true, Bf16, 8>", 128, 6, 20},
    {"cooperate", "Normalise<true, true, Bf16, 8>", 128, 6, 24},
    {"cooperate", "GradientTerms<false, Bf16, 8, (Mask)2>", 128, 14, 34},
    {"cooperate", "GradientTerms<true, Bf16, 8, (Mask)1>", 128, 14, 35},
    {"cooperate", "SecondTerms<4, (Mask)2>", 128, 25, 37},
    {"for_each_row", "finish_parts<2, ", 64, 0},
    {"sum_parts", "CudaStep<rules::TvLars<float> >::apply()", 128, 12},
    {"sum_parts", "CudaStep<rules::TvLars<float> >::measure()", 128, 12},
    {"sum_parts", "CudaStep<rules::Lamb<float> >::apply()", 128, 16},
};

}  // namespace

TEST_CASE("no kernel has a stack or spills its registers", "[cuda]") {
  for (const KernelCode& kernel : all_kernels()) {
    // CUDA's own sine and cosine bring large angles down with an array.
    if (contains(kernel.name, "math::Sin") || contains(kernel.name, "math::Cos")) continue;
    INFO(kernel.name);
    CHECK(kernel.stack == 0);
    CHECK(kernel.spills == 0);
  }
}

// Of those in phases, three each: without the addition nobody waits, and without the other a multiprocessor
// may read what it has read before.
TEST_CASE("blocks wait for one another before each later phase, and nowhere else", "[cuda]") {
  int found = 0;
  for (const KernelCode& kernel : all_kernels()) {
    const bool in_phases = contains(kernel.name, "kernel::cooperate<");
    found += in_phases;
    INFO(kernel.name);
    CHECK(kernel.arrivals == (in_phases ? 2 : 0));
    CHECK(kernel.acquires == (in_phases ? 2 : 0));
  }
  CHECK((found > 0 || all_kernels().empty()));
}

TEST_CASE("the kernels of a training step load 16 bytes at a time, many at once", "[cuda]") {
  const std::vector<KernelCode> kernels = all_kernels();
  if (kernels.empty()) return;
  for (const Expected& expected : expectations) {
    int found = 0;
    for (const KernelCode& kernel : kernels) {
      const std::string name = without_namespaces(kernel.name);
      if (!contains(name, fmt::format("kernel::{}<", expected.loop)) || !contains(name, expected.function))
        continue;
      ++found;
      INFO(kernel.name);
      CHECK(kernel.registers <= expected.registers);
      CHECK(kernel.wide_loads_first >= expected.wide_loads);
      CHECK(kernel.wide_loads >= expected.all_wide_loads);
    }
    INFO(expected.loop << " … " << expected.function);
    CHECK(found > 0);
  }
}

}  // namespace lamina::tests
