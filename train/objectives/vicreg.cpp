#include "train/objectives/vicreg.h"

#include <cmath>

#include "core/base/error.h"
#include "core/base/option_name.h"
#include "core/ops/elementwise.h"
#include "core/ops/matmul.h"
#include "core/ops/reduce.h"
#include "train/objectives/co_moments.h"

namespace lamina {
namespace {

using train::CoMoments;
using train::Embeddings;

double per_variance(const VicRegOptions& options) { return options.sum_variances ? 1 : 0.5; }

// v(Z) and c(Z) of one view, and M.
struct Spread {
  Tensor v, c, m;

  Spread(const CoMoments& moments, const VicRegOptions& options) {
    const auto d = static_cast<double>(moments.products.size(0)), n = static_cast<double>(moments.count);
    const Tensor k = moments.products / (n - 1), k_ij = train::off_diagonal(k);
    const Tensor s = sqrt(train::diagonal(k) + options.eps);
    v = mean(relu(options.gamma - s));
    c = sum(square(k_ij)) / d;
    const double mu = per_variance(options) * options.variance_weight;
    m = 4 * options.covariance_weight / (d * (n - 1)) * k_ij -
        train::diagonal_matrix(mu / (d * (n - 1)) * (s < options.gamma) / s);
  }
};

class VicRegBatch final : public train::EmbeddingBatch {
 public:
  explicit VicRegBatch(const VicRegOptions& options) : options_(options) {}

  void add(const Embeddings& z) override {
    options_of_z_ = z.a.options();
    a_.add(z.a, z.a);
    b_.add(z.b, z.b);
    const Tensor squares = cast(sum(square(z.a - z.b)), wide());
    distance_ = distance_.defined() ? distance_ + squares : squares;
  }

  PartLoss finish() override {
    const Spread a(a_, options_), b(b_, options_);
    m_a_ = as_z(a.m), m_b_ = as_z(b.m);
    mean_a_ = as_z(a_.mean_x), mean_b_ = as_z(b_.mean_x);
    elements_ = static_cast<double>(a_.count * a_.products.size(0));
    a_.products = b_.products = {};  // as large as M
    const Tensor s = cast(distance_ / elements_, a.v.dtype()), v = per_variance(options_) * (a.v + b.v),
                 c = a.c + b.c;
    return {options_.invariance_weight * s + options_.variance_weight * v + options_.covariance_weight * c,
            {s, v, c}};
  }

  Embeddings gradients(const Embeddings& z, std::int64_t) const override {
    const Tensor pull = 2 * options_.invariance_weight / elements_ * (z.a - z.b);
    return {pull + matmul(z.a - mean_a_, m_a_), matmul(z.b - mean_b_, m_b_) - pull};
  }

 private:
  Tensor as_z(const Tensor& x) const { return cast(x, options_of_z_.dtype); }
  DType wide() const {
    return options_of_z_.device.type == DeviceType::cpu ? DType::f64 : options_of_z_.dtype;
  }

  VicRegOptions options_;
  TensorOptions options_of_z_;
  CoMoments a_, b_;
  Tensor distance_;      // Σ ‖z_a − z_b‖²
  double elements_ = 0;  // N D
  Tensor m_a_, m_b_, mean_a_, mean_b_;
};

PartLoss fused_vicreg(const Embeddings& z, const VicRegOptions& options) {
  return train::loss_of(
      "vicreg_loss", z, std::make_unique<VicRegBatch>(options),
      [options](const Embeddings& same) { return vicreg_loss_composed(same.a, same.b, options); });
}

}  // namespace

Tensor vicreg_loss(const Tensor& z_a, const Tensor& z_b, const VicRegOptions& options) {
  return fused_vicreg({z_a, z_b}, options).loss;
}

Tensor vicreg_loss_composed(const Tensor& z_a, const Tensor& z_b, const VicRegOptions& options) {
  train::check_embeddings("vicreg_loss", {z_a, z_b});
  const auto n = static_cast<double>(z_a.size(0)), d = static_cast<double>(z_a.size(1));
  const auto v = [&](const Tensor& z) { return mean(relu(options.gamma - sqrt(var(z, 0) + options.eps))); };
  const auto c = [&](const Tensor& z) {
    const Tensor centred = z - mean(z, 0, {.keep = true});
    const Tensor k = matmul(centred, centred, {.transpose_a = true}) / (n - 1);
    return sum(square(train::off_diagonal(k))) / d;
  };
  return options.invariance_weight * mean(square(z_a - z_b)) +
         options.variance_weight * per_variance(options) * (v(z_a) + v(z_b)) +
         options.covariance_weight * (c(z_a) + c(z_b));
}

VicReg::VicReg(Module& net, const VicRegOptions& options, const TwoViewOptions& views)
    : TwoViewObjective(net, views), options_(options) {
  for (const auto& [option, value] : {std::pair("invariance_weight", options.invariance_weight),
                                      std::pair("variance_weight", options.variance_weight),
                                      std::pair("covariance_weight", options.covariance_weight)})
    if (!(value >= 0 && std::isfinite(value)))
      fail_usage("{} {}: expected 0 or more", option_name(option), value);
  for (const auto& [option, value] : {std::pair("gamma", options.gamma), std::pair("eps", options.eps)})
    if (!(value > 0 && std::isfinite(value)))
      fail_usage("{} {}: expected a positive number", option_name(option), value);
}

std::vector<MetricInfo> VicReg::metrics() const {
  return {{.name = "invariance", .higher_is_better = false},
          {.name = "variance", .higher_is_better = false},
          {.name = "covariance", .higher_is_better = false}};
}

std::vector<std::pair<std::string, std::string>> VicReg::options() const {
  std::vector<std::pair<std::string, std::string>> options = TwoViewObjective::options();
  options.emplace_back("invariance_weight", fmt::format("{}", options_.invariance_weight));
  options.emplace_back("variance_weight", fmt::format("{}", options_.variance_weight));
  options.emplace_back("covariance_weight", fmt::format("{}", options_.covariance_weight));
  options.emplace_back("gamma", fmt::format("{}", options_.gamma));
  options.emplace_back("eps", fmt::format("{}", options_.eps));
  options.emplace_back("sum_variances", options_.sum_variances ? "true" : "false");
  return options;
}

std::string VicReg::collapse(const Metrics& means, const Metrics& start) const {
  const double hinge = means.mean(1) / (2 * per_variance(options_) * options_.gamma);
  if (hinge <= 0.9 || means.mean(1) < start.mean(1)) return {};
  return fmt::format(
      "the features' standard deviations are {:.0f} % below {} on the mean (0 is the aim, 100 "
      "what constant features have)",
      100 * hinge, options_.gamma);
}

PartLoss VicReg::whole_loss(const Embeddings& z) const { return fused_vicreg(z, options_); }

std::unique_ptr<train::EmbeddingBatch> VicReg::new_batch() const {
  return std::make_unique<VicRegBatch>(options_);
}

}  // namespace lamina
