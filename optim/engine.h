// What an optimizer's rule, options and memory become when a step is taken. A rule of one's own becomes an
// optimizer by including this header and naming OptimizerOf<MyRule>.
#pragma once

#include "optim/engine_cpu.h"
#include "optim/knobs.h"
#include "optim/optimizer.h"

namespace lamina {

template <template <typename> class Rule>
OptimizerOf<Rule>::OptimizerOf(const ParamList& params, const Options& options)
    : Optimizer(params, {Rule<float>::slots.begin(), Rule<float>::slots.end()}, checked(options).lr),
      options_(options) {
  settings_ = settings_for(segments(), options_.groups, options_.weight_decay, Rule<float>::layerwise);
}

template <template <typename> class Rule>
void OptimizerOf<Rule>::run(const Step& step, StepReport& report) {
  check(arena_.device().type == DeviceType::cpu,
        "{}: this optimizer engine runs on the CPU, parameters are on {}", name(), arena_.device().str());
  visit_floating(arena_.dtype(), name(), [&](auto zero) {
    using Real = decltype(zero);
    const Rule<Real> rule(options_, step);
    if constexpr (requires { rule.phi; }) report.phi = rule.phi;
    engine::CpuStep<Rule<Real>, Real>(arena_, settings_, rule, step)
        .run({.trace = tracing_, .finite_check = finite_check_}, report);
  });
}

template <template <typename> class Rule>
std::vector<std::pair<std::string, std::string>> OptimizerOf<Rule>::knobs() const {
  return knob_values(options_);
}

}  // namespace lamina
