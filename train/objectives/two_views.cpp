#include "train/objectives/two_views.h"

#include <algorithm>
#include <cmath>

#include "core/autograd.h"
#include "core/base/error.h"
#include "core/base/option_name.h"
#include "core/ops/elementwise.h"
#include "core/ops/reduce.h"
#include "core/ops/shape_ops.h"

namespace lamina {

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
  const std::int64_t batch = options.batch, bn_batch = options_.bn_batch;
  const std::int64_t part = options.micro_batch > 0 ? std::min(options.micro_batch, batch) : batch;
  if (options.views != 2)
    fail_usage("objective {}: {} {}: it compares 2 views of every image", name(), option_name("views"),
               options.views);
  if (batch < 2 || part < 2)
    fail_usage("objective {}: {} {}: it compares samples, and a variance takes at least 2", name(),
               option_name(batch < 2 ? "batch" : "micro_batch"), batch < 2 ? batch : part);
  if (bn_batch > part) {
    fail_usage(
        "objective {}: {} {} with {} {}: batch statistics over more samples than are computed at once "
        "would take one more pass for every normalised layer; give parts of at least as many, or a "
        "smaller {}",
        name(), option_name("bn_batch"), bn_batch, option_name(part < batch ? "micro_batch" : "batch"), part,
        option_name("bn_batch"));
  }
  if (bn_batch > 0 && part < batch && part % bn_batch != 0) {
    fail_usage(
        "objective {}: {} {} is no multiple of {} {}: samples that are normalised together have to be "
        "in one part",
        name(), option_name("micro_batch"), part, option_name("bn_batch"), bn_batch);
  }
  const std::int64_t together = bn_batch > 0 ? bn_batch : part;
  for (const std::int64_t samples : {batch, loader.samples() % batch}) {
    if (samples % together != 1) continue;
    fail_usage(
        "objective {}: a batch of {} leaves one sample beside those normalised {} at a time, and a "
        "variance takes at least 2; choose another {}{}",
        name(), samples, together,
        option_name(bn_batch > 0   ? "bn_batch"
                    : part < batch ? "micro_batch"
                                   : "batch"),
        samples == batch ? ""
        : has_option("drop_last")
            ? fmt::format(", or leave out the last batch by {}", option_name("drop_last"))
            : ", or leave out the last batch");
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
  if (part.offset == 0) {
    batch_ = new_batch();
    buffers_.emplace(net_);
    collected_ = 0;
  }
  check(batch_ != nullptr && part.offset == collected_,
        "objective {}: a part came that begins with sample {} of its batch; expected {}", name(), part.offset,
        collected_);
  {
    const train::SpareBuffers::InUse in_use(*buffers_);
    batch_->add(embed(part));
  }
  collected_ += part.size();
}

PartLoss TwoViewObjective::collected_loss() {
  const NoGrad no_grad;
  const Scope scope("loss of " + name());
  check(batch_ != nullptr, "objective {}: no part has been collected", name());
  buffers_.reset();
  return summed(batch_->finish(), collected_);
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
