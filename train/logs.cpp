#include "train/logs.h"

#include <fmt/format.h>

#include <cmath>
#include <set>

#include "core/base/error.h"

namespace lamina::train {
namespace {

// ",PREFIXloss,PREFIXaccuracy"
std::string metric_columns(const Objective& objective, const std::string& prefix) {
  std::string text = "," + prefix + "loss";
  for (const MetricInfo& metric : objective.metrics()) text += "," + prefix + metric.name;
  return text;
}

std::string step_columns(const TrainingRun& run, const std::vector<std::string>& measured) {
  std::string text = "step,epoch,lr,phi" + metric_columns(run.objective, "") + ",seconds,images_per_s";
  for (const std::string& name : measured) text += "," + name;
  return text;
}

std::string epoch_columns(const TrainingRun& run, const std::vector<std::string>& measured, bool validates) {
  std::string text = "epoch" + metric_columns(run.objective, "train_") +
                     (validates ? metric_columns(run.objective, "valid_") : "") +
                     metric_columns(run.objective, "test_") + ",seconds,images_per_s";
  for (const std::string& name : measured) text += "," + name;
  return text;
}

std::string measured_cells(const std::vector<double>& measured) {
  std::string text;
  for (const double value : measured) text += std::isnan(value) ? "," : fmt::format(",{}", value);
  return text;
}

void check_names(std::set<std::string> names, const std::vector<std::string>& own) {
  for (const std::string& name : own) {
    if (name.empty() || name.find_first_of(",\"\r\n") != std::string::npos)
      fail_usage("\"{}\" cannot head a column of the logs; expected a name without comma, quote or line end",
                 name);
    if (!names.insert(name).second)
      fail_usage("two columns of the logs would be called {}; give observers and metrics names of their own",
                 name);
  }
}

// Empty cells for what was not measured.
std::string cells(const Metrics& metrics, std::size_t count) {
  if (metrics.samples == 0) return std::string(count + 1, ',');
  std::string text = fmt::format(",{}", metrics.loss());
  for (std::size_t i = 0; i < count; ++i) text += fmt::format(",{}", metrics.mean(i));
  return text;
}

}  // namespace

void check_columns(const TrainingRun& run, const std::vector<std::string>& of_steps,
                   const std::vector<std::string>& of_epochs) {
  std::vector<std::string> own = of_steps;
  std::set<std::string> of_every_epoch{"epoch",      "seconds",    "images_per_s",
                                       "train_loss", "valid_loss", "test_loss"};
  for (const MetricInfo& metric : run.objective.metrics()) {
    own.push_back(metric.name);
    for (const char* prefix : {"train_", "valid_", "test_"}) of_every_epoch.insert(prefix + metric.name);
  }
  check_names({"step", "epoch", "lr", "phi", "loss", "seconds", "images_per_s"}, own);
  check_names(std::move(of_every_epoch), of_epochs);
}

RunLogs::RunLogs(const TrainingRun& run, const std::vector<std::string>& of_steps,
                 const std::vector<std::string>& of_epochs, bool validates)
    : metrics_(run.objective.metrics().size()),
      validates_(validates),
      steps_(run.directory / "steps.csv", step_columns(run, of_steps), run.position.step),
      epochs_(run.directory / "epochs.csv", epoch_columns(run, of_epochs, validates), run.position.epoch) {}

void RunLogs::add(const TrainedStep& step) {
  steps_.add(fmt::format("{},{},{},{}{},{:.6f},{:.1f}", step.report.step, step.epoch, step.report.lr,
                         step.report.phi, cells(step.metrics, metrics_), step.seconds,
                         static_cast<double>(step.metrics.samples) / step.seconds) +
             measured_cells(step.measured));
}

void RunLogs::add(const EpochResult& result, std::int64_t samples) {
  epochs_.add(fmt::format("{}{}{}{},{:.3f},{:.1f}", result.epoch, cells(result.train, metrics_),
                          validates_ ? cells(result.valid, metrics_) : "", cells(result.test, metrics_),
                          result.seconds, static_cast<double>(samples) / result.seconds) +
              measured_cells(result.measured));
}

void RunLogs::flush() { steps_.flush(); }

void RunLogs::sync() {
  steps_.sync();
  epochs_.sync();
}

}  // namespace lamina::train
