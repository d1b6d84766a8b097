// Observers look on while a Trainer trains: traces, logs of one's own, screens. All members but name() may be
// left as they are. If one throws, the run is saved and ends with an Error that names the observer; if save()
// does, without a checkpoint. On a GPU the weights may be up to 16 steps ahead of a step that is told. A
// learning rate that an observer sets is not kept for a resumption: only a Schedule is.
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "core/parallel/collective.h"
#include "data/loader.h"
#include "optim/optimizer.h"
#include "train/metrics.h"
#include "train/objective.h"

namespace lamina {

// What is being trained. It stays where it is while the run goes on.
struct TrainingRun {
  Objective& objective;
  Optimizer& optimizer;
  const data::Loader& loader;
  std::filesystem::path directory;  // empty: nothing is written
  std::int64_t epochs = 0;
  bool resumed = false;              // a run of this directory goes on,
  std::filesystem::path checkpoint;  // from here; empty: from the start, there was no checkpoint yet
  const TrainingPosition& position;
  std::vector<std::string> epoch_columns = {};  // names of EpochResult::measured, of all observers
  Collective* ranks = nullptr;  // that have the other shares of the loader's batches; null: they are whole
};

// One step that was taken.
struct TrainedStep {
  std::int64_t epoch = 0;  // from 1
  Metrics metrics;
  StepReport report;
  double seconds = 0;
  std::vector<double> measured = {};  // what observers add to a row of steps.csv; NaN: an empty cell
};

inline constexpr double no_measurement = std::numeric_limits<double>::quiet_NaN();

class Observer {
 public:
  Observer() = default;
  Observer(const Observer&) = delete;
  Observer& operator=(const Observer&) = delete;
  virtual ~Observer() = default;

  virtual std::string name() const = 0;  // in messages

  virtual void start(const TrainingRun&) {}  // before the first step, or the first after a resumption

  // Names of the numbers that it appends to TrainedStep::measured in each step: columns of steps.csv.
  virtual std::vector<std::string> columns() const { return {}; }

  // Whether part() and batch() are wanted: on a GPU steps are then neither captured nor read late.
  virtual bool wants_parts() const { return false; }
  virtual void part(const data::Part&) {}  // its gradients have been added; the optimizer has not stepped yet
  virtual void batch() {}                  // after its last part: those of several ranks have been added up
  // After every part: so many samples of a step's batch are computed (on a GPU: handed to it). Unlike part()
  // it costs nothing; the last call of a step comes before step().
  virtual void part_done(std::int64_t /*samples*/, std::int64_t /*of*/) {}
  virtual void step(TrainedStep&) {}

  // Names of the numbers that measure() appends to EpochResult::measured: columns of epochs.csv.
  virtual std::vector<std::string> epoch_columns() const { return {}; }
  // After an epoch, before its row is written. False: a signal came in between; a resumed run asks again.
  virtual bool measure(EpochResult&) { return true; }

  virtual void testing(std::int64_t /*samples*/, std::int64_t /*of*/) {}  // while a split is measured
  virtual void epoch(const EpochResult&) {}                               // trained, and measured where due

  virtual void save() {}    // before each checkpoint: bring to the disk what belongs to it
  virtual void finish() {}  // after the last epoch, when the final weights are written
};

}  // namespace lamina
