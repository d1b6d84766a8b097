#include "train/noise_scale.h"

#include <array>
#include <utility>

#include "core/base/error.h"
#include "core/base/option_name.h"
#include "optim/norms.h"

namespace lamina {

NoiseEstimator::NoiseEstimator(Tensor grads)
    : grads_(std::move(grads)), before_(Tensor::zeros_like(grads_)) {}

void NoiseEstimator::add_part(std::int64_t samples, std::int64_t batch) {
  const double share = static_cast<double>(batch) / static_cast<double>(samples);
  squares_ += share * share * squared_distance(grads_, before_);
  shares_ += 1 / static_cast<double>(samples);
  before_.copy_from(grads_);
  ++parts_;
  batch_ = batch;
}

void NoiseEstimator::add_up(Collective& ranks) {
  std::array sums{squares_, shares_, static_cast<double>(parts_)};
  ranks.sum(sums);
  squares_ = sums[0], shares_ = sums[1], parts_ = static_cast<std::int64_t>(sums[2]);
  before_.copy_from(grads_);
}

// E|g|^2 = |G|^2 + S / b holds for the mean gradient g of b samples, so for each part and for the whole
// batch. The mean over the parts and the batch are two equations for |G|^2 and S.
std::optional<GradientNoise> NoiseEstimator::finish() {
  const double parts = static_cast<double>(parts_), batch = static_cast<double>(batch_);
  const Tensor last = before_;
  before_ = Tensor::zeros_like(grads_);
  const double small = squares_ / parts, large = squared_norm(last);
  const double variance = (small - large) / (shares_ / parts - 1 / batch);
  const GradientNoise noise{.variance = variance, .squared = large - variance / batch};
  const bool measured = parts_ > 1;
  squares_ = shares_ = 0;
  parts_ = 0;
  return measured ? std::optional(noise) : std::nullopt;
}

void check_noise_scale(const data::LoaderOptions& loader) {
  if (loader.share.of > 1 || (loader.micro_batch > 0 && loader.micro_batch < loader.batch)) return;
  fail_usage("{} compares the parts of a batch: give a {} smaller than {} {}", option_name("noise_scale"),
             option_name("micro_batch"), option_name("batch"), loader.batch);
}

void NoiseScale::start(const TrainingRun& run) {
  if (run.objective.needs_whole_batch()) {
    fail_usage(
        "{}: the loss of {} is of a whole batch, so that the gradients of its parts are no samples of one",
        option_name("noise_scale"), run.objective.name());
  }
  check_noise_scale(run.loader.options());
  estimator_.emplace(run.optimizer.arena().grads());
  ranks_ = run.ranks;
}

void NoiseScale::batch() {
  if (ranks_ != nullptr) estimator_->add_up(*ranks_);
}

void NoiseScale::step(TrainedStep& step) {
  const std::optional<GradientNoise> noise = estimator_->finish();
  for (const double value :
       {noise ? noise->variance : no_measurement, noise ? noise->squared : no_measurement,
        noise ? noise->scale() : no_measurement})
    step.measured.push_back(value);
}

}  // namespace lamina
