// TVLARS: LARS with a time-varying factor in place of warm-up (Do et al., IEEE Trans. Artificial Intelligence
// 2024, arXiv 2309.14053).
//
//   layer learning rate   gamma_t^k = eta gamma_target phi_t ||w_t^k|| / ||grad L(w_t^k)||     (eq. 5)
//   phi_t = 1 / (alpha + exp(lambda (t - d_e))) + gamma_min
#pragma once

#include <cmath>

#include "optim/rules/lars.h"

namespace lamina {

// phi of step 1, 2, ...; for a rising exponent in the form that cannot overflow.
// Inlined: compiled with other flags in another file, it would round otherwise there (optim/engine/cpu.h).
[[gnu::always_inline]] inline double phi(const TvLarsOptions& o, std::int64_t step) {
  const double steps = double(step - 1), epoch = double(o.steps_per_epoch);
  if (o.hard_delay_epochs > 0 && steps < o.hard_delay_epochs * epoch) return 1;
  const bool in_steps = o.time_unit == TimeUnit::steps;
  const double t = double(o.first_time) + (in_steps ? steps : steps / epoch);
  const double d_e = in_steps ? o.delay_epochs * epoch : o.delay_epochs;
  const double z = o.lambda * (t - d_e), decay = std::exp(-z);
  if (o.phi_form == PhiForm::exponential) return decay + o.gamma_min;
  return (z > 0 ? decay / (o.alpha * decay + 1) : 1 / (o.alpha + std::exp(z))) + o.gamma_min;
}

namespace rules {

template <typename Real>
struct TvLars : Lars<Real> {
  using Options = TvLarsOptions;
  static constexpr const char* name = "tvlars";
  double phi;

  [[gnu::always_inline]] TvLars(const Options& o, const Step& t)
      : Lars<Real>({.momentum = o.momentum,
                    .trust_coefficient = o.trust_coefficient * lamina::phi(o, t.number),
                    .max_grad_norm = o.max_grad_norm,
                    .form = o.form},
                   t),
        phi(lamina::phi(o, t.number)) {}
};

}  // namespace rules
}  // namespace lamina
