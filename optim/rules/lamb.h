// LAMB: Adam's update, scaled layer by layer to the norm of the weights (You et al. 2020, Alg. 2), and its
// public variants.
#pragma once

#include "optim/rules/adamw.h"
#include "optim/rules/trust_ratio.h"

namespace lamina::rules {

template <typename Real>
struct Lamb {
  using Options = LambOptions;
  static constexpr const char* name = "lamb";
  static constexpr std::array<const char*, 2> slots{"m", "v"};  // moments of g and g^2
  static constexpr bool layerwise = true;

  double max_grad_norm;
  Real beta1, beta2, new1, new2, step_size, eps;
  Real correction1, correction2;  // factors: m^ = correction1 m, sqrt(v^) = correction2 sqrt(v)
  EpsMode eps_mode;
  DecayMode decay_mode;
  bool use_trust_ratio;
  TrustRatio<Real> ratio;

  [[gnu::always_inline]] Lamb(const Options& o, const Step& t)
      : max_grad_norm(o.max_grad_norm),
        beta1(Real(o.beta1)),
        beta2(Real(o.beta2)),
        new1(Real(o.grad_averaging ? 1 - o.beta1 : 1)),
        new2(Real(1 - o.beta2)),
        eps(Real(o.eps)),
        eps_mode(o.eps_mode),
        decay_mode(o.decay_mode),
        use_trust_ratio(o.use_trust_ratio),
        ratio(o.ratio) {
    const double c1 = 1 - std::pow(o.beta1, double(t.number)), c2 = 1 - std::pow(o.beta2, double(t.number));
    const bool in_moments = o.bias_correction == BiasCorrection::moments;
    correction1 = Real(in_moments ? 1 / c1 : 1);
    correction2 = Real(in_moments ? 1 / std::sqrt(c2) : 1);
    step_size = Real(o.bias_correction == BiasCorrection::step_size ? std::sqrt(c2) / c1 : 1);
  }

  struct Moments {
    Real m, v;
  };
  LAMINA_HD Moments moments(Element<Real> e, const Real* s) const {
    const Real g = decay_mode == DecayMode::l2 ? e.grad + e.weight_decay * e.weight : e.grad;
    return {beta1 * s[0] + new1 * g, beta2 * s[1] + new2 * g * g};
  }

  // u = r + b w,  r = m^ / (sqrt(v^) + eps)
  LAMINA_HD Real update(Element<Real> e, Moments t) const {
    const Real root = eps_mode == EpsMode::outside ? std::sqrt(t.v) * correction2 + eps
                                                   : std::sqrt(t.v * (correction2 * correction2) + eps);
    const Real r = t.m * correction1 / root;
    return decay_mode == DecayMode::in_update ? r + e.weight_decay * e.weight : r;
  }

  bool uses_direction_norm() const { return use_trust_ratio; }

  LAMINA_HD Real update_direction(Element<Real> e, const Real* s) const { return update(e, moments(e, s)); }

  // phi(||w||) / ||u||
  LAMINA_HD Real trust(Layer<Real>& l) const {
    const Real kept = decay_mode == DecayMode::decoupled ? 1 - l.lr * l.weight_decay : Real(1);
    if (!use_trust_ratio || ratio.undefined(kept * l.weight_norm, l.direction_norm)) return 1;
    return ratio(1, kept * l.weight_norm, l.direction_norm);
  }

  // w <- w - lr phi(||w||) / ||u|| u
  LAMINA_HD Real apply(Element<Real> e, Real* s) const {
    const Moments t = moments(e, s);
    s[0] = t.m, s[1] = t.v;
    const Real kept = decay_mode == DecayMode::decoupled ? 1 - e.lr * e.weight_decay : Real(1);
    return kept * e.weight - e.lr * step_size * e.trust * update(e, t);
  }
};

}  // namespace lamina::rules
