// The training loop: the one place where layers, optim and data meet.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>

#include "apps/checkpoint.h"
#include "apps/csv.h"
#include "apps/noise_scale.h"
#include "apps/progress.h"
#include "apps/run_directory.h"
#include "apps/trace.h"
#include "apps/train_options.h"
#include "apps/training_setup.h"
#include "apps/training_step.h"
#include "apps/watch.h"
#include "core/error.h"

namespace lamina {

// The loss, a gradient or a trust ratio stopped being finite: nothing is wrong but the options.
class Diverged : public Error {
 public:
  using Error::Error;
};

class Training {
 public:
  Training(const TrainOptions& options, TrainingSetup& setup, const RunDirectory& run, Progress& progress,
           nlohmann::json config);

  // Goes on where the checkpoint stopped. Throws Error if it belongs to another run.
  void resume(const Checkpoint& checkpoint);

  // Trains to the end, or until Ctrl-C or SIGTERM. Either way everything is saved when it returns: 0, or the
  // signal. Throws Diverged, or Error if a file cannot be written.
  int run();

  const Position& position() const { return position_; }

 private:
  void open_logs();
  void train_epoch();
  void add_noise(const data::Batch& part);
  bool results_due() const;
  void record_results(double seconds);
  bool finish_epoch();  // tests and records it; false: interrupted
  void record_epoch(const EpochResult& result);
  void save();
  void record_step(const StepResult& result, double seconds);
  void show_progress();
  [[noreturn]] void fail_diverged(const std::string& symptom);

  bool finished() const { return position_.epoch == options_.epochs; }
  bool test_due() const;

  const TrainOptions& options_;
  TrainingSetup& setup_;
  const RunDirectory& run_;
  Progress& progress_;
  nlohmann::json config_;
  Position position_;
  std::optional<CsvFile> steps_, epochs_;
  std::optional<Trace> trace_;
  std::optional<Watch> watch_;
  std::optional<NoiseScale> noise_;
  TrainingStep step_;
  bool saved_ = false;       // the newest checkpoint is of this position
  double step_seconds_ = 0;  // recent mean
  double test_seconds_ = 0;  // of the last test
};

}  // namespace lamina
