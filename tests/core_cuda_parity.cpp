// The CPU and CUDA agree. Compiled twice: with the library's CUDA, whose cases are skipped without a GPU, and
// with its kernels as loops on the host (tests/emulated_cuda).
#include "catch.h"
#include "core/backend.h"
#include "op_inputs.h"

namespace lamina::tests {

TEST_CASE("the CPU and CUDA agree on every op", "[ops][cuda]") {
  const Rows rows = op_cases();
  if (cuda_device_count() == 0) {
    WARN("CUDA parity: " << rows.size() << " cases skipped: no device");
    return;
  }
  for (const OpCase& row : rows) {
    if (row.op == "cast") continue;  // to f64, which is the CPU's alone
    INFO(row.name());
    const Arrays arrays = draw_inputs(row, row.large ? 0 : 0.01);
    const Tensors cpu = all_results(row, arrays, DType::f32);
    const Tensors cuda = all_results(row, arrays, DType::f32, Device::cuda());
    REQUIRE(cpu.size() == cuda.size());
    // Both round in f32, in different orders: see the bound against f64 in core_ops.cpp.
    for (std::size_t i = 0; i < cpu.size(); ++i) CHECK(relative_error(cuda[i], cpu[i]) <= 1e-4);
  }
}

}  // namespace lamina::tests
