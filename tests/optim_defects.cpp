// Defects that public LARS and LAMB code has or had, each with a test that it is not here. docs/optimizers.md
// says where they were seen.
#include <algorithm>
#include <cmath>

#include "catch.h"
#include "optim_common.h"

namespace lamina {
namespace {

using namespace testing;
using Catch::Matchers::Contains;

bool layerwise(const std::string& preset) { return !knob(preset, "adapt").empty(); }

double norm(const Tensor& tensor) {
  double sum = 0;
  for (const double x : tensor.to_vector<double>()) sum += x * x;
  return std::sqrt(sum);
}

// A ratio of ||w|| >= 0 instead of ||w|| > 0, or none of the two, multiplies the step of a tensor of zeros by
// 0 for ever.
TEST_CASE("a bias that starts at zero is not frozen") {
  for (const std::string& name : all_presets()) {
    INFO(name);
    ParamList params;
    add_param(params, "fc.bias", Tensor::zeros({5}, {DType::f64, {}}));
    add_param(params, "fc.weight", Tensor::zeros({5, 3}, {DType::f64, {}}));
    const auto optimizer = make(name, params);
    set_grads<double>(params, 1);
    optimizer->step();
    for (std::size_t i = 0; i < params.size(); ++i) {
      const bool frozen = freezes_zeros(name) && optimizer->settings()[i].adapts;
      for (const double w : params[i]->value.to_vector<double>()) CHECK((w == 0) == frozen);
    }
  }
}

// Exclusion by "weight decay is 0" takes the ratio away from every layer when nothing decays.
TEST_CASE("a weight decay of zero does not silently lose the trust ratio") {
  for (const std::string& name : all_presets()) {
    if (!layerwise(name) || knob(name, "use_trust_ratio") == "false") continue;
    INFO(name);
    const ParamList params = model<float>();
    if (knob(name, "adapt") == "decayed") {
      CHECK_THROWS_WITH(make_optimizer(name, params, {{"weight_decay", "0"}}, {.steps_per_epoch = 4}),
                        Contains("no layer with a trust ratio") && Contains("adapt=weights"));
      continue;
    }
    const auto optimizer = make(name, params, {{"weight_decay", "0"}});
    set_grads<float>(params, 1);
    optimizer->step();
    const std::vector<LayerReport>& layers = optimizer->report().layers;
    CHECK(layers[0].trust != 1);
    CHECK(layers[3].trust != 1);
    CHECK(layers[3].trust != layers[0].trust);
  }
}

// A counter advanced by every tensor makes bias correction and phi depend on how many there are; layers
// concatenated into one tensor share one ratio. Either way a layer would move differently on its own.
TEST_CASE("a layer takes the same steps alone as among others") {
  for (const std::string& name : all_presets()) {
    if (couples_layers(name)) continue;
    const auto steps = [&](const ParamList& params) {
      const auto optimizer = make(name, params);
      for (std::uint32_t t = 1; t <= 3; ++t) {
        set_grads<float>(params, t);
        optimizer->step();
      }
      CHECK(optimizer->steps() == 3);
    };
    const ParamList together = model<float>();
    steps(together);
    for (std::size_t i = 0; i < together.size(); ++i) {
      INFO(name << " " << together[i]->name);
      const ParamList alone{model<float>()[i]};
      steps(alone);
      CHECK(same_bits(alone[0]->value, together[i]->value));
    }
  }
}

TEST_CASE("every layer has the ratio of its own norms") {
  const ParamList params = model<double>();
  Lars optimizer(params, {.weight_decay = 0.01, .trust_coefficient = 0.5});
  set_grads<double>(params, 1);
  std::vector<double> expected;
  for (const auto& param : params) {
    const double w = norm(param->value);
    expected.push_back(0.5 * w / (norm(param->grad()) + 0.01 * w));
  }
  optimizer.step();
  for (const std::size_t i : {0u, 3u, 4u})  // sums of squares in another order
    CHECK(std::abs(optimizer.report().layers[i].trust / expected[i] - 1) < 1e-13);
}

// A layer without a gradient has no ratio. Some implementations let it decay at the full learning rate, some
// not at all, and with the joint norm the ratio is eta / b.
TEST_CASE("a layer whose gradient is zero decays as its implementation says") {
  const double lr = 0.5, decay = 0.01;
  const auto shrunk_to = [&](const std::string& name) {
    ParamList params;
    add_param(params, "dead.weight", numbers<double>({3, 5}, 8));
    const double before = norm(params[0]->value);
    const auto optimizer = make(name, params);
    optimizer->set_lr(lr);
    Tensor(params[0]->grad()).fill(0);
    optimizer->step();
    return norm(params[0]->value) / before;
  };
  const auto shrinks_to = [&](const std::string& name, double expected) {
    INFO(name);
    CHECK(std::abs(shrunk_to(name) - expected) < 1e-15);  // one rounding of the norm
  };
  for (const char* name : {"lars:apex-larc", "lars:apex-larc-unclipped", "lars:lightly", "lars:solo-learn"})
    shrinks_to(name, 1);
  for (const char* name : {"lars:paper", "lars:timm", "lars:mlperf", "lars:mxnet"})
    shrinks_to(name, 1 - lr * decay);
  for (const char* name : {"lars:barlowtwins", "lars:simclr", "lars:optax"}) shrinks_to(name, 1 - lr * 1e-3);
}

// Alone among the presets, `cybertronai` has the defect of its original: nothing else may freeze a tensor.
TEST_CASE("only the preset of an unguarded package has the raw quotient") {
  for (const std::string& name : all_presets()) {
    INFO(name);
    CHECK(freezes_zeros(name) == (name == "lamb:cybertronai"));
  }
}

// With the raw quotient, zero weights whose update is zero as well have the ratio 0 / 0.
TEST_CASE("a ratio that is not finite stops the step, named, before anything changes") {
  ParamList params;
  add_param(params, "fc.weight", Tensor::zeros({5, 3}, {DType::f64, {}}));
  add_param(params, "conv.weight", Tensor::full({4, 2}, 0.5, {DType::f64, {}}));
  const auto optimizer = make("lamb:cybertronai", params, {{"zero_norm", "raw"}});
  for (const auto& param : params) {
    Tensor grad = param->grad();
    grad.copy_from(Tensor::zeros(grad.shape(), {DType::f64, {}}));
  }
  CHECK_THROWS_WITH(optimizer->step(), Contains("step 1") && Contains("fc.weight") && Contains("zero_norm"));
  for (const double w : params[0]->value.to_vector<double>()) CHECK(w == 0);
  for (const double w : params[1]->value.to_vector<double>()) CHECK(w == 0.5);
}

// SGD and AdamW use no norm of the weights; they would turn one NaN into a NaN for ever.
TEST_CASE("weights that are not finite stop the step, named, before anything changes") {
  for (const std::string& name : all_presets()) {
    for (const char* clip : {"0", "1"}) {
      INFO(name << " " << clip);
      const ParamList params = model<float>();
      const auto optimizer = make(name, params, {{"max_grad_norm", clip}});
      set_grads<float>(params, 1);
      params[3]->value.data<float>()[5] = std::nanf("");
      const Tensor others = params[0]->value.clone();
      CHECK_THROWS_WITH(optimizer->step(), Contains("step 1: the weights of conv2.weight"));
      CHECK(same_bits(others, params[0]->value));
      CHECK(optimizer->steps() == 0);
    }
  }
}

}  // namespace
}  // namespace lamina
