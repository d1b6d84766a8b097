// A rule that a user adds takes the same steps on a GPU as on the CPU.
#include <algorithm>
#include <cmath>

#include "catch.h"
#include "optim/engine.h"
#include "optim_common.h"
#include "own_rule.h"

template class lamina::OptimizerOf<lamina::tests::SignLars>;

namespace lamina::tests {

TEST_CASE("a rule of one's own runs on the GPU", "[engine]") {
  using Mine = OptimizerOf<SignLars>;
  const ParamList params = testing::model<float>();
  ParamList on_gpu;
  for (const auto& param : params)
    on_gpu.push_back(
        std::make_shared<Param>(Param{param->name, param->kind, param->value.detach().to(Device::cuda())}));
  Mine cpu(params, {.lr = 0.1}), gpu(on_gpu, {.lr = 0.1});
  const std::vector<float> before = params[0]->value.to_vector<float>();
  for (std::uint32_t step = 1; step <= 3; ++step) {
    testing::set_grads<float>(params, step);
    for (std::size_t i = 0; i < params.size(); ++i) Tensor(on_gpu[i]->grad()).copy_from(params[i]->grad());
    cpu.step();
    gpu.step();
  }
  CHECK(params[0]->value.to_vector<float>() != before);
  CHECK(cpu.report().layers[0].trust < 1);  // a weight's, whose gradient is not much smaller than itself
  for (std::size_t i = 0; i < params.size(); ++i) {
    INFO(params[i]->name);
    const auto expected = params[i]->value.to_vector<float>(),
               seen = on_gpu[i]->value.detach().to(Device::cpu()).to_vector<float>();
    // Norms are summed in another order: a ratio may differ in the last bit of a float.
    for (std::size_t k = 0; k < seen.size(); ++k) REQUIRE(seen[k] == Approx(expected[k]).epsilon(1e-6));
    CHECK(gpu.report().layers[i].trust == Approx(cpu.report().layers[i].trust).epsilon(1e-6));
  }
}

}  // namespace lamina::tests
