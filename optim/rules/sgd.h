// Stochastic gradient descent with momentum (Sutskever et al. 2013, eq. 1-4; torch.optim.SGD).
#pragma once

#include <array>

#include "optim/options.h"
#include "optim/rules/rule.h"

namespace lamina::rules {

template <typename Real>
struct Sgd {
  using Options = SgdOptions;
  static constexpr const char* name = "sgd";
  static constexpr std::array<const char*, 1> slots{"momentum"};  // s[0] = v
  static constexpr bool layerwise = false;

  double max_grad_norm;
  Real mu, undamped;
  bool nesterov, lr_inside;

  Sgd(const Options& o, const Step& t)
      : max_grad_norm(o.max_grad_norm),
        mu(Real(o.momentum)),
        undamped(Real(t.number == 1 ? 1 : 1 - o.dampening)),
        nesterov(o.nesterov),
        lr_inside(o.momentum_lr == MomentumLr::inside) {}

  // v <- mu v + d
  LAMINA_HD Real velocity(Real v, Real d) const { return mu * v + undamped * d; }
  // w <- w - lr direction
  LAMINA_HD Real direction(Real v, Real d) const { return nesterov ? mu * v + d : v; }

  LAMINA_HD Real apply(Element<Real> e, Real* s) const {
    const Real inside = lr_inside ? e.lr : Real(1), outside = lr_inside ? Real(1) : e.lr;
    const Real d = inside * (e.grad + e.weight_decay * e.weight);
    s[0] = velocity(s[0], d);
    return e.weight - outside * direction(s[0], d);
  }
};

}  // namespace lamina::rules
