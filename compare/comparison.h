// What runs came to: read from their directories, grouped by what was compared, averaged over the seeds.
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

namespace lamina::compare {

struct Statistic {
  double mean = 0;
  double std = 0;         // of the sample (n − 1); 0 for one value
  std::size_t count = 0;  // values it was made of; with 0 of them there is nothing to show
};
Statistic statistic(const std::vector<double>& values);

// A row of epochs.csv. Accuracies in 0 … 1. What was not measured after the epoch is NaN, accuracies too
// where the objective knows none.
struct EpochRow {
  std::int64_t epoch = 0;
  double train_loss = 0, train_accuracy = 0, test_loss = 0, test_accuracy = 0;
  double seconds = 0, images_per_s = 0;
  double valid_accuracy = std::numeric_limits<double>::quiet_NaN();
  double valid_loss = std::numeric_limits<double>::quiet_NaN();
  // Of the test images by their nearest neighbours, in pretraining.
  double knn_accuracy = std::numeric_limits<double>::quiet_NaN();
  double lambda_1 = std::numeric_limits<double>::quiet_NaN();  // the largest eigenvalue of the loss's Hessian
  std::vector<double> quantities = {};                         // as RunResult::quantities names them
};

std::string lambda_1_text(const Statistic& s, const char* plus_minus);  // "12.34 ± 0.56"

struct RunResult {
  std::filesystem::path path;
  std::string label;  // the caller's name for the contender; empty: how its options differ from the others'
  std::string data;   // what its data are called among the runs of a comparison; empty before group_runs()
  nlohmann::json config;                     // config.json
  std::vector<EpochRow> epochs;              // through the last whole row
  std::vector<std::string> quantities = {};  // what was measured in training beside loss and accuracy
  std::string failure;                       // what failure.txt says; empty where there is none
  std::string curvature;                     // how it was measured (describe_curvature()); empty: it was not
  bool complete = false;                     // it came to its end, and no failure is noted
  nlohmann::json evaluations =
      nlohmann::json::object();  // of its final features: what knn.json … hold, by name

  std::uint64_t seed() const;
  // Of the tested epochs the one of the highest accuracy in validation, or in the test without one; the first
  // of equals; null if never tested.
  const EpochRow* best() const;
  bool validated() const;        // the best epoch was chosen by held-out training images
  const EpochRow* last() const;  // the last tested one; null if never tested
  // Of the final weights where that was evaluated, else after the last epoch that has one; NaN if none has.
  double knn_accuracy() const;
  double evaluated_accuracy(const std::string& evaluation) const;  // "linear"; NaN if it was not
  double lambda_1() const;  // after the last epoch that has one; NaN if none has
};

// The evaluations kept in a folder, by name. Throws Error for a file that holds none.
nlohmann::json read_evaluations_in(const std::filesystem::path& folder);

// Throws Error if the folder is no run directory or a file in it is damaged. A run that was stopped, or that
// has not finished an epoch, is read as far as it got. Line ends in the label become spaces, and
// what else cannot be shown is written as \xNN.
RunResult read_run_result(const std::filesystem::path& run, std::string label = "");

// Runs that differ in the seed alone (and in options that change no result).
struct Group {
  std::string label;            // never empty; no two groups have the same
  std::vector<RunResult> runs;  // in the order given
  // Over the complete runs: `best` is each run's best epoch, `last` its last tested one.
  Statistic best_accuracy, best_epoch, last_accuracy, knn_accuracy, linear_accuracy,
      linear_as_official_accuracy, last_test_loss, last_train_loss, seconds;
  Statistic lambda_1;  // the last one measured; none where the runs measured it in different ways

  std::size_t complete() const;             // how many runs are
  const RunResult& representative() const;  // the first complete run, else the first
  // The complete runs; without any, all.
  std::vector<const RunResult*> averaged_runs() const;
  // The first complete run with such a file, else the first that has it; null if none has.
  const RunResult* first_with(const std::string& file) const;
  // How the averaged runs measured their curvature: of more than one way no mean would make sense.
  std::set<std::string> curvatures() const;
};

// The statistics of a group's complete runs.
void average(Group& group);

// Runs of equal label, options, but for the seed, and data, wherever those lie, make a group; groups and runs
// keep the order given.
std::vector<Group> group_runs(const std::vector<RunResult>& runs);

// "3", or for a group with unfinished runs: "2 of 3, 1 failed: training diverged in epoch 1 …".
std::string describe_runs(const Group& group);

// An option of a run that its results depend on, as text: "batch", "256". One that was not given has the
// value that the run made of it (its preset's momentum, say), else "default".
struct DescribedOption {
  std::string name, value;
  bool is_default = false;  // of the program
};
std::vector<DescribedOption> describe_options(const RunResult& run);  // all but the seed

}  // namespace lamina::compare
