// The steps of the library's own rules on the CPU, which are compiled for each of its instruction sets. A
// rule of one's own has the flags of the file that instantiates it.
#pragma once

#include <span>

#include "core/cpu_twins.h"
#include "optim/engine/common.h"
#include "optim/rules/adamw.h"
#include "optim/rules/lamb.h"
#include "optim/rules/lars.h"
#include "optim/rules/sgd.h"
#include "optim/rules/tvlars.h"
#include "optim/step_reports.h"

namespace lamina {

#define LAMINA_BUILT_IN_RULES(each) \
  each(rules::Sgd) each(rules::AdamW) each(rules::Lars) each(rules::Lamb) each(rules::TvLars)

namespace engine {

template <template <typename> class Rule>
inline constexpr bool built_in = false;
#define LAMINA_BUILT_IN(rule) \
  template <>                 \
  inline constexpr bool built_in<rule> = true;
LAMINA_BUILT_IN_RULES(LAMINA_BUILT_IN)
#undef LAMINA_BUILT_IN

// CpuStep::run() of a built-in rule for the instruction set in use.
template <template <typename> class Rule, typename Real>
void built_in_step(const Arena& arena, std::span<const LayerSettings> settings, const Rule<Real>& rule,
                   const Step& step, const Request& request, StepReport& report);

}  // namespace engine

#define LAMINA_DECLARE_STEP(set)                                                                          \
  namespace cpu::set {                                                                                    \
  template <template <typename> class Rule, typename Real>                                                \
  void built_in_step(const Arena& arena, std::span<const LayerSettings> settings, const Rule<Real>& rule, \
                     const Step& step, const engine::Request& request, StepReport& report);               \
  }
LAMINA_INSTRUCTION_SETS(LAMINA_DECLARE_STEP)
#undef LAMINA_DECLARE_STEP

}  // namespace lamina
