// The logs of a run: steps.csv and epochs.csv in its directory.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/base/csv.h"
#include "train/observer.h"

namespace lamina::train {

// Throws UsageError unless the names of `of_steps`, `of_epochs` and the objective's metrics can head columns:
// none twice in a file, none of those that are there anyway, no comma, quote or line end in them.
void check_columns(const TrainingRun& run, const std::vector<std::string>& of_steps,
                   const std::vector<std::string>& of_epochs);

class RunLogs {
 public:
  // `of_steps`: the names of TrainedStep::measured, `of_epochs` those of EpochResult::measured; `validates`:
  // whether there is a validation split. A resumed run's rows beyond its position are cut off. Throws Error
  // if a file cannot be written or has other columns.
  RunLogs(const TrainingRun& run, const std::vector<std::string>& of_steps,
          const std::vector<std::string>& of_epochs, bool validates);

  void add(const TrainedStep& step);
  void add(const EpochResult& result, std::int64_t samples);  // samples: trained on in the epoch
  void flush();
  void sync();  // returns when all is on the disk; throws Error

 private:
  std::size_t metrics_;
  bool validates_;
  CsvFile steps_, epochs_;
};

}  // namespace lamina::train
