#include "train/metrics.h"

namespace lamina {

void Metrics::add(const Metrics& other) {
  samples += other.samples;
  loss_sum += other.loss_sum;
  sums.resize(other.sums.size());
  for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += other.sums[i];
}

}  // namespace lamina
