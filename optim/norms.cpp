#include "optim/norms.h"

#include "core/base/error.h"

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

}  // namespace lamina
