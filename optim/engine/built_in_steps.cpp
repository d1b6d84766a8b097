// Compiled once for each instruction set.
#include "optim/engine/built_in_steps.h"
#include "optim/engine/cpu.h"

namespace lamina {

template <template <typename> class Rule, typename Real>
void cpu::LAMINA_INSTRUCTION_SET::built_in_step(const Arena& arena, std::span<const LayerSettings> settings,
                                                const Rule<Real>& rule, const Step& step,
                                                const engine::Request& request, StepReport& report) {
  engine::CpuStep<Rule<Real>, Real>(arena, settings, rule, step).run(request, report);
}

#define LAMINA_INSTANTIATE_REAL(rule, Real)                                                              \
  template void cpu::LAMINA_INSTRUCTION_SET::built_in_step(const Arena&, std::span<const LayerSettings>, \
                                                           const rule<Real>&, const Step&,               \
                                                           const engine::Request&, StepReport&);
#define LAMINA_INSTANTIATE(rule) LAMINA_INSTANTIATE_REAL(rule, float) LAMINA_INSTANTIATE_REAL(rule, double)
LAMINA_BUILT_IN_RULES(LAMINA_INSTANTIATE)

}  // namespace lamina
