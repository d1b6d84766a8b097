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

std::string epoch_columns(const TrainingRun& run, bool validates) {
  return "epoch" + metric_columns(run.objective, "train_") +
         (validates ? metric_columns(run.objective, "valid_") : "") + metric_columns(run.objective, "test_") +
         ",seconds,images_per_s";
}

// Empty cells for what was not measured.
std::string cells(const Metrics& metrics, std::size_t count) {
  if (metrics.samples == 0) return std::string(count + 1, ',');
  std::string text = fmt::format(",{}", metrics.loss());
  for (std::size_t i = 0; i < count; ++i) text += fmt::format(",{}", metrics.mean(i));
  return text;
}

}  // namespace

void check_columns(const TrainingRun& run, const std::vector<std::string>& measured) {
  std::set<std::string> names{"step", "epoch", "lr", "phi", "loss", "seconds", "images_per_s"};
  std::vector<std::string> own = measured;
  for (const MetricInfo& metric : run.objective.metrics()) own.push_back(metric.name);
  for (const std::string& name : own) {
    if (name.empty() || name.find_first_of(",\"\r\n") != std::string::npos)
      fail_usage("\"{}\" cannot head a column of the logs; expected a name without comma, quote or line end",
                 name);
    if (!names.insert(name).second)
      fail_usage("two columns of the logs would be called {}; give observers and metrics names of their own",
                 name);
  }
}

RunLogs::RunLogs(const TrainingRun& run, const std::vector<std::string>& measured, bool validates)
    : metrics_(run.objective.metrics().size()),
      validates_(validates),
      steps_(run.directory / "steps.csv", step_columns(run, measured), run.position.step),
      epochs_(run.directory / "epochs.csv", epoch_columns(run, validates), run.position.epoch) {}

void RunLogs::add(const TrainedStep& step) {
  std::string row = fmt::format("{},{},{},{}{},{:.6f},{:.1f}", step.report.step, step.epoch, step.report.lr,
                                step.report.phi, cells(step.metrics, metrics_), step.seconds,
                                static_cast<double>(step.metrics.samples) / step.seconds);
  for (const double value : step.measured) row += std::isnan(value) ? "," : fmt::format(",{}", value);
  steps_.add(row);
}

void RunLogs::add(const EpochResult& result, std::int64_t samples) {
  epochs_.add(fmt::format("{}{}{}{},{:.3f},{:.1f}", result.epoch, cells(result.train, metrics_),
                          validates_ ? cells(result.valid, metrics_) : "", cells(result.test, metrics_),
                          result.seconds, static_cast<double>(samples) / result.seconds));
}

void RunLogs::flush() { steps_.flush(); }

void RunLogs::sync() {
  steps_.sync();
  epochs_.sync();
}

}  // namespace lamina::train
