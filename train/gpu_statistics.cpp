#include "train/gpu_statistics.h"

#include <algorithm>
#include <cmath>

#include "core/autograd.h"
#include "core/backend.h"
#include "core/ops/elementwise.h"
#include "core/ops/shape_ops.h"

namespace lamina::train {

GpuStatistics::GpuStatistics(const std::vector<BatchNormLayer*>& layers, Collective& ranks, GpuSums& sums,
                             Device device)
    : ranks_(ranks), sums_(sums) {
  std::vector<std::int32_t> owners;
  std::vector<float> log_kept;
  for (BatchNormLayer* layer : layers) {
    const BatchNormParams params = layer->params();
    for (const Tensor& values : {params.running_mean, params.running_var}) {
      moving_.push_back({values, std::ssize(owners)});
      owners.insert(owners.end(), static_cast<std::size_t>(values.elements()),
                    static_cast<std::int32_t>(counts_.size()));
    }
    counts_.push_back(params.batches_tracked);
    // With a momentum of 1 nothing is kept: e^-10⁴ is 0, and e^0 still 1, where -∞ · 0 would be NaN.
    log_kept.push_back(static_cast<float>(std::max(std::log(1 - layer->momentum()), -1e4)));
  }
  if (layers.empty()) return;
  layers_ = Tensor::from(owners, {std::ssize(owners)}).to(device);
  log_kept_ = Tensor::from(log_kept, {std::ssize(log_kept)}).to(device);
  before_ = Tensor::empty({std::ssize(owners)}, {DType::f32, device});
  passes_before_ = Tensor::empty({std::ssize(log_kept)}, {DType::f32, device});
}

// Exact up to 2²⁴ passes.
Tensor GpuStatistics::passes() const {
  const Tensor all = Tensor::empty_like(log_kept_);
  for (std::size_t l = 0; l < counts_.size(); ++l) {
    Tensor place = all.flat(static_cast<std::int64_t>(l), {});
    backend_for(all.device()).cast(counts_[l], place);
  }
  return all;
}

Tensor GpuStatistics::kept(const Tensor& passes_of_layers) const {
  return gather(exp(log_kept_ * passes_of_layers), 0, layers_);
}

void GpuStatistics::begin() {
  if (counts_.empty()) return;
  for (const Moving& moving : moving_)
    before_.flat(moving.first, moving.values.shape()).copy_from(moving.values);
  passes_before_.copy_from(passes());
}

void GpuStatistics::combine() {
  if (counts_.empty()) return;
  const NoGrad no_grad;
  const std::int64_t layers = passes_before_.elements(), own = ranks_.rank(), size = ranks_.size();
  const Tensor of_ranks = Tensor::zeros({size, layers}, passes_before_.options());
  const Tensor own_passes = passes() - passes_before_;
  of_ranks.rows(own, 1).flat(0, {layers}).copy_from(own_passes);
  sums_.sum(of_ranks);
  Tensor later = Tensor::zeros_like(passes_before_), all = Tensor::zeros_like(passes_before_);
  for (std::int64_t r = 0; r < size; ++r) {
    const Tensor more = of_ranks.rows(r, 1).flat(0, {layers});
    if (r > own) later = later + more;
    all = all + more;
  }
  const Tensor now = Tensor::empty_like(before_);
  for (const Moving& moving : moving_) now.flat(moving.first, moving.values.shape()).copy_from(moving.values);
  const Tensor terms = kept(later) * (now - kept(own_passes) * before_);
  sums_.sum(terms);
  const Tensor combined = kept(all) * before_ + terms;
  for (const Moving& moving : moving_)
    Tensor(moving.values).copy_from(combined.flat(moving.first, moving.values.shape()));
}

}  // namespace lamina::train
