#include "train/rank_sums.h"

#include <cmath>
#include <numeric>
#include <span>

#include "core/base/error.h"
#include "core/base/option_name.h"

namespace lamina::train {
namespace {

std::vector<double> read(const Tensor& values) {
  return visit_floating(values.dtype(), "running statistics", [&](auto zero) {
    const auto own = values.to_vector<decltype(zero)>();
    return std::vector<double>(own.begin(), own.end());
  });
}

void write(std::span<const double> from, Tensor to) {
  visit_floating(to.dtype(), "running statistics", [&](auto zero) {
    using Real = decltype(zero);
    for (std::size_t i = 0; i < from.size(); ++i) to.data<Real>()[i] = static_cast<Real>(from[i]);
  });
  to.bump_version();
}

void collect_batch_norms(Module& module, std::vector<BatchNormLayer*>& found) {
  if (auto* layer = dynamic_cast<BatchNormLayer*>(&module)) found.push_back(layer);
  for (const auto& child : module.children()) collect_batch_norms(*child, found);
}

std::vector<BatchNormLayer*> batch_norms_of(Module& module) {
  std::vector<BatchNormLayer*> found;
  collect_batch_norms(module, found);
  return found;
}

}  // namespace

RankSums::RankSums(Collective& ranks, Objective& objective, const Arena& arena, bool sync_batch_norm)
    : ranks_(ranks),
      arena_(arena),
      buckets_(ranks, arena),
      two_pass_(dynamic_cast<TwoPassObjective*>(&objective)),
      sync_batch_norm_(sync_batch_norm) {
  if (arena.device().type != DeviceType::cpu) connect_gpu(objective);
  share_statistics(batch_norms_of(objective.module()));
  if (two_pass_ != nullptr) two_pass_->share_batches(&ranks_);
}

RankSums::~RankSums() {
  if (two_pass_ != nullptr) two_pass_->share_batches(nullptr);
  for (BatchNormLayer* layer : synchronised_) layer->synchronise({});
}

void RankSums::connect_gpu(Objective& objective) {
  const std::string device = arena_.device().str();
  if (two_pass_ != nullptr)
    fail_usage("{} ranks on {}: the loss {} compares the samples of all of them, which is for the CPU",
               ranks_.size(), device, objective.name());
  if (sync_batch_norm_)
    fail_usage("{} on {}: statistics over ranks are for the CPU; leave it out",
               option_name("sync_batch_norm"), device);
  gpu_ = connect_gpus(ranks_, arena_.device());
}

void RankSums::share_statistics(const std::vector<BatchNormLayer*>& layers) {
  if (gpu_ != nullptr) {
    gpu_statistics_ = std::make_unique<GpuStatistics>(layers, ranks_, *gpu_, arena_.device());
    return;
  }
  for (BatchNormLayer* layer : layers) {
    const BatchNormParams params = layer->params();
    if (sync_batch_norm_) {
      layer->synchronise([this](std::span<double> values) { ranks_.sum(values); });
      synchronised_.push_back(layer);
    } else {
      statistics_.push_back({.momentum = layer->momentum(),
                             .passes = params.batches_tracked,
                             .moving = {params.running_mean, params.running_var}});
    }
  }
}

void RankSums::begin() {
  if (gpu_statistics_ != nullptr) return gpu_statistics_->begin();
  buckets_.begin();
  for (Statistics& s : statistics_) {
    s.passes_before = s.passes.data<std::int32_t>()[0];
    s.before.clear();
    for (const Tensor& r : s.moving) s.before.push_back(read(r));
  }
}

void RankSums::add_over_ranks(const Tensor& values) {
  if (gpu_ != nullptr) {
    gpu_->sum(values);
  } else {
    visit_floating(values.dtype(), "sum over ranks", [&](auto zero) {
      Tensor own = values;
      ranks_.sum(std::span(own.data<decltype(zero)>(), static_cast<std::size_t>(own.elements())));
    });
  }
  Tensor(values).bump_version();
}

void RankSums::add_up_gradients() { add_over_ranks(arena_.grads()); }

void RankSums::add_up(const Tensor& sums) {
  gpu_ != nullptr ? add_up_gradients() : buckets_.sum_rest();
  add_over_ranks(sums);
  gpu_statistics_ != nullptr ? gpu_statistics_->combine() : combine_statistics();
}

void RankSums::combine_statistics() {
  const auto size = static_cast<std::size_t>(ranks_.size()), own = static_cast<std::size_t>(ranks_.rank());
  std::vector<double> passes(statistics_.size() * size);  // n of each layer on each rank
  for (std::size_t l = 0; l < statistics_.size(); ++l)
    passes[l * size + own] = statistics_[l].passes.data<std::int32_t>()[0] - statistics_[l].passes_before;
  ranks_.sum(passes);
  const auto passes_from = [&](std::size_t l, std::size_t rank) {  // of this rank and later ones
    return std::accumulate(passes.begin() + static_cast<std::ptrdiff_t>(l * size + rank),
                           passes.begin() + static_cast<std::ptrdiff_t>((l + 1) * size), 0.0);
  };

  std::vector<double> terms;  // of all layers, one after another
  for (std::size_t l = 0; l < statistics_.size(); ++l) {
    const Statistics& s = statistics_[l];
    const double kept = std::pow(1 - s.momentum, passes[l * size + own]);
    const double weight = std::pow(1 - s.momentum, passes_from(l, own + 1));
    for (std::size_t k = 0; k < s.moving.size(); ++k) {
      const std::vector<double> r = read(s.moving[k]);
      for (std::size_t c = 0; c < r.size(); ++c) terms.push_back(weight * (r[c] - kept * s.before[k][c]));
    }
  }
  ranks_.sum(terms);

  const double* term = terms.data();
  for (std::size_t l = 0; l < statistics_.size(); ++l) {
    Statistics& s = statistics_[l];
    const double all = passes_from(l, 0), kept = std::pow(1 - s.momentum, all);
    for (std::size_t k = 0; k < s.moving.size(); ++k) {
      for (double& r : s.before[k]) r = kept * r + *term++;
      write(s.before[k], s.moving[k]);
    }
    s.passes.data<std::int32_t>()[0] = s.passes_before + static_cast<std::int32_t>(all);
    s.passes.bump_version();
  }
}

}  // namespace lamina::train
