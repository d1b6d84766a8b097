// What an optimizer's formula (a rule) is made of. A rule is a small template on the arithmetic type:
//
//   template <typename Real> struct MyRule {
//     using Options = MyOptions;                                     // lr, weight_decay, groups, ...
//     static constexpr const char* name = "mine";
//     static constexpr std::array<const char*, 1> slots{"momentum"};  // s[0]: an element's state, at first 0
//     static constexpr bool layerwise = true;                        // wants update_direction() and trust()
//     MyRule(const Options& o, const Step& t);                       // once per step, in double, on the host
//     Real update_direction(Element<Real> e, const Real* s) const;   // its norm divides in the trust ratio
//     Real trust(Layer<Real>& l) const;                              // once per step and adapting tensor
//     Real apply(Element<Real> e, Real* s) const;                    // the new weight; moves s
//   };
//
// update_direction() sees the slots as they are before the step: a rule whose ratio depends on updated
// moments computes them in both places, and no slot changes until every norm is known to be finite. Optional
// members: `phi` (shown in traces), `max_grad_norm` (> 0: the gradient of the whole model is scaled down to
// that norm), `uses_direction_norm()` (false: trust() does without direction_norm, which then is not
// measured) and `direction_is_decayed_gradient()` (true: update_direction() is g + b w, whose norm follows
// from those of g and w and g . w).
#pragma once

#include <cstdint>

#include "core/base/host_device.h"

namespace lamina {

struct Step {
  std::int64_t number = 1;  // of this step, from 1
  double lr = 0;            // the learning rate of this step
  double schedule = 1;      // lr as a share of the peak learning rate
};

// One element and what is the same for its whole tensor.
template <typename Real>
struct Element {
  Real weight;        // w
  Real grad;          // g, after clipping by the global norm
  Real weight_decay;  // of this tensor; 0 if it does not decay
  Real lr;            // of this tensor in this step
  Real trust;         // its trust ratio; 1 where the rule does not adapt, and in update_direction()
};

// One tensor; trust() may set weight_decay for this step.
template <typename Real>
struct Layer {
  Real weight_norm;     // ||w||_2
  Real grad_norm;       // ||g||_2, after clipping by the global norm
  Real direction_norm;  // ||update_direction(e, s)||_2
  Real weight_decay;
  Real lr;
};

}  // namespace lamina
