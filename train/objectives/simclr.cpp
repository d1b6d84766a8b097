#include "train/objectives/simclr.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "core/autograd.h"
#include "core/base/error.h"
#include "core/base/option_name.h"
#include "core/ops/elementwise.h"
#include "core/ops/matmul.h"
#include "core/ops/reduce.h"
#include "core/ops/shape_ops.h"

namespace lamina {
namespace {

using train::Embeddings;

constexpr std::int64_t rows_at_once = 256;  // of a matrix of similarities
constexpr double shortest = 1e-12;          // of a vector that is divided by its length, as in normalize()

// Calls f(first, count) for some rows at a time.
void for_rows(std::int64_t rows, const std::function<void(std::int64_t, std::int64_t)>& f) {
  for (std::int64_t first = 0; first < rows; first += rows_at_once)
    f(first, std::min(rows_at_once, rows - first));
}

// Of rows first … first + count − 1 with all: u_i·u_j · factor, and on the diagonal so far below that exp()
// of it is 0, but finite.
Tensor similarities(const Tensor& u, std::int64_t first, std::int64_t count, double factor) {
  const std::int64_t rows = u.size(0);
  const Tensor here = count == rows ? u : slice(u, {.axis = 0, .start = first, .count = count});
  const Tensor self = Tensor::full({count}, -1e30, u.options());
  return factor * matmul(here, u, {.transpose_b = true}) +
         reshape(embed(self, {.axis = 0, .start = first, .count = count, .step = rows + 1}, count * rows),
                 {count, rows});
}

// log Σ_j exp(x_ij) of each row, [rows, 1].
Tensor log_sum_exp(const Tensor& x) {
  const Tensor largest = max(x.detach(), -1, {.keep = true});
  return log(sum(exp(x - largest), -1, {.keep = true})) + largest;
}

class NtXentBatch final : public train::EmbeddingBatch {
 public:
  explicit NtXentBatch(const SimClrOptions& options) : options_(options) {}

  void add(const Embeddings& z) override {
    parts_a_.push_back(normalize(z.a, -1, shortest));
    parts_b_.push_back(normalize(z.b, -1, shortest));
  }

  PartLoss finish() override {
    const Tensor u_a = concat(parts_a_, 0), u_b = concat(parts_b_, 0);
    parts_a_.clear(), parts_b_.clear();
    u_ = concat({u_a, u_b}, 0);
    std::vector<Tensor> log_sums;
    for_rows(u_.size(0), [&](std::int64_t first, std::int64_t count) {
      log_sums.push_back(log_sum_exp(similarities(u_, first, count, 1 / options_.temperature)));
    });
    log_sums_ = concat(log_sums, 0);
    const Tensor positives = sum(u_a * u_b, 1) / options_.temperature;
    return {options_.scale * (mean(log_sums_) - mean(positives)),
            {alignment(u_a, u_b), (uniformity(u_a) + uniformity(u_b)) / 2}};
  }

  Embeddings gradients(const Embeddings& z, std::int64_t first) const override {
    const std::int64_t samples = u_.size(0) / 2;
    return {gradient(z.a, first, samples + first), gradient(z.b, samples + first, first)};
  }

 private:
  // Of z, whose directions are the rows of u from `first` on; their other views are those from `other` on.
  Tensor gradient(const Tensor& z, std::int64_t first, std::int64_t other) const {
    const std::int64_t rows = u_.size(0);
    const double factor = options_.scale / (static_cast<double>(rows) * options_.temperature);
    std::vector<Tensor> gradients;
    for_rows(z.size(0), [&](std::int64_t at, std::int64_t count) {
      const Tensor similarity = similarities(u_, first + at, count, 1 / options_.temperature);
      const Tensor p = exp(similarity - log_sums_.rows(first + at, count)) +
                       exp(similarity - log_sums_.view({1, rows}));  // P_ij + P_ji
      const Tensor g = factor * (matmul(p, u_) - 2 * u_.rows(other + at, count));
      const Tensor u = u_.rows(first + at, count);
      const Tensor length = maximum(norm(z.rows(at, count), 1, {.keep = true}), shortest);
      gradients.push_back((g - u * sum(u * g, 1, {.keep = true})) / length);
    });
    return concat(gradients, 0);
  }

  SimClrOptions options_;
  std::vector<Tensor> parts_a_, parts_b_;  // u of the parts so far
  Tensor u_;                               // [2N, D]: all of view a, then all of view b
  Tensor log_sums_;                        // log Σ_{j≠i} exp(u_i·u_j / τ), [2N, 1]
};

PartLoss fused_nt_xent(const Embeddings& z, const SimClrOptions& options) {
  return train::loss_of(
      "nt_xent_loss", z, std::make_unique<NtXentBatch>(options),
      [options](const Embeddings& same) { return nt_xent_loss_composed(same.a, same.b, options); });
}

}  // namespace

Tensor nt_xent_loss(const Tensor& z_a, const Tensor& z_b, const SimClrOptions& options) {
  return fused_nt_xent({z_a, z_b}, options).loss;
}

Tensor nt_xent_loss_composed(const Tensor& z_a, const Tensor& z_b, const SimClrOptions& options) {
  train::check_embeddings("nt_xent_loss", {z_a, z_b});
  const Tensor u_a = normalize(z_a, -1, shortest), u_b = normalize(z_b, -1, shortest);
  const Tensor u = concat({u_a, u_b}, 0);
  const Tensor log_sums = log_sum_exp(similarities(u, 0, u.size(0), 1 / options.temperature));
  return options.scale * (mean(log_sums) - mean(sum(u_a * u_b, 1)) / options.temperature);
}

Tensor alignment(const Tensor& u_a, const Tensor& u_b) {
  const NoGrad no_grad;
  return mean(sum(square(u_a - u_b), 1));
}

// ‖u_i − u_j‖² = 2 − 2 u_i·u_j
Tensor uniformity(const Tensor& u) {
  const NoGrad no_grad;
  const auto n = static_cast<double>(u.size(0));
  Tensor total = Tensor::zeros({}, u.options());
  for_rows(u.size(0), [&](std::int64_t first, std::int64_t count) {
    total += sum(exp(similarities(u, first, count, 4) - 4));
  });
  return log(total / (n * (n - 1)));
}

SimClr::SimClr(Module& net, const SimClrOptions& options, const TwoViewOptions& views)
    : TwoViewObjective(net, views), options_(options) {
  for (const auto& [option, value] :
       {std::pair("temperature", options.temperature), std::pair("scale", options.scale)})
    if (!(value > 0 && std::isfinite(value)))
      fail_usage("{} {}: expected a positive number", option_name(option), value);
}

std::vector<MetricInfo> SimClr::metrics() const {
  return {{.name = "alignment", .higher_is_better = false},
          {.name = "uniformity", .higher_is_better = false}};
}

std::vector<std::pair<std::string, std::string>> SimClr::options() const {
  std::vector<std::pair<std::string, std::string>> options = TwoViewObjective::options();
  options.emplace_back("temperature", fmt::format("{}", options_.temperature));
  options.emplace_back("scale", fmt::format("{}", options_.scale));
  return options;
}

std::string SimClr::collapse(const Metrics& means, const Metrics& start) const {
  const double uniform = means.mean(1);
  if (uniform <= -0.1 || uniform < start.mean(1)) return {};
  return fmt::format("the embeddings have a uniformity of {:.3g} (−4 is spread over the sphere, 0 one point)",
                     uniform);
}

PartLoss SimClr::whole_loss(const Embeddings& z) const { return fused_nt_xent(z, options_); }

std::unique_ptr<train::EmbeddingBatch> SimClr::new_batch() const {
  return std::make_unique<NtXentBatch>(options_);
}

}  // namespace lamina
