// A rule that is not Lamina's own, as a user writes it: README's.
#pragma once

#include "lamina/rule.h"

namespace lamina::tests {

struct SignLarsOptions {
  double lr = 1e-3, momentum = 0.9, weight_decay = 5e-4, trust_coefficient = 1e-3;
  Groups groups = {};
};

template <typename Real>
struct SignLars {
  using Options = SignLarsOptions;
  static constexpr const char* name = "sign-lars";
  static constexpr std::array<const char*, 1> slots{"momentum"};
  static constexpr bool layerwise = true;
  Real mu, eta;
  SignLars(const Options& o, const Step&) : mu(Real(o.momentum)), eta(Real(o.trust_coefficient)) {}

  LAMINA_HD Real update_direction(Element<Real> e, const Real*) const {
    return e.grad + e.weight_decay * e.weight;
  }
  LAMINA_HD Real trust(Layer<Real>& l) const {
    return l.weight_norm > 0 && l.direction_norm > 0 ? eta * l.weight_norm / l.direction_norm : Real(1);
  }
  LAMINA_HD Real apply(Element<Real> e, Real* s) const {
    const Real u = update_direction(e, s);
    s[0] = mu * s[0] + e.trust * Real((u > 0) - (u < 0));
    return e.weight - e.lr * s[0];
  }
};

}  // namespace lamina::tests
