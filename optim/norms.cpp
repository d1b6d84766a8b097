#include "optim/norms.h"

#include <cmath>

#include "core/autograd.h"
#include "core/base/error.h"
#include "core/ops/elementwise.h"

namespace lamina {

double squared_norm(const Tensor& x) {
  const Tensor host = x.to(Device::cpu());
  return visit_floating(x.dtype(), "squared_norm", [&](auto zero) {
    const auto* values = host.data<decltype(zero)>();
    double sum = 0;
    for (std::int64_t i = 0; i < host.elements(); ++i) {
      const auto value = static_cast<double>(values[i]);
      sum += value * value;
    }
    return sum;
  });
}

double squared_distance(const Tensor& x, const Tensor& y) {
  check(x.shape() == y.shape() && x.dtype() == y.dtype(),
        "squared_distance: {} and {}; expected one shape and dtype", x.str(), y.str());
  const Tensor left = x.to(Device::cpu()), right = y.to(Device::cpu());
  return visit_floating(x.dtype(), "squared_distance", [&](auto zero) {
    const auto *a = left.data<decltype(zero)>(), *b = right.data<decltype(zero)>();
    double sum = 0;
    for (std::int64_t i = 0; i < left.elements(); ++i) {
      const double difference = static_cast<double>(a[i]) - static_cast<double>(b[i]);
      sum += difference * difference;
    }
    return sum;
  });
}

double clip_grad_norm(const ParamList& params, double max_norm) {
  if (!(max_norm >= 0)) fail_usage("clip_grad_norm: max_norm is {}; expected at least 0", max_norm);
  const NoGrad no_grad;
  std::vector<Tensor> grads;
  double sum = 0;
  for (const auto& param : params) {
    if (!param->trainable() || !param->value.requires_grad() || !param->grad().defined()) continue;
    grads.push_back(param->grad());
    sum += squared_norm(grads.back());
  }
  const double norm = std::sqrt(sum), scale = max_norm / (norm + 1e-6);
  if (!(scale >= 1))
    for (Tensor& grad : grads) grad.copy_from(grad.detach() * scale);
  return norm;
}

}  // namespace lamina
