// What must hold for every optimizer and preset.
#include <algorithm>
#include <cmath>

#include "catch.h"
#include "core/backend.h"
#include "optim/norms.h"
#include "optim/state.h"
#include "optim_common.h"

namespace lamina {
namespace {

using namespace testing;

// Parameters after `steps` steps of a preset; `touch` may change the gradients of a step.
template <typename Touch>
ParamList trained(const std::string& name, ParamList params, int steps, const Touch& touch) {
  const auto optimizer = make(name, params);
  for (int t = 0; t < steps; ++t) {
    set_grads<float>(params, static_cast<std::uint32_t>(t + 1));
    touch(params);
    optimizer->set_lr(0.05 * (t + 1));
    optimizer->step();
  }
  return params;
}

ParamList trained(const std::string& name, ParamList params, int steps = 4) {
  return trained(name, std::move(params), steps, [](const ParamList&) {});
}

template <typename Predicate>
bool all(const Tensor& tensor, const Predicate& predicate) {
  const std::vector<float> values = tensor.to_vector<float>();
  return std::all_of(values.begin(), values.end(), predicate);
}

TEST_CASE("scaling one layer's gradient leaves every other layer's bits alone") {
  for (const std::string& name : all_presets()) {
    if (couples_layers(name)) continue;
    INFO(name);
    const ParamList plain = trained(name, model<float>());
    const ParamList scaled = trained(name, model<float>(), 4, [](const ParamList& params) {
      Tensor grad = params[3]->grad();
      std::vector<float> values = grad.to_vector<float>();
      for (float& value : values) value *= 3;
      grad.copy_from(Tensor::from(values, grad.shape()));
    });
    for (std::size_t i = 0; i < plain.size(); ++i) {
      INFO(plain[i]->name);
      if (i != 3) CHECK(same_bits(plain[i]->value, scaled[i]->value));
    }
  }
}

TEST_CASE("permuting the layers permutes the results") {
  for (const std::string& name : all_presets()) {
    if (couples_layers(name)) continue;  // the global norm adds the layers in their order
    INFO(name);
    ParamList params = model<float>();
    ParamList reversed = model<float>();
    std::reverse(reversed.begin(), reversed.end());
    params = trained(name, params);
    reversed = trained(name, reversed);
    for (std::size_t i = 0; i < params.size(); ++i)
      CHECK(same_bits(params[i]->value, reversed[params.size() - 1 - i]->value));
  }
}

TEST_CASE("the norm of g + b w keeps its digits where the two nearly cancel") {
  const double decay = 0.25;  // exact, so that b w is too
  for (const double apart : {1.0, 0.5, 1e-1, 1e-3, 1e-6}) {
    INFO("|g + b w| / |b w| about " << apart);
    const Tensor weight = numbers<double>({3000}, 1), noise = numbers<double>({3000}, 2);
    ParamList params;
    add_param(params, "fc.weight", weight.view({3, 1000}));
    Lars optimizer(params, {.weight_decay = decay, .form = {.denominator = Denominator::joint}});
    std::vector<double> w = weight.to_vector<double>(), g = noise.to_vector<double>();
    long double weights = 0, sums = 0;
    for (std::size_t i = 0; i < w.size(); ++i) {
      g[i] = -decay * w[i] + apart * decay * g[i];
      const long double sum = static_cast<long double>(g[i]) + decay * static_cast<long double>(w[i]);
      weights += static_cast<long double>(w[i]) * w[i], sums += sum * sum;
    }
    Tensor(params[0]->grad()).copy_from(Tensor::from(g, {3, 1000}));
    optimizer.step();
    const auto expected =
        static_cast<double>(std::sqrt(weights / sums)) * optimizer.options().trust_coefficient;
    // Roundings of 3,000 terms in double; where a tenth is left of the sum, one digit more.
    CHECK(std::abs(optimizer.report().layers[0].trust / expected - 1) < 1e-12);
  }
}

TEST_CASE("any number of threads gives the same bits") {
  const int before = threads();
  for (const std::string& name : all_presets()) {
    INFO(name);
    set_threads(1);
    const ParamList one = trained(name, model<float>());
    for (const int count : {2, 4}) {
      set_threads(count);
      const ParamList more = trained(name, model<float>());
      for (std::size_t i = 0; i < one.size(); ++i) CHECK(same_bits(one[i]->value, more[i]->value));
    }
  }
  set_threads(before);
}

TEST_CASE("a step leaves the gradients as they are") {
  for (const std::string& name : all_presets()) {
    INFO(name);
    const ParamList params = model<float>();
    const auto optimizer = make(name, params);
    set_grads<float>(params, 9);
    const Tensor before = optimizer->arena().grads().clone();
    optimizer->step();
    CHECK(same_bits(before, optimizer->arena().grads()));
    optimizer->zero_grad();
    CHECK(all(optimizer->arena().grads(), [](float value) { return value == 0; }));
  }
}

TEST_CASE("zero weights and zero gradients stay finite, and zero-initialised tensors move") {
  for (const std::string& name : all_presets()) {
    if (freezes_zeros(name)) continue;
    INFO(name);
    ParamList params = model<float>();
    add_param(params, "zero.weight", Tensor::zeros({3, 5}));
    add_param(params, "dead.weight", numbers<float>({3, 5}, 8));
    add_param(params, "zero.and.dead.weight", Tensor::zeros({2, 2}));
    params = trained(name, params, 4, [](const ParamList& list) {
      Tensor(list[7]->grad()).fill(0);
      Tensor(list[8]->grad()).fill(0);
    });
    for (const auto& param : params)
      CHECK(all(param->value, [](float value) { return std::isfinite(value); }));
    for (const std::size_t zero_initialised : {2u, 6u})
      CHECK(all(params[zero_initialised]->value, [](float value) { return value != 0; }));
    CHECK(all(params[8]->value, [](float value) { return value == 0; }));
  }
}

TEST_CASE("the step counter advances once per step, not once per tensor") {
  // Two layers with the same numbers must take the same steps though one comes later.
  for (const std::string& name : all_presets()) {
    INFO(name);
    ParamList params;
    add_param(params, "a.weight", numbers<float>({4, 6}, 1));
    add_param(params, "b.weight", numbers<float>({4, 6}, 1));
    const auto optimizer = make(name, params);
    for (int t = 0; t < 3; ++t) {
      for (const auto& param : params) set_grad<float>(*param, static_cast<std::uint32_t>(t + 1));
      optimizer->step();
    }
    CHECK(optimizer->steps() == 3);
    CHECK(same_bits(params[0]->value, params[1]->value));
  }
}

TEST_CASE("saved state continues to the last bit") {
  for (const std::string& name : all_presets()) {
    INFO(name);
    const ParamList whole = trained(name, model<float>(), 6);

    ParamList params = trained(name, model<float>(), 0);
    auto optimizer = make(name, params);
    TensorFile file;
    for (int t = 0; t < 6; ++t) {
      if (t == 3) {
        save_state(*optimizer, file);
        ParamList copies;
        for (const auto& param : params) add_param(copies, param->name, param->value);
        params = copies;
        optimizer = make(name, params);
        load_state(*optimizer, file);
      }
      set_grads<float>(params, static_cast<std::uint32_t>(t + 1));
      optimizer->set_lr(0.05 * (t + 1));
      optimizer->step();
    }
    for (std::size_t i = 0; i < whole.size(); ++i) CHECK(same_bits(whole[i]->value, params[i]->value));
  }
}

TEST_CASE("the states of two optimizers lie in one file under prefixes") {
  const ParamList ones = model<float>(), others = model<float>();
  const auto one = make("lars", ones), other = make("lars", others);
  set_grads<float>(ones, 1);
  one->step();
  TensorFile file;
  save_state(*one, file);
  CHECK_THROWS_WITH(save_state(*other, file), Catch::Matchers::Contains("state.step of another optimizer"));
  save_state(*other, file, "other.");
  CHECK(file.contains("other.state.momentum.fc.weight"));
  const auto again = make("lars", model<float>()), fresh = make("lars", model<float>());
  load_state(*again, file);
  load_state(*fresh, file, "other.");
  CHECK(same_bits(again->arena().slot(0), one->arena().slot(0)));
  CHECK(again->steps() == 1);
  CHECK(fresh->steps() == 0);
  CHECK_THROWS_WITH(load_state(*fresh, file, "third."),
                    Catch::Matchers::Contains("third.state.step is missing"));
}

TEST_CASE("state of another optimizer is refused and changes nothing") {
  const ParamList params = model<float>();
  Lamb lamb(params, {});
  TensorFile file;
  save_state(lamb, file);
  const ParamList others = model<float>();
  Lars lars(others, {});
  set_grads<float>(others, 1);
  lars.step();
  const Tensor before = lars.arena().slot(0).clone();
  CHECK_THROWS_WITH(load_state(lars, file),
                    Catch::Matchers::Contains("state.momentum.conv1.weight is missing"));
  CHECK(same_bits(before, lars.arena().slot(0)));
  CHECK(lars.steps() == 1);
}

TEST_CASE("a gradient that is not finite stops the step, named, before anything changes") {
  for (const std::string& name : all_presets())
    for (const std::size_t bad : {0u, 1u, 5u}) {
      const ParamList params = model<float>();
      INFO(name << " " << params[bad]->name);
      const auto optimizer = make(name, params);
      set_grads<float>(params, 1);
      optimizer->step();
      const Tensor values = optimizer->arena().values().clone();
      std::vector<Tensor> state;
      for (std::size_t k = 0; k < optimizer->arena().slot_names().size(); ++k)
        state.push_back(optimizer->arena().slot(k).clone());
      params[bad]->grad().data<float>()[3] = bad == 0 ? std::nanf("") : INFINITY;
      CHECK_THROWS_WITH(optimizer->step(),
                        Catch::Matchers::Contains("optimizer step 2: the gradient of " + params[bad]->name));
      CHECK(same_bits(values, optimizer->arena().values()));
      for (std::size_t k = 0; k < state.size(); ++k) CHECK(same_bits(state[k], optimizer->arena().slot(k)));
      CHECK(optimizer->steps() == 1);
    }
}

TEST_CASE("reports of the newest 64 steps wait to be taken, each once") {
  const ParamList params = model<float>();
  Sgd optimizer(params, {});
  CHECK(optimizer.report().step == 0);
  CHECK(optimizer.take_reports().empty());
  for (int t = 0; t < 3; ++t) optimizer.step();
  const std::vector<StepReport> few = optimizer.take_reports();
  REQUIRE(few.size() == 3);
  CHECK((few.front().step == 1 && few.back().step == 3));
  CHECK(optimizer.take_reports().empty());
  CHECK(optimizer.report().step == 3);  // taken or not
  for (int t = 0; t < 70; ++t) optimizer.step();
  const std::vector<StepReport> many = optimizer.take_reports();
  REQUIRE(std::ssize(many) == Optimizer::reports_kept);
  CHECK((many.front().step == 10 && many.back().step == 73));
}

TEST_CASE("squared norms and distances of tensors") {
  const Tensor x = Tensor::from(std::vector<float>{3, -4, 0}, {3}), y = Tensor::full({3}, 1.0);
  CHECK(squared_norm(x) == 25);
  CHECK(squared_distance(x, y) == 30);
  CHECK(squared_norm(Tensor::full({1000}, 1e200, {DType::f64, {}})) == INFINITY);
  CHECK(squared_norm(Tensor::full({100}, 1e20)) == Approx(1e42));  // more than a float holds
  CHECK_THROWS_WITH(squared_distance(x, Tensor::zeros({4})),
                    Catch::Matchers::Contains("one shape and dtype"));
  CHECK_THROWS_WITH(squared_norm(Tensor::zeros({2}, {DType::i32, {}})), Catch::Matchers::Contains("i32"));
}

TEST_CASE("tracing changes no bit and measures norms as they are") {
  for (const std::string& name : all_presets()) {
    INFO(name);
    const ParamList plain = trained(name, model<float>(), 2);
    const ParamList params = model<float>();
    const auto optimizer = make(name, params);
    optimizer->set_tracing(true);
    Tensor before, grads;
    for (int t = 0; t < 2; ++t) {
      set_grads<float>(params, static_cast<std::uint32_t>(t + 1));
      before = params[0]->value.clone();
      grads = params[0]->grad().clone();
      optimizer->set_lr(0.05 * (t + 1));
      optimizer->step();
    }
    for (std::size_t i = 0; i < plain.size(); ++i) CHECK(same_bits(plain[i]->value, params[i]->value));

    double w = 0, g = 0, u = 0;
    for (std::int64_t i = 0; i < before.elements(); ++i) {
      const double old = before.data<float>()[i], grad = grads.data<float>()[i];
      const double change = static_cast<double>(params[0]->value.data<float>()[i]) - old;
      w += old * old, g += grad * grad, u += change * change;
    }
    const LayerReport& layer = optimizer->report().layers[0];
    // Sums of squares in double in another order; the change is rounded to f32 once per element.
    CHECK(std::abs(layer.weight_norm / std::sqrt(w) - 1) < 1e-12);
    CHECK(std::abs(layer.grad_norm / std::sqrt(g) - 1) < 1e-12);
    CHECK(std::abs(layer.update_norm / std::sqrt(u) - 1) < 1e-6);
    CHECK(optimizer->report().step == 2);
    CHECK(optimizer->report().lr == 0.1);
    CHECK(std::isfinite(optimizer->report().grad_norm));
  }
}

}  // namespace
}  // namespace lamina
