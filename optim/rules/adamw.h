// Adam with decoupled weight decay (Loshchilov & Hutter 2019, Alg. 2; torch.optim.AdamW).
#pragma once

#include <array>
#include <cmath>

#include "optim/options.h"
#include "optim/rules/rule.h"

namespace lamina::rules {

template <typename Real>
struct AdamW {
  using Options = AdamWOptions;
  static constexpr const char* name = "adamw";
  static constexpr std::array<const char*, 2> slots{"m", "v"};  // moments of g and g^2
  static constexpr bool layerwise = false;

  double max_grad_norm;
  Real beta1, beta2, new1, new2, eps, schedule;
  Real correction1, correction2;  // factors: m^ = correction1 m, sqrt(v^) = correction2 sqrt(v)
  bool decay_by_lr;

  AdamW(const Options& o, const Step& t)
      : max_grad_norm(o.max_grad_norm),
        beta1(Real(o.beta1)),
        beta2(Real(o.beta2)),
        new1(Real(1 - o.beta1)),
        new2(Real(1 - o.beta2)),
        eps(Real(o.eps)),
        schedule(Real(t.schedule)),
        correction1(Real(1 / (1 - std::pow(o.beta1, double(t.number))))),
        correction2(Real(1 / std::sqrt(1 - std::pow(o.beta2, double(t.number))))),
        decay_by_lr(o.decay_scale == DecayScale::lr) {}

  LAMINA_HD Real apply(Element<Real> e, Real* s) const {
    s[0] = beta1 * s[0] + new1 * e.grad;
    s[1] = beta2 * s[1] + new2 * e.grad * e.grad;
    const Real decayed = e.weight - (decay_by_lr ? e.lr : schedule) * e.weight_decay * e.weight;
    return decayed - e.lr * (correction1 * s[0]) / (correction2 * std::sqrt(s[1]) + eps);
  }
};

}  // namespace lamina::rules
