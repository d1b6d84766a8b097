// Batch normalisation as one kernel whose blocks wait for one another, on machines that have such kernels or
// not, that hold fewer blocks than there is work for, or none.
#include "batch_norm_results.h"
#include "catch.h"
#include "emulated_cuda/machine.h"

namespace lamina::tests {
namespace {

struct Seen {
  std::vector<std::vector<std::byte>> results;
  std::size_t launches;
};

Seen batch_norm_on(const EmulatedMachine& machine, const BatchNormCase& row) {
  const Pretence pretence(machine);
  const std::size_t before = emulated_launches();
  auto results = batch_norm_results(row);
  return {std::move(results), emulated_launches() - before};
}

}  // namespace

TEST_CASE("batch norm has the same bits on any GPU, in as few launches as it has", "[cuda][bf16]") {
  for (const DType dtype : {DType::f32, DType::bf16})
    for (const bool with_residual : {true, false}) {
      const BatchNormCase row{{3001, 32}, dtype, true, with_residual};
      INFO(name_of(dtype) << " residual=" << with_residual);
      const Seen one = batch_norm_on({}, row);
      const std::size_t directions = dtype == DType::f32 ? 3 : 2;
      const auto in_three = [&](const EmulatedMachine& machine) {
        const Seen seen = batch_norm_on(machine, row);
        CHECK(seen.results == one.results);
        CHECK(seen.launches == one.launches + 2 * directions);
      };
      in_three({.cooperative = false});
      in_three({.cache_bytes = 3001 * 32 * 2 - 1});
      in_three({.fitting_blocks = 1});  // a tool has taken registers
      in_three({.blocks_at_once = 0});
      for (const int blocks : {1, 3, 17}) {  // loops go round
        const Seen seen = batch_norm_on({.blocks_at_once = blocks, .fitting_blocks = blocks}, row);
        CHECK(seen.results == one.results);
        CHECK(seen.launches == one.launches);
      }
    }
}

}  // namespace lamina::tests
