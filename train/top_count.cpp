#include "train/top_count.h"

#include <vector>

#include "core/math/argmax.h"

namespace lamina::train {

std::int64_t rank_of(const double* logits, std::int64_t classes, std::int64_t label) {
  std::int64_t rank = 0;
  for (std::int64_t c = 0; c < classes; ++c)
    rank += math::comes_before(logits[c], c, logits[label], label) ? 1 : 0;
  return rank;
}

std::int64_t count_among_first(const Tensor& logits, const Tensor& labels, std::int64_t top) {
  const std::int64_t classes = logits.size(1);
  const std::vector<double> rows = logits.to(Device::cpu()).to(DType::f64).to_vector<double>();
  const std::vector<std::int32_t> own = labels.to_vector<std::int32_t>();
  std::int64_t count = 0;
  for (std::size_t i = 0; i < own.size(); ++i) {
    const double* row = rows.data() + i * static_cast<std::size_t>(classes);
    if (own[i] < 0 || own[i] >= classes) continue;  // of no class that there is
    count += rank_of(row, classes, own[i]) < top ? 1 : 0;
  }
  return count;
}

}  // namespace lamina::train
