// What an optimizer's rule, options and memory become when a step is taken. A rule of one's own becomes an
// optimizer by including this header and naming OptimizerOf<MyRule>.
#pragma once

#include "optim/engine/built_in_steps.h"
#include "optim/engine/cpu.h"
#include "optim/engine/cuda.h"
#include "optim/knobs.h"
#include "optim/optimizer.h"

namespace lamina {

template <template <typename> class Rule>
OptimizerOf<Rule>::OptimizerOf(const ParamList& params, const Options& options)
    : Optimizer(params, options.groups, {Rule<float>::slots.begin(), Rule<float>::slots.end()},
                checked(options).lr),
      options_(options) {
  settings_ = settings_for(segments(), options_.groups, options_.weight_decay, Rule<float>::layerwise);
}

template <template <typename> class Rule>
void OptimizerOf<Rule>::prepare(const Step& step, StepReport& report) {
  const Rule<float> rule(options_, step);
  if constexpr (requires { rule.phi; }) report.phi = rule.phi;
  if (arena_.device().type != DeviceType::cuda) return;
  if constexpr (engine::built_for_cuda<Rule<float>>) {
    check(arena_.dtype() == DType::f32, "{}: parameters on {} are {}; expected f32", name(),
          arena_.device().str(), name_of(arena_.dtype()));
    if (cuda_ == nullptr) cuda_ = std::make_shared<engine::CudaState>();
    engine::cuda_prepare(arena_, settings_, rule, step, request(), report, *cuda_);
  } else {
    fail(
        "{}: parameters are on {}, but this rule was not compiled for CUDA; see built_for_cuda in "
        "optim/engine/cuda.h, or use the CPU",
        name(), arena_.device().str());
  }
}

template <template <typename> class Rule>
void OptimizerOf<Rule>::apply(const Step& step, StepReport& report) {
  if constexpr (engine::built_for_cuda<Rule<float>>) {
    if (cuda_ != nullptr) return engine::cuda_apply(arena_, Rule<float>(options_, step), request(), *cuda_);
  }
  visit_floating(arena_.dtype(), name(), [&](auto zero) {
    using Real = decltype(zero);
    const Rule<Real> rule(options_, step);
    if constexpr (engine::built_in<Rule>)
      engine::built_in_step<Rule, Real>(arena_, settings_, rule, step, request(), report);
    else
      engine::CpuStep<Rule<Real>, Real>(arena_, settings_, rule, step).run(request(), report);
  });
}

template <template <typename> class Rule>
engine::Request OptimizerOf<Rule>::request() const {
  return {.trace = tracing_, .finite_check = finite_check_};
}

template <template <typename> class Rule>
std::vector<std::pair<std::string, std::string>> OptimizerOf<Rule>::knobs() const {
  return all_knobs(options_);
}

}  // namespace lamina
