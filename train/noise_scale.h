// The gradient noise scale (McCandlish et al. 2018, "An Empirical Model of Large-Batch Training", appendix
// A.1): from how far the gradients of a batch's parts lie apart, the batch size beyond which larger batches
// save few steps.
#pragma once

#include <cstdint>
#include <optional>

#include "core/tensor.h"
#include "train/observer.h"

namespace lamina {

// Unbiased, but of one batch only, so noisy: either may be negative. Average each over many steps, then
// divide.
struct GradientNoise {
  double variance = 0;                                 // S = tr(Sigma), of the gradients of single samples
  double squared = 0;                                  // |G|^2, of the true gradient
  double scale() const { return variance / squared; }  // in samples
};

class NoiseEstimator {
 public:
  // `grads` is where the gradients of the loss accumulate, part after part: f32 or f64.
  explicit NoiseEstimator(Tensor grads);

  // After the backward pass of each part, whose loss is the sum over its samples divided by those of the
  // batch.
  void add_part(std::int64_t samples, std::int64_t batch);

  // After the last part, where `ranks` have computed others of the batch: the estimates become those of all
  // parts, the same on all ranks. The gradients have been added up over the ranks before.
  void add_up(Collective& ranks);

  // After the last part; the next batch begins, from gradients of zero. Nothing for a batch of a single part.
  std::optional<GradientNoise> finish();

 private:
  Tensor grads_, before_;  // before_: as the previous part left them
  double squares_ = 0;     // sum over parts of |g_i|^2, g_i the mean gradient of part i
  double shares_ = 0;      // sum over parts of 1 / b_i, b_i its samples
  std::int64_t parts_ = 0, batch_ = 0;
};

// Throws UsageError unless batches come in parts, or several ranks share them.
void check_noise_scale(const data::LoaderOptions& loader);

// Measures it in every step of a run whose batches come in parts, which may be those of several ranks:
// columns grad_variance, grad_squared and noise_scale of steps.csv, empty where a batch was a single part.
class NoiseScale final : public Observer {
 public:
  std::string name() const override { return "noise scale"; }
  void start(const TrainingRun& run) override;
  std::vector<std::string> columns() const override {
    return {"grad_variance", "grad_squared", "noise_scale"};
  }
  bool wants_parts() const override { return true; }
  void part(const data::Part& part) override { estimator_->add_part(part.size(), part.batch_samples); }
  void batch() override;
  void step(TrainedStep& step) override;

 private:
  Collective* ranks_ = nullptr;
  std::optional<NoiseEstimator> estimator_;
};

}  // namespace lamina
