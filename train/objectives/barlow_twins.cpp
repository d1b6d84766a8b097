#include "train/objectives/barlow_twins.h"

#include <cmath>

#include "core/base/error.h"
#include "core/base/option_name.h"
#include "core/ops/elementwise.h"
#include "core/ops/matmul.h"
#include "core/ops/reduce.h"
#include "core/ops/shape_ops.h"
#include "train/objectives/co_moments.h"

namespace lamina {
namespace {

using train::diagonal;
using train::diagonal_matrix;
using train::Embeddings;
using train::off_diagonal;

double divisor(const BarlowTwinsOptions& options, std::int64_t samples) {
  return static_cast<double>(options.nominal_batch > 0 ? options.nominal_batch : samples);
}

Tensor standardised(const Tensor& z, double eps) {
  const Tensor centred = z - mean(z, 0, {.keep = true});
  return centred * reciprocal(sqrt(mean(square(centred), 0, {.keep = true}) + eps));
}

class BarlowTwinsBatch final : public train::EmbeddingBatch {
 public:
  explicit BarlowTwinsBatch(const BarlowTwinsOptions& options) : options_(options) {}

  void add(const Embeddings& z) override {
    options_of_z_ = z.a.options();
    moments_.add(z.a, z.b);
  }

  PartLoss finish() override {
    const auto n = static_cast<double>(moments_.count);
    const std::int64_t d = moments_.products.size(0);
    const Tensor inv_std_a = reciprocal(sqrt(moments_.squares_x / n + options_.eps)),
                 inv_std_b = reciprocal(sqrt(moments_.squares_y / n + options_.eps));
    const Tensor c =
        moments_.products * reshape(inv_std_a, {d, 1}) * inv_std_b / divisor(options_, moments_.count);
    const Tensor c_ii = diagonal(c), c_ij = off_diagonal(c);
    const Tensor on = sum(square(1 - c_ii)), off = sum(square(c_ij));
    const Tensor g = diagonal_matrix(2 * (c_ii - 1)) + 2 * options_.lambda * c_ij;
    const Tensor gc = g * c;
    g_ = as_z(g);
    gc_of_a_ = as_z(reshape(sum(gc, 1), {1, d}) / n);
    gc_of_b_ = as_z(reshape(sum(gc, 0), {1, d}) / n);
    inv_std_a_ = as_z(inv_std_a), inv_std_b_ = as_z(inv_std_b);
    mean_a_ = as_z(moments_.mean_x), mean_b_ = as_z(moments_.mean_y);
    moments_.products = {};  // as large as g
    return {options_.scale * (on + options_.lambda * off), {on, off, mean(c_ii)}};
  }

  Embeddings gradients(const Embeddings& z, std::int64_t) const override {
    const double s = options_.scale, n = divisor(options_, moments_.count);
    const Tensor a = (z.a - mean_a_) * inv_std_a_, b = (z.b - mean_b_) * inv_std_b_;  // ẑ
    return {s * inv_std_a_ * (matmul(b, g_, {.transpose_b = true}) / n - a * gc_of_a_),
            s * inv_std_b_ * (matmul(a, g_) / n - b * gc_of_b_)};
  }

 private:
  Tensor as_z(const Tensor& x) const { return cast(x, options_of_z_.dtype); }

  BarlowTwinsOptions options_;
  TensorOptions options_of_z_;
  train::CoMoments moments_;
  Tensor g_;                  // G
  Tensor gc_of_a_, gc_of_b_;  // Σ_j G_ij C_ij / N, Σ_i G_ij C_ij / N
  Tensor inv_std_a_, inv_std_b_, mean_a_, mean_b_;
};

PartLoss fused_barlow_twins(const Embeddings& z, const BarlowTwinsOptions& options) {
  return train::loss_of(
      "barlow_twins_loss", z, std::make_unique<BarlowTwinsBatch>(options),
      [options](const Embeddings& same) { return barlow_twins_loss_composed(same.a, same.b, options); });
}

}  // namespace

Tensor barlow_twins_loss(const Tensor& z_a, const Tensor& z_b, const BarlowTwinsOptions& options) {
  return fused_barlow_twins({z_a, z_b}, options).loss;
}

Tensor barlow_twins_loss_composed(const Tensor& z_a, const Tensor& z_b, const BarlowTwinsOptions& options) {
  train::check_embeddings("barlow_twins_loss", {z_a, z_b});
  const Tensor c =
      matmul(standardised(z_a, options.eps), standardised(z_b, options.eps), {.transpose_a = true}) /
      divisor(options, z_a.size(0));
  return options.scale * (sum(square(1 - diagonal(c))) + options.lambda * sum(square(off_diagonal(c))));
}

BarlowTwins::BarlowTwins(Module& net, const BarlowTwinsOptions& options, const TwoViewOptions& views)
    : TwoViewObjective(net, views), options_(options) {
  if (!(options.lambda >= 0 && std::isfinite(options.lambda)))
    fail_usage("{} {}: expected 0 or more", option_name("lambda"), options.lambda);
  for (const auto& [option, value] : {std::pair("scale", options.scale), std::pair("eps", options.eps)})
    if (!(value > 0 && std::isfinite(value)))
      fail_usage("{} {}: expected a positive number", option_name(option), value);
  if (options.nominal_batch < 0)
    fail_usage("{} {}: expected 0 or more", option_name("nominal_batch"), options.nominal_batch);
}

std::vector<MetricInfo> BarlowTwins::metrics() const {
  return {{.name = "on_diagonal", .higher_is_better = false},
          {.name = "off_diagonal", .higher_is_better = false},
          {.name = "correlation"}};
}

std::vector<std::pair<std::string, std::string>> BarlowTwins::options() const {
  std::vector<std::pair<std::string, std::string>> options = TwoViewObjective::options();
  options.emplace_back("lambda", fmt::format("{}", options_.lambda));
  options.emplace_back("scale", fmt::format("{}", options_.scale));
  options.emplace_back("eps", fmt::format("{}", options_.eps));
  options.emplace_back("nominal_batch", fmt::format("{}", options_.nominal_batch));
  return options;
}

// C_ij of features that have nothing to do with one another is not 0: over N samples their products of
// standardised values, of standard deviation s each, leave E[C_ij²] = s⁴ / N. So s ≤ (N · mean C_ij²)^¼,
// which is 1 or more while features vary by more than ε, learnt or not, and near 0 once they are constant.
std::string BarlowTwins::collapse(const Metrics& means, const Metrics& start) const {
  const auto d = static_cast<double>(embedding_size());
  if (d < 2) return {};
  const double squared = means.mean(1) / (d * (d - 1)), squared_at_start = start.mean(1) / (d * (d - 1));
  const double deviation = std::pow(divisor(options_, batch_samples()) * squared, 0.25);
  const double correlation = means.mean(2);
  if (correlation < 0.05 && deviation < 0.3) {
    return fmt::format(
        "the standardised features have a standard deviation of {:.3g} at most (1 is that of features which "
        "vary, 0 of constant ones), and the views' a mean correlation C_ii of {:.3g}",
        deviation, correlation);
  }
  if (squared > 0.25 && squared >= squared_at_start) {
    return fmt::format(
        "different features have a root mean square correlation C_ij of {:.3g} (0 is the aim, "
        "1 what copies of one feature have)",
        std::sqrt(squared));
  }
  return {};
}

PartLoss BarlowTwins::whole_loss(const Embeddings& z) const { return fused_barlow_twins(z, options_); }

std::unique_ptr<train::EmbeddingBatch> BarlowTwins::new_batch() const {
  return std::make_unique<BarlowTwinsBatch>(options_);
}

}  // namespace lamina
