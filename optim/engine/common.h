// What the traversals on the CPU and on the GPU share: how the flat tensors are cut, and what is measured of
// each tensor before anything is written.
#pragma once

#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "optim/groups.h"
#include "optim/rules/rule.h"

namespace lamina::engine {

struct Chunk {
  std::size_t segment;
  std::int64_t begin, end;  // elements of the flat tensors
};
std::vector<Chunk> chunks_of(std::span<const Segment> segments, std::int64_t longest);

struct Squares {  // sums of squares over a chunk or a tensor; 0 where not measured
  double weight = 0, grad = 0;
  double other = 0;  // of update_direction(), or of the change of the weights
  LAMINA_HD Squares& operator+=(const Squares& more) {
    weight += more.weight, grad += more.grad, other += more.other;
    return *this;
  }
};

// Throws Error naming the step and the first tensor with a sum that is not finite.
void check_finite(std::span<const Segment> segments, std::span<const Squares> sums, const Step& step);

// Throws Error naming the step and the tensor if its ratio is not finite: 0 / 0 where zero_norm is raw.
void check_trust(double trust, const Segment& segment, const Step& step);

struct Request {
  bool trace = false;
  bool finite_check = true;
};

// What to report of a tensor before the step. Weights are looked at with gradients in any case: what is not
// finite is to be refused.
enum class Measure { nothing, grad, weight_and_grad, all /* also update_direction() */ };

template <typename Rule>
double max_grad_norm(const Rule& rule) {  // 0: the gradient of the whole model is not clipped
  if constexpr (requires { rule.max_grad_norm; }) return rule.max_grad_norm;
  return 0;
}

template <typename Rule>
bool uses_direction_norm(const Rule& rule) {
  if constexpr (requires { rule.uses_direction_norm(); }) return rule.uses_direction_norm();
  return Rule::layerwise;
}

// Clipping has measured the gradient already.
template <typename Rule>
Measure measured(const Rule& rule, const LayerSettings& layer, const Request& request) {
  if (layer.adapts && uses_direction_norm(rule)) return Measure::all;
  if (layer.adapts || request.trace) return Measure::weight_and_grad;
  return request.finite_check && max_grad_norm(rule) == 0 ? Measure::grad : Measure::nothing;
}

template <typename Real>
struct Trust {
  Real ratio = 1;
  Real weight_decay = 0;  // the rule may have set it for this step
};

// The trust ratio of a tensor that adapts.
template <typename Rule, typename Real>
LAMINA_HD Trust<Real> trust_of(const Rule& rule, const Squares& sums, Real weight_decay, Real lr) {
  if constexpr (Rule::layerwise) {
    const auto root = [](double sum) { return static_cast<Real>(std::sqrt(sum)); };
    Layer<Real> layer{root(sums.weight), root(sums.grad), root(sums.other), weight_decay, lr};
    const Real ratio = rule.trust(layer);
    return {ratio, layer.weight_decay};
  } else {
    return {1, weight_decay};
  }
}

}  // namespace lamina::engine
