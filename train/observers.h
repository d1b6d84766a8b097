// The observers of a run. Each is told of what happens until it throws; the others are told all the same, so
// that their files stay in step.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "train/observer.h"

namespace lamina::train {

class Observers {
 public:
  void add(Observer& observer) { watchers_.push_back({&observer}); }

  // Throws Error naming the first that throws; UsageError and OutOfMemory pass as they are.
  void start(const TrainingRun& run);

  std::vector<std::string> columns() const;        // of steps.csv, of all of them in turn
  std::vector<std::string> epoch_columns() const;  // of epochs.csv
  bool wants_parts() const;

  bool tell(const std::function<void(Observer&)>& event);  // false: one has failed now
  // Each appends its values to TrainedStep::measured; those of one that has failed are empty cells.
  void step(TrainedStep& step);
  // The same with EpochResult::measured; false: a signal came in between.
  bool measure(EpochResult& result);

  struct Failure {
    std::string observer, what;
    bool has_columns = false;
  };
  const Failure* failure() const;  // of the first that has failed; null: all is well

 private:
  struct Watcher {
    Observer* observer;
    std::optional<Failure> failure = {};
  };
  static bool tell(Watcher& watcher, const std::function<void(Observer&)>& event);

  std::vector<Watcher> watchers_;
};

}  // namespace lamina::train
