#include "train/rank_sums.h"

#include <cmath>
#include <numeric>
#include <span>

#include "core/base/error.h"

namespace lamina::train {
namespace {

void start_sum_over_ranks(Collective& ranks, Tensor values) {
  visit_floating(values.dtype(), "sum over ranks", [&](auto zero) {
    ranks.start_sum(std::span(values.data<decltype(zero)>(), static_cast<std::size_t>(values.elements())));
  });
  values.bump_version();
}

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

}  // namespace

RankSums::RankSums(Collective& ranks, Objective& objective, const Arena& arena, bool sync_batch_norm)
    : ranks_(ranks),
      arena_(arena),
      two_pass_(dynamic_cast<TwoPassObjective*>(&objective)),
      sync_batch_norm_(sync_batch_norm) {
  if (arena.device().type != DeviceType::cpu)
    fail_usage("data parallel training: parameters are on {}; it is for the CPU", arena.device().str());
  find_layers(objective.module());
  make_buckets();
  if (two_pass_ != nullptr) two_pass_->share_batches(&ranks_);
  for (BatchNormLayer* layer : synchronised_)
    layer->synchronise([this](std::span<double> values) { ranks_.sum(values); });
}

RankSums::~RankSums() {
  try {
    ranks_.wait_for_sums();  // whose memory may be gone after this
  } catch (const Error&) {   // of a batch that another exception has ended
  }
  if (two_pass_ != nullptr) two_pass_->share_batches(nullptr);
  for (BatchNormLayer* layer : synchronised_) layer->synchronise({});
}

void RankSums::find_layers(Module& module) {
  if (auto* layer = dynamic_cast<BatchNormLayer*>(&module)) {
    const BatchNormParams params = layer->params();
    if (sync_batch_norm_)
      synchronised_.push_back(layer);
    else
      statistics_.push_back({.momentum = layer->momentum(),
                             .passes = params.batches_tracked,
                             .moving = {params.running_mean, params.running_var}});
  }
  for (const auto& child : module.children()) find_layers(*child);
}

void RankSums::begin() {
  for (Bucket& bucket : buckets_) bucket.missing = bucket.segments;
  for (Statistics& s : statistics_) {
    s.passes_before = s.passes.data<std::int32_t>()[0];
    s.before.clear();
    for (const Tensor& r : s.moving) s.before.push_back(read(r));
  }
}

// From the last parameter to the first, as a backward pass completes them.
void RankSums::make_buckets() {
  const auto enough = static_cast<std::int64_t>(static_cast<std::size_t>(ranks_.size()) *
                                                Collective::bytes_at_a_time / size_of(arena_.dtype()));
  std::int64_t end = arena_.elements();
  for (std::size_t i = arena_.segments().size(); i-- > 0;) {
    const std::int64_t begin = arena_.segments()[i].offset;
    if (buckets_.empty() || buckets_.back().end - buckets_.back().begin >= enough)
      buckets_.push_back({.begin = begin, .end = end, .segments = 0});
    buckets_.back().begin = end = begin;
    ++buckets_.back().segments;
    bucket_of_[arena_.params()[i]->value.node().get()] = buckets_.size() - 1;
  }
}

void RankSums::start_sum(Bucket& bucket) {
  start_sum_over_ranks(ranks_, arena_.grads().flat(bucket.begin, {bucket.end - bucket.begin}));
  bucket.missing = 0;
}

std::function<void(const Node&)> RankSums::sum_when_complete() {
  return [this](const Node& leaf) {
    const auto of = bucket_of_.find(&leaf);
    if (of == bucket_of_.end()) return;
    Bucket& bucket = buckets_[of->second];
    if (--bucket.missing == 0) start_sum(bucket);
  };
}

void RankSums::add_up(const Tensor& sums) {
  for (Bucket& bucket : buckets_)
    if (bucket.missing > 0) start_sum(bucket);
  start_sum_over_ranks(ranks_, sums);
  ranks_.wait_for_sums();
  combine_statistics();
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
