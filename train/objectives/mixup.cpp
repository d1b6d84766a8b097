#include "train/objectives/mixup.h"

#include <cmath>

#include "core/ops/elementwise.h"
#include "core/ops/shape_ops.h"
#include "core/random.h"

namespace lamina::train {
namespace {

// The logarithm of a Gamma(shape, 1) variate, as a small shape's is too small for a number (Marsaglia & Tsang
// 2000, "A Simple Method for Generating Gamma Variables", and §6 for shapes below 1). `draw` moves on.
double log_gamma_variate(double shape, const Random& random, std::uint32_t& draw) {
  const auto log_uniform = [&] { return std::log((static_cast<double>(random.bits(draw++)) + 1) * 0x1p-32); };
  if (shape < 1) {
    const double of_next = log_gamma_variate(shape + 1, random, draw);
    return of_next + log_uniform() / shape;
  }
  const double d = shape - 1.0 / 3, c = 1 / std::sqrt(9 * d);
  while (true) {
    draw += draw % 2;  // a normal number takes an even draw and the next
    const double x = random.normal(draw / 2);
    draw += 2;
    const double log_u = log_uniform(), t = 1 + c * x;
    if (t <= 0) continue;
    const double v = t * t * t;
    if (log_u < x * x / 2 + d - d * v + d * std::log(v)) return std::log(d * v);
  }
}

}  // namespace

Mixup draw_mixup(double alpha, const data::Part& part) {
  // The loader's order of an epoch has sample 0 of this stream. A permutation takes less than 2^31 draws.
  const Random random{part.seed, Stream::shuffle, static_cast<std::uint32_t>(part.epoch),
                      static_cast<std::uint32_t>(part.batch + 1)};
  std::uint32_t draw = std::uint32_t{1} << 31;
  const double a = log_gamma_variate(alpha, random, draw), b = log_gamma_variate(alpha, random, draw);
  return {.lambda = 1 / (1 + std::exp(b - a)), .partners = permutation(part.size(), random)};
}

Tensor mix(const Tensor& x, const Mixup& mixup) {
  return mixup.lambda * x + (1 - mixup.lambda) * permuted(x, mixup.partners);
}

Tensor permuted(const Tensor& x, const std::vector<std::int64_t>& rows) {
  const std::vector<std::int32_t> index(rows.begin(), rows.end());
  return index_select(x.detach(), 0, Tensor::from(index, {x.size(0)}));
}

}  // namespace lamina::train
