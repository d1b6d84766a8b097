#include "train/objectives/two_views.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "core/autograd.h"
#include "core/base/error.h"
#include "core/base/option_name.h"
#include "core/base/rounding.h"
#include "core/ops/elementwise.h"
#include "core/ops/reduce.h"
#include "core/ops/shape_ops.h"

namespace lamina {
namespace {

std::string among(std::int64_t ranks) { return ranks > 1 ? fmt::format(" among {} ranks", ranks) : ""; }

}  // namespace

TwoViewObjective::TwoViewObjective(Module& net, const TwoViewOptions& options)
    : net_(net), options_(options) {
  if (options.bn_batch < 0 || options.bn_batch == 1) {
    fail_usage("{} {}: a variance takes at least 2 samples; expected 2 or more, or 0 for all at once",
               option_name("bn_batch"), options.bn_batch);
  }
  if (!(options.gradient_scale > 0 && std::isfinite(options.gradient_scale))) {
    fail_usage("{} {}: expected a positive number", option_name("gradient_scale"), options.gradient_scale);
  }
}

std::vector<std::pair<std::string, std::string>> TwoViewObjective::options() const {
  return {{"bn_batch", fmt::format("{}", options_.bn_batch)},
          {"gradient_scale", fmt::format("{}", options_.gradient_scale)}};
}

void TwoViewObjective::check_loader(const data::Loader& loader) const {
  const data::LoaderOptions& options = loader.options();
  const std::int64_t batch = options.batch, bn_batch = options_.bn_batch, ranks = options.share.of;
  const std::int64_t share = batch / ranks;  // the smallest
  const bool in_parts = options.micro_batch > 0 && options.micro_batch < share;
  const std::int64_t part = in_parts ? options.micro_batch : share;
  const char* const limit = in_parts ? "micro_batch" : "batch";
  if (options.views != 2)
    fail_usage("objective {}: {} {}: it compares 2 views of every image", name(), option_name("views"),
               options.views);
  if (part < 2)
    fail_usage("objective {}: {} {}{}: it compares samples, and a variance takes at least 2", name(),
               option_name(limit), in_parts ? part : batch, among(ranks));
  if (bn_batch > part) {
    fail_usage(
        "objective {}: {} {} with {} {}{}: batch statistics over more samples than are computed at once "
        "would take one more pass for every normalised layer; give parts of at least as many, or a "
        "smaller {}",
        name(), option_name("bn_batch"), bn_batch, option_name(limit), in_parts ? part : batch, among(ranks),
        option_name("bn_batch"));
  }
  if (bn_batch > 0 && part < batch && (part % bn_batch != 0 || batch % ranks != 0)) {
    fail_usage(
        "objective {}: {} {}{} is no multiple of {} {}: samples that are normalised together have to be "
        "in one part",
        name(), option_name(limit), in_parts ? part : batch, among(ranks), option_name("bn_batch"), bn_batch);
  }
  for (const std::int64_t samples : {batch, loader.samples() % batch}) {
    for (const std::int64_t size : {samples / ranks, ceil_div(samples, ranks)}) {
      const std::int64_t together = bn_batch > 0 ? bn_batch : in_parts ? part : size;
      if (together == 0 || (size % together != 1 && size != 1)) continue;
      fail_usage(
          "objective {}: a batch of {}{} leaves one sample beside those normalised {} at a time, and a "
          "variance takes at least 2; choose another {}{}",
          name(), samples, among(ranks), together, option_name(bn_batch > 0 ? "bn_batch" : limit),
          samples == batch ? ""
          : has_option("drop_last")
              ? fmt::format(", or leave out the last batch by {}", option_name("drop_last"))
              : ", or leave out the last batch");
    }
  }
}

// bf16 embeddings are compared in f32.
train::Embeddings TwoViewObjective::embed(const data::Part& part) {
  const std::int64_t samples = part.size();
  const std::int64_t together = options_.bn_batch > 0 ? std::min(options_.bn_batch, samples) : samples;
  std::vector<Tensor> a, b;
  for (std::int64_t first = 0; first < samples; first += together) {
    const std::int64_t count = std::min(together, samples - first);
    a.push_back(net_(part.view(0).rows(first, count)));
    b.push_back(net_(part.view(1).rows(first, count)));
  }
  train::Embeddings z{a.size() > 1 ? concat(a, 0) : a[0], b.size() > 1 ? concat(b, 0) : b[0]};
  if (z.a.dtype() == DType::bf16) z = {cast(z.a, DType::f32), cast(z.b, DType::f32)};
  embedding_size_ = z.a.size(-1);
  batch_samples_ = part.batch_samples;
  return z;
}

PartLoss TwoViewObjective::summed(PartLoss of_batch, std::int64_t samples) const {
  for (Tensor& metric : of_batch.metrics) metric = metric * static_cast<double>(samples);
  return of_batch;
}

PartLoss TwoViewObjective::loss(const data::Part& part) {
  const train::Embeddings z = embed(part);
  const Scope scope("loss of " + name());
  PartLoss result = whole_loss(z);
  if (options_.gradient_scale != 1) {
    result.loss =
        result.loss.detach() * (1 - options_.gradient_scale) + result.loss * options_.gradient_scale;
  }
  return summed(std::move(result), part.size());
}

PartLoss TwoViewObjective::evaluate(const data::Part&) {
  fail(
      "objective {}: compares augmented views of training images, and has no loss of test images; measure "
      "the features of its backbone instead",
      name());
}

void TwoViewObjective::collect(const data::Part& part) {
  const NoGrad no_grad;
  if (part.begins_pass) {
    batch_ = new_batch();
    own_.clear();
    buffers_.emplace(net_);
    begin_ = ranks() != nullptr ? part.offset : 0;
    collected_ = 0;
  }
  check(batch_ != nullptr && part.offset == begin_ + collected_,
        "objective {}: a part came that begins with sample {} of its batch; expected {}", name(), part.offset,
        begin_ + collected_);
  {
    const train::SpareBuffers::InUse in_use(*buffers_);
    const train::Embeddings z = embed(part);
    ranks() != nullptr ? own_.push_back(z) : batch_->add(z);
  }
  collected_ += part.size();
}

// In the order of the batch: where a rank's share lies the others have zeros, and the sum is exact.
train::Embeddings TwoViewObjective::of_all_ranks() {
  const auto gathered = [&](Tensor train::Embeddings::*view) {
    const Tensor& like = own_.front().*view;
    const Tensor all = Tensor::zeros({batch_samples_, like.size(1)}, like.options());
    std::int64_t row = begin_;
    for (const train::Embeddings& z : own_) {
      all.rows(row, (z.*view).size(0)).copy_from(z.*view);
      row += (z.*view).size(0);
    }
    visit_floating(all.dtype(), "embeddings of all ranks", [&](auto zero) {
      ranks()->sum(std::span(all.data<decltype(zero)>(), static_cast<std::size_t>(all.elements())));
    });
    return all;
  };
  train::Embeddings all{gathered(&train::Embeddings::a), gathered(&train::Embeddings::b)};
  own_.clear();
  collected_ = batch_samples_;
  return all;
}

PartLoss TwoViewObjective::collected_loss() {
  const NoGrad no_grad;
  const Scope scope("loss of " + name());
  check(batch_ != nullptr, "objective {}: no part has been collected", name());
  buffers_.reset();
  if (ranks() != nullptr) batch_->add(of_all_ranks());
  PartLoss of_batch = summed(batch_->finish(), collected_);
  if (ranks() != nullptr && ranks()->rank() > 0) {
    of_batch.loss = of_batch.loss * 0.0;
    for (Tensor& metric : of_batch.metrics) metric = metric * 0.0;
  }
  return of_batch;
}

Tensor TwoViewObjective::product_with_gradient(const data::Part& part) {
  check(batch_ != nullptr && collected_ == part.batch_samples,
        "objective {}: the second pass over a batch of {} samples, of which {} were collected in the first",
        name(), part.batch_samples, collected_);
  const train::Embeddings z = embed(part);
  const train::Embeddings gradient = [&] {
    const NoGrad no_grad;
    return batch_->gradients({z.a.detach(), z.b.detach()}, part.offset);
  }();
  if (part.completes_batch) batch_.reset();
  return (sum(z.a * gradient.a) + sum(z.b * gradient.b)) * options_.gradient_scale;
}

}  // namespace lamina
