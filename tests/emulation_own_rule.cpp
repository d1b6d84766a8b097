// A rule that a user adds takes the same steps on a GPU as on the CPU, and tells the same of them.
#include <algorithm>
#include <cmath>

#include "catch.h"
#include "message_of.h"
#include "optim/state.h"
#include "optim_common.h"
#include "own_rule.h"

template <>
inline constexpr bool lamina::engine::built_for_cuda<lamina::tests::SignLars<float>> =
    true;  // by own_rule.cu
template class lamina::OptimizerOf<lamina::tests::SignLars>;

namespace lamina::tests {

namespace {

using Mine = OptimizerOf<SignLars>;

ParamList copies_on_gpu(const ParamList& params) {
  ParamList copies;
  for (const auto& param : params)
    copies.push_back(
        std::make_shared<Param>(Param{param->name, param->kind, param->value.detach().to(Device::cuda())}));
  return copies;
}

}  // namespace

TEST_CASE("a rule of one's own runs on the GPU", "[engine]") {
  const ParamList params = testing::model<float>();
  const ParamList on_gpu = copies_on_gpu(params);
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

TEST_CASE("steps that a GPU did not take are not counted, after a resume too", "[engine]") {
  const ParamList params = copies_on_gpu(testing::model<float>());
  TensorFile file;
  {
    Mine before(copies_on_gpu(testing::model<float>()), {});
    for (int step = 0; step < 5; ++step) before.step();
    CHECK(before.take_reports().size() == 5);
    save_state(before, file);
  }
  Mine gpu(params, {});
  load_state(gpu, file);
  gpu.step();
  CHECK(gpu.report().step == 6);
  gpu.zero_grad();
  Tensor(params[0]->grad()).fill(std::nanf(""));
  gpu.step();
  gpu.step();
  CHECK(gpu.steps() == 8);                // handed over
  CHECK(gpu.take_reports().size() == 1);  // the failure comes with the next call
  CHECK(gpu.steps() == 6);
  CHECK(unexplained([&] { gpu.take_reports(); }, {"step 7", "conv1.weight", "not finite"}) == "nothing");
  CHECK(gpu.take_reports().empty());
  gpu.zero_grad();
  gpu.step();
  CHECK(gpu.report().step == 7);

  load_state(gpu, file);
  Tensor(params[0]->grad()).fill(std::nanf(""));
  gpu.step();  // fails at once: no report comes before
  CHECK(unexplained([&] { gpu.report(); }, {"step 6", "not finite"}) == "nothing");
  CHECK(gpu.steps() == 5);
}

}  // namespace lamina::tests
