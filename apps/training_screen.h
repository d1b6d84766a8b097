// What a training run shows on the terminal: an observer of its trainer.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "apps/progress.h"
#include "apps/watch.h"
#include "train/observer.h"

namespace lamina::app {

// "train loss 0.5123  acc 81.02 %": the loss and the objective's metrics, accuracies in percent.
std::string describe_metrics(const Objective& objective, const Metrics& metrics, const std::string& what);

// A number of EpochResult::measured as it is shown, and what of: {"knn accuracy", "44.50 %"} of knn_accuracy;
// "-" where it was not measured.
struct ShownNumber {
  std::string name, value;
};
ShownNumber shown(const std::string& column, double value);

class TrainingScreen final : public Observer {
 public:
  // eval_every: epochs between tests, for the time left.
  // `run_name`: of a run that is one of many, for what is told of it alone.
  TrainingScreen(Progress& progress, std::int64_t eval_every, std::string run_name = "")
      : progress_(progress), eval_every_(eval_every), run_name_(std::move(run_name)) {}

  std::string name() const override { return "progress"; }
  void start(const TrainingRun& run) override;
  void step(TrainedStep& step) override;
  void part_done(std::int64_t samples, std::int64_t of) override;
  void testing(std::int64_t samples, std::int64_t of) override;
  void epoch(const EpochResult& result) override;

  // The last epoch's numbers of EpochResult::measured.
  std::vector<ShownNumber> measured() const;

 private:
  using Clock = std::chrono::steady_clock;
  double seconds_left() const;
  void warn_of_collapse(const EpochResult& result);

  Progress& progress_;
  std::int64_t eval_every_;
  std::string run_name_;
  const TrainingRun* run_ = nullptr;
  std::int64_t first_step_ = 0;  // taken before this process took the run up
  std::optional<Watch> watch_;
  std::optional<Metrics> first_epoch_;           // of those that this process has seen
  bool warned_ = false;                          // of a collapse
  double step_seconds_ = 0;                      // recent mean
  double test_seconds_ = 0;                      // of the last test
  std::optional<Clock::time_point> test_start_;  // of the one that goes on
};

}  // namespace lamina::app
