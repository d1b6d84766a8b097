#include "train/gradient_buckets.h"

#include <span>

#include "core/base/error.h"

namespace lamina::train {

// From the last parameter to the first, as a backward pass completes them.
GradientBuckets::GradientBuckets(Collective& ranks, const Arena& arena) : ranks_(ranks), arena_(arena) {
  const auto enough = static_cast<std::int64_t>(static_cast<std::size_t>(ranks.size()) *
                                                Collective::bytes_at_a_time / size_of(arena.dtype()));
  std::int64_t end = arena.elements();
  for (std::size_t i = arena.segments().size(); i-- > 0;) {
    const std::int64_t begin = arena.segments()[i].offset;
    if (buckets_.empty() || buckets_.back().end - buckets_.back().begin >= enough)
      buckets_.push_back({.begin = begin, .end = end, .segments = 0});
    buckets_.back().begin = end = begin;
    ++buckets_.back().segments;
    bucket_of_[arena.params()[i]->value.node().get()] = buckets_.size() - 1;
  }
}

GradientBuckets::~GradientBuckets() {
  try {
    ranks_.wait_for_sums();  // whose memory may be gone after this
  } catch (...) {            // of a batch that another exception has ended
  }
}

void GradientBuckets::begin() {
  for (Bucket& bucket : buckets_) bucket.missing = bucket.segments;
  complete_.clear();
}

std::function<void(const Node&)> GradientBuckets::sum_when_complete() {
  return [this](const Node& leaf) {
    const auto of = bucket_of_.find(&leaf);
    if (of == bucket_of_.end()) return;
    check(complete_.insert(&leaf).second,
          "sums over ranks: a second backward() within the last part of a batch, whose gradients are being "
          "summed; an objective's loss() must leave backward() to the trainer");
    Bucket& bucket = buckets_[of->second];
    if (--bucket.missing == 0) start_sum(bucket);
  };
}

void GradientBuckets::sum_rest() {
  for (Bucket& bucket : buckets_)
    if (bucket.missing > 0) start_sum(bucket);
  ranks_.wait_for_sums();
}

void GradientBuckets::start_sum(Bucket& bucket) {
  const Tensor gradients = arena_.grads().flat(bucket.begin, {bucket.end - bucket.begin});
  visit_floating(gradients.dtype(), "sum over ranks", [&](auto zero) {
    ranks_.start_sum(
        std::span(gradients.data<decltype(zero)>(), static_cast<std::size_t>(gradients.elements())));
  });
  gradients.bump_version();
  bucket.missing = 0;
}

}  // namespace lamina::train
