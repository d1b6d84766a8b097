#include "train/metrics.h"

#include "core/base/unsigned_nan.h"

namespace lamina {

double Metrics::loss() const { return unsigned_nan(loss_sum / static_cast<double>(samples)); }

double Metrics::mean(std::size_t metric) const {
  if (samples == 0) return std::numeric_limits<double>::quiet_NaN();
  return unsigned_nan(sums.at(metric) / static_cast<double>(samples));
}

void Metrics::add(const Metrics& other) {
  samples += other.samples;
  loss_sum += other.loss_sum;
  sums.resize(other.sums.size());
  for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += other.sums[i];
}

}  // namespace lamina
