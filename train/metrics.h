// What training and tests measure: means over samples, kept as sums, so that parts of an epoch add up exactly
// however it was interrupted.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lamina {

// One quantity beside the loss, such as the accuracy (0 … 1).
struct MetricInfo {
  std::string name;  // a column of the logs: "accuracy"
  bool higher_is_better = true;
};

struct Metrics {
  std::int64_t samples = 0;
  double loss_sum = 0;
  std::vector<double> sums = {};  // of the objective's metrics, in their order

  // NaN of no samples: nothing was measured.
  double loss() const;
  double mean(std::size_t metric) const;
  void add(const Metrics& other);
};

struct EpochResult {
  std::int64_t epoch = 0;         // from 1; 0: none yet
  Metrics train;                  // while the weights moved
  Metrics valid = {}, test = {};  // without samples: not measured after this epoch
  double seconds = 0;             // of training
  // Of several ranks on CPUs, each rank's seconds of training outside of waiting for others: those that this
  // process has seen of the epoch. Not kept in a checkpoint.
  std::vector<double> rank_seconds = {};
  std::vector<double> measured = {};  // what observers add to a row of epochs.csv; NaN: an empty cell
};

// Where a run is: what a checkpoint holds beside the tensors.
struct TrainingPosition {
  std::int64_t step = 0;                  // optimizer steps taken
  std::int64_t epoch = 0;                 // being trained, from 0
  std::int64_t batch = 0;                 // the next one of this epoch
  Metrics metrics = {};                   // of this epoch so far
  double epoch_seconds = 0, seconds = 0;  // spent training: in this epoch, in all
  EpochResult best = {};                  // chosen by the validation split, or by the test without one
  EpochResult last = {};                  // the last epoch
  std::int64_t epochs_since_best = 0;     // epochs validated since then
};

}  // namespace lamina
