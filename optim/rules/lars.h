// LARS: layer-wise adaptive rate scaling (You, Gitman & Ginsburg 2017, Alg. 1) and its public variants.
#pragma once

#include "optim/rules/sgd.h"
#include "optim/rules/trust_ratio.h"

namespace lamina::rules {

template <typename Real>
struct Lars {
  using Options = LarsOptions;
  static constexpr const char* name = "lars";
  static constexpr std::array<const char*, 1> slots{"momentum"};  // s[0] = v
  static constexpr bool layerwise = true;

  double max_grad_norm;
  Sgd<Real> sgd;
  Real eta;
  TrustRatio<Real> ratio;
  Denominator denominator;
  bool larc_clip;

  Lars(const Options& o, const Step& t)
      : max_grad_norm(o.max_grad_norm),
        sgd({.momentum = o.momentum,
             .nesterov = o.form.nesterov,
             .dampening = o.form.dampening,
             .momentum_lr = o.form.momentum_lr},
            t),
        eta(Real(o.trust_coefficient)),
        ratio(o.form.ratio),
        denominator(o.form.denominator),
        larc_clip(o.form.larc_clip) {}

  LAMINA_HD static Real decayed(Element<Real> e) { return e.grad + e.weight_decay * e.weight; }

  bool uses_direction_norm() const {
    return denominator == Denominator::joint || denominator == Denominator::after_momentum;
  }

  bool direction_is_decayed_gradient() const { return denominator == Denominator::joint; }

  LAMINA_HD Real update_direction(Element<Real> e, const Real* s) const {
    const Real d = decayed(e);
    return denominator == Denominator::after_momentum ? sgd.direction(sgd.velocity(s[0], d), d) : d;
  }

  // lambda = eta ||w|| / (||g|| + b ||w||)
  LAMINA_HD Real trust(Layer<Real>& l) const {
    const bool split = denominator == Denominator::split;
    const Real u = split || denominator == Denominator::grad_only ? l.grad_norm : l.direction_norm;
    Real lambda = 1;
    if (!ratio.undefined(l.weight_norm, u)) {
      lambda = ratio(eta, l.weight_norm, split ? u + l.weight_decay * l.weight_norm : u);
    } else if (ratio.zero_norm == ZeroNorm::one_without_decay) {
      l.weight_decay = 0;
      return lambda;
    }
    return larc_clip && lambda > l.lr ? Real(1) : (larc_clip ? lambda / l.lr : lambda);
  }

  // SGD on the gradient lambda (g + b w)
  LAMINA_HD Real apply(Element<Real> e, Real* s) const {
    if (denominator == Denominator::after_momentum)
      return sgd.apply({e.weight, e.grad, e.weight_decay, e.trust * e.lr, 1}, s);
    return sgd.apply({e.weight, e.trust * decayed(e), 0, e.lr, 1}, s);
  }
};

}  // namespace lamina::rules
