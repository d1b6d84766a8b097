#include "apps/noise_scale.h"

#include <utility>

namespace lamina {
namespace {

// |a - b|^2
double squared_distance(const Tensor& left, const Tensor& right) {
  const Tensor a = left.to(Device::cpu()), b = right.to(Device::cpu());
  return visit_floating(a.dtype(), "noise scale", [&](auto zero) {
    const auto* x = a.data<decltype(zero)>();
    const auto* y = b.data<decltype(zero)>();
    double sum = 0;
    for (std::int64_t i = 0; i < a.elements(); ++i) {
      const double difference = static_cast<double>(x[i]) - static_cast<double>(y[i]);
      sum += difference * difference;
    }
    return sum;
  });
}

}  // namespace

NoiseScale::NoiseScale(Tensor grads) : grads_(std::move(grads)), before_(Tensor::zeros_like(grads_)) {}

void NoiseScale::add_part(std::int64_t samples, std::int64_t batch) {
  const double share = static_cast<double>(batch) / static_cast<double>(samples);
  squares_ += share * share * squared_distance(grads_, before_);
  shares_ += 1 / static_cast<double>(samples);
  before_.copy_from(grads_);
  ++parts_;
  batch_ = batch;
}

// E|g|^2 = |G|^2 + S / b holds for the mean gradient g of b samples, so for each part and for the whole
// batch. The mean over the parts and the batch are two equations for |G|^2 and S.
std::optional<GradientNoise> NoiseScale::finish() {
  const double parts = static_cast<double>(parts_), batch = static_cast<double>(batch_);
  const Tensor last = before_;
  before_ = Tensor::zeros_like(grads_);
  const double small = squares_ / parts, large = squared_distance(last, before_);
  const double variance = (small - large) / (shares_ / parts - 1 / batch);
  const GradientNoise noise{.variance = variance, .squared = large - variance / batch};
  const bool measured = parts_ > 1;
  squares_ = shares_ = 0;
  parts_ = 0;
  return measured ? std::optional(noise) : std::nullopt;
}

}  // namespace lamina
