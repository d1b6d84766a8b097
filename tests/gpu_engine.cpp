// The GPU's traversal (optim/engine/cuda_step.h) against the CPU's, for every preset.
#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "catch.h"
#include "core/captured.h"
#include "message_of.h"
#include "optim/engine/cuda.h"
#include "optim_common.h"

namespace lamina {
namespace {

using namespace testing;

ParamList on_gpu(const ParamList& params) {
  ParamList copies;
  for (const auto& param : params)
    copies.push_back(
        std::make_shared<Param>(Param{param->name, param->kind, param->value.detach().to(Device::cuda())}));
  return copies;
}

// A twin of an optimizer on the CPU: its parameters and state on a GPU.
struct Twin {
  ParamList params;
  Arena arena;
  engine::CudaState state;
  StepReport report;
  bool captures;
  std::optional<Captured> captured;

  Twin(const ParamList& host, const std::vector<std::string>& slots, bool capture = false)
      : params(on_gpu(host)), arena(params, slots), captures(capture) {}

  void copy_grads(const ParamList& host) {
    for (std::size_t i = 0; i < params.size(); ++i) Tensor(params[i]->grad()).copy_from(host[i]->grad());
  }

  // Takes the same step as `optimizer`, whatever its rule.
  void step(const Optimizer& optimizer, const Step& step, const engine::Request& request) {
    const bool found = step_as<Sgd>(optimizer, step, request) || step_as<AdamW>(optimizer, step, request) ||
                       step_as<Lars>(optimizer, step, request) || step_as<Lamb>(optimizer, step, request) ||
                       step_as<TvLars>(optimizer, step, request);
    REQUIRE(found);
  }
  void read(const Optimizer& optimizer) {
    std::vector<StepReport> reports;
    engine::read_reports(arena, optimizer.settings(), state, reports);
    report = reports.back();
  }

 private:
  template <typename Kind>
  bool step_as(const Optimizer& optimizer, const Step& step, const engine::Request& request) {
    const auto* of_kind = dynamic_cast<const Kind*>(&optimizer);
    if (of_kind != nullptr) run(*of_kind, step, request);
    return of_kind != nullptr;
  }
  template <template <typename> class Rule>
  void run(const OptimizerOf<Rule>& optimizer, const Step& step, const engine::Request& request) {
    const Rule<float> rule(optimizer.options(), step);
    engine::cuda_prepare(arena, optimizer.settings(), rule, step, request,
                         {.step = step.number, .lr = step.lr, .layers = {}}, state);
    const auto apply = [this, rule, request] { engine::cuda_apply(arena, rule, request, state); };
    if (!captured) captured.emplace(Device::cuda(), apply, CapturedOptions{.capture = captures});
    captured->run();
  }
};

std::vector<float> values(const Tensor& tensor) {
  return tensor.detach().to(Device::cpu()).to_vector<float>();
}

double distance(const Tensor& a, const Tensor& b) {  // relative to the largest element
  const std::vector<float> x = values(a), y = values(b);
  double error = 0, largest = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    error = std::max(error, std::abs(static_cast<double>(x[i]) - static_cast<double>(y[i])));
    largest = std::max(largest, std::abs(static_cast<double>(y[i])));
  }
  return error == 0 ? 0 : error / largest;
}

bool close(double a, double b) {  // both not measured, or equal but for the roundings of f32
  return (std::isnan(a) && std::isnan(b)) || std::abs(a - b) <= 1e-6 * std::abs(b);
}

// Whether what lies between the tensors of an arena is 0.
bool padding_is_zero(const Arena& arena, const Tensor& flat) {
  std::vector<float> rest = values(flat);
  for (const Segment& segment : arena.segments())
    std::fill_n(rest.begin() + segment.offset, segment.elements, 0.0f);
  return std::all_of(rest.begin(), rest.end(), [](float x) { return x == 0; });
}

// Squares are summed in another order, so that a ratio may differ in the last bit of a float; five steps
// multiply that a little.
constexpr double tolerance = 2e-6;

}  // namespace

TEST_CASE("on the GPU every preset takes the CPU's steps", "[engine]") {
  for (const std::string& name : all_presets())
    for (const auto& [trace, capture] :
         {std::pair(false, false), {false, true}, {true, false}, {true, true}}) {
      INFO(name << (trace ? ", traced" : "") << (capture ? ", captured" : ""));
      const ParamList params = model<float>();
      const auto optimizer = make(name, params);
      optimizer->set_tracing(trace);
      Twin twin(params, optimizer->arena().slot_names(), capture);
      for (int t = 1; t <= 5; ++t) {
        set_grads<float>(params, static_cast<std::uint32_t>(t));
        if (t == 3 && !freezes_zeros(name)) Tensor(params[3]->grad()).fill(0);
        twin.copy_grads(params);
        const double lr = 0.05 * t;
        optimizer->set_lr(lr);
        optimizer->step();
        const double peak = make(name, model<float>())->lr();
        twin.step(*optimizer, {.number = t, .lr = lr, .schedule = lr / peak}, {.trace = trace});
        twin.read(*optimizer);
        for (std::size_t i = 0; i < params.size(); ++i) {
          INFO("step " << t << ", " << params[i]->name);
          CHECK(distance(twin.params[i]->value, params[i]->value) <= tolerance);
          const LayerReport &gpu = twin.report.layers[i], &cpu = optimizer->report().layers[i];
          CHECK(close(gpu.weight_norm, cpu.weight_norm));
          CHECK((close(gpu.grad_norm, cpu.grad_norm) || std::isnan(cpu.grad_norm)));
          CHECK(close(gpu.trust, cpu.trust));
          if (trace) CHECK(close(gpu.update_norm, cpu.update_norm));
        }
      }
      for (std::size_t slot = 0; slot < optimizer->arena().slot_names().size(); ++slot)
        CHECK(distance(twin.arena.slot(slot), optimizer->arena().slot(slot)) <= tolerance);
    }
}

TEST_CASE("on the GPU what lies between the tensors stays 0, though a rule makes 0 / 0 of it", "[engine]") {
  const ParamList params = model<float>();
  const AdamW optimizer(params, {.eps = 0});
  Twin twin(params, optimizer.arena().slot_names());
  set_grads<float>(params, 1);
  twin.copy_grads(params);
  twin.step(optimizer, {.number = 1, .lr = 0.1}, {});
  twin.read(optimizer);
  CHECK(padding_is_zero(twin.arena, twin.arena.values()));
  for (std::size_t slot = 0; slot < optimizer.arena().slot_names().size(); ++slot)
    CHECK(padding_is_zero(twin.arena, twin.arena.slot(slot)));
}

TEST_CASE("on the GPU nothing changes after a gradient that is not finite, until it was told", "[engine]") {
  const ParamList params = model<float>();
  Lamb optimizer(params, {});
  Twin twin(params, optimizer.arena().slot_names());
  const auto bytes = [&] { return values(twin.arena.values()); };
  const auto steps = [&](std::int64_t number) {
    twin.copy_grads(params);
    twin.step(optimizer, {.number = number, .lr = 0.1}, {});
  };
  set_grads<float>(params, 1);
  steps(1);
  twin.read(optimizer);
  const std::vector<float> before = bytes();
  params[3]->grad().data<float>()[7] = std::nanf("");
  steps(2);
  set_grads<float>(params, 3);
  steps(3);  // handed over before anyone has looked
  CHECK(bytes() == before);
  CHECK(tests::unexplained([&] { twin.read(optimizer); },
                           {"step 2", params[3]->name.c_str(), "not finite"}) == "nothing");
  CHECK(bytes() == before);
  steps(4);
  twin.read(optimizer);
  CHECK(bytes() != before);
}

TEST_CASE("on the GPU every rule clips the gradient as on the CPU", "[engine]") {
  for (const std::string& name : all_presets()) {
    INFO(name);
    const ParamList params = model<float>();
    const auto optimizer = make(name, params, {{"max_grad_norm", "0.25"}, {"lr", "0.05"}});
    Twin twin(params, optimizer->arena().slot_names());
    for (int t = 1; t <= 3; ++t) {
      set_grads<float>(params, static_cast<std::uint32_t>(t));
      twin.copy_grads(params);
      optimizer->step();
      twin.step(*optimizer, {.number = t, .lr = 0.05}, {});
      twin.read(*optimizer);
      CHECK(close(twin.report.grad_norm, optimizer->report().grad_norm));
      CHECK(twin.report.grad_norm > 0.25);
      for (std::size_t i = 0; i < params.size(); ++i) {
        INFO("step " << t << ", " << params[i]->name);
        CHECK(distance(twin.params[i]->value, params[i]->value) <= tolerance);
      }
    }
  }
}

TEST_CASE("on the GPU weights that are not finite stop the step", "[engine]") {
  const ParamList params = model<float>();
  const Sgd optimizer(params, {});
  Twin twin(params, optimizer.arena().slot_names());
  set_grads<float>(params, 1);
  twin.copy_grads(params);
  twin.params[3]->value.fill(std::nan(""));
  const std::vector<float> before = values(twin.params[0]->value);
  twin.step(optimizer, {.number = 1, .lr = 0.1}, {});
  CHECK(tests::unexplained([&] { twin.read(optimizer); },
                           {"step 1", "the weights of", params[3]->name.c_str()}) == "nothing");
  CHECK(values(twin.params[0]->value) == before);
}

}  // namespace lamina
