// The guarded quotient of norms that LARS, LAMB and TVLARS share.
#pragma once

#include "core/base/host_device.h"
#include "optim/options.h"

namespace lamina {

template <typename Real>
struct TrustRatio {
  Real eps, weight_min, weight_max, update_max, min, max;
  ZeroNorm zero_norm;

  explicit TrustRatio(const RatioOptions& o)
      : eps(Real(o.eps)),
        weight_min(Real(o.weight_norm_min)),
        weight_max(Real(o.weight_norm_max)),
        update_max(Real(o.update_norm_max)),
        min(Real(o.ratio_min)),
        max(Real(o.ratio_max)),
        zero_norm(o.zero_norm) {}

  // NaN stays NaN.
  LAMINA_HD static Real clamp(Real x, Real low, Real high) { return x < low ? low : (x > high ? high : x); }

  LAMINA_HD Real weight_norm(Real w) const { return clamp(w, weight_min, weight_max); }

  // Whether there is no ratio to form; `gradient` is whichever norm the rule divides by.
  LAMINA_HD bool undefined(Real w, Real gradient) const {
    return zero_norm != ZeroNorm::raw && (weight_norm(w) == Real(0) || gradient == Real(0));
  }

  // coefficient * ||w|| / (||u|| + eps)
  LAMINA_HD Real operator()(Real coefficient, Real w, Real u) const {
    return clamp(coefficient * weight_norm(w) / (clamp(u, Real(0), update_max) + eps), min, max);
  }
};

}  // namespace lamina
