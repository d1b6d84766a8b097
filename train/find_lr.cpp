#include "train/find_lr.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "core/base/error.h"
#include "core/base/option_name.h"
#include "optim/state.h"
#include "train/step.h"
#include "train/two_pass.h"

namespace lamina {
namespace {

constexpr double explosion = 4;  // times the lowest loss

// While alive, a module and an optimizer may be trained; then they are what they were.
class PutBack {
 public:
  PutBack(Module& module, Optimizer& optimizer)
      : state_(module.state()), optimizer_(optimizer), lr_(optimizer.lr()) {
    for (const auto& param : state_) values_.push_back(param->value.detach().clone());
    save_state(optimizer, optimizer_state_);
    if (optimizer.schedule() != nullptr) schedule_ = *optimizer.schedule();
  }
  ~PutBack() {
    for (std::size_t i = 0; i < values_.size(); ++i) state_[i]->value.copy_from(values_[i]);
    load_state(optimizer_, optimizer_state_);
    optimizer_.set_lr(lr_);
    if (schedule_) optimizer_.set_schedule(*schedule_);
    optimizer_.zero_grad();
  }
  PutBack(const PutBack&) = delete;
  PutBack& operator=(const PutBack&) = delete;

 private:
  ParamList state_;
  std::vector<Tensor> values_;
  Optimizer& optimizer_;
  TensorFile optimizer_state_;
  double lr_;
  std::optional<Schedule> schedule_;
};

double peak_lr(const Optimizer& optimizer) {
  return optimizer.schedule() != nullptr ? optimizer.schedule()->peak() : optimizer.lr();
}

FindLrOptions checked_options(FindLrOptions options, double lr) {
  if (options.from == 0) options.from = 1e-3 * lr;
  if (options.to == 0) options.to = 1e3 * lr;
  if (!(options.from > 0 && options.to > options.from && std::isfinite(options.to))) {
    fail_usage("find_lr: learning rates {} {}, {} {}: expected finite ones above 0, the second larger",
               option_name("from"), options.from, option_name("to"), options.to);
  }
  if (options.steps < 2)
    fail_usage("find_lr: {} {}: expected at least 2", option_name("steps"), options.steps);
  if (!(options.smoothing >= 0 && options.smoothing < 1))
    fail_usage("find_lr: {} {}: expected at least 0 and less than 1", option_name("smoothing"),
               options.smoothing);
  return options;
}

// Calls `take` with every part of every batch until it returns false.
void for_each_part(const data::Loader& loader, Device device,
                   const std::function<bool(const data::Part&)>& take) {
  for (std::int64_t epoch = 0;; ++epoch)
    for (const data::Part& part : loader.epoch(epoch, device))
      if (!take(part)) return;
}

// Adds a step; whether the loss has exploded.
bool add_trial(LrRange& range, double lr, double loss, double smoothing, double& mean) {
  mean = smoothing * mean + (1 - smoothing) * loss;
  const double weight = 1 - std::pow(smoothing, static_cast<double>(range.trials.size()) + 1);
  range.trials.push_back({.lr = lr, .loss = loss, .smoothed = mean / weight});
  const auto lowest =
      std::min_element(range.trials.begin(), range.trials.end(),
                       [](const LrTrial& a, const LrTrial& b) { return a.smoothed < b.smoothed; });
  range.lowest_at = lowest->lr;
  range.suggestion = lowest->lr / 10;
  return range.trials.back().smoothed > explosion * lowest->smoothed;
}

}  // namespace

LrRange find_lr(Objective& objective, Optimizer& optimizer, const data::Loader& batches,
                const FindLrOptions& given) {
  const data::Loader loader = loader_for(objective, batches, given.sharpness_aware);
  const FindLrOptions options = checked_options(given, peak_lr(optimizer));
  const PutBack put_back(objective.module(), optimizer);
  objective.module().train();
  optimizer.zero_grad();
  train::TrainingStep step(objective, optimizer,
                           {.capture = options.capture, .sharpness_aware = options.sharpness_aware});
  LrRange range;
  double mean = 0;
  const double growth = std::log(options.to / options.from) / static_cast<double>(options.steps - 1);
  for_each_part(loader, optimizer.arena().device(), [&](const data::Part& part) {
    const double lr = options.from * std::exp(growth * static_cast<double>(range.trials.size()));
    optimizer.set_lr(lr);
    step.run(part);
    if (!part.completes_batch) return true;
    const train::StepResults results = step.results();
    check(results.failure.empty() || !range.trials.empty(),
          "find_lr: the first step, with a learning rate of {}, fails: {}", lr, results.failure);
    const bool exploded = !results.failure.empty() ||
                          add_trial(range, lr, results.steps.front().metrics.loss(), options.smoothing, mean);
    if (exploded) range.diverged_at = lr;
    return !exploded && std::ssize(range.trials) < options.steps;
  });
  return range;
}

}  // namespace lamina
