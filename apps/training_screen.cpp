#include "apps/training_screen.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "apps/output.h"
#include "core/base/option_name.h"
#include "core/base/table.h"
#include "train/objectives/two_views.h"

namespace lamina::app {
namespace {

// "  knn accuracy 44.50 %", of what was measured after this epoch.
std::string describe_measured(const TrainingRun& run, const std::vector<double>& measured) {
  std::string text;
  for (std::size_t i = 0; i < measured.size(); ++i) {
    if (std::isnan(measured[i])) continue;
    const ShownNumber number = shown(run.epoch_columns[i], measured[i]);
    text += fmt::format("  {} {}", number.name, number.value);
  }
  return text;
}

// "  ranks 4, slowest +12 % (rank 2)": by so much more than the mean of all, for which the others wait.
std::string describe_ranks(const std::vector<double>& seconds) {
  const double mean = std::accumulate(seconds.begin(), seconds.end(), 0.0) /
                      std::max(1.0, static_cast<double>(seconds.size()));
  if (seconds.size() < 2 || mean == 0) return "";
  const auto slowest = std::max_element(seconds.begin(), seconds.end());
  return fmt::format("  ranks {}, slowest {:+.0f} % (rank {})", seconds.size(), 100 * (*slowest / mean - 1),
                     slowest - seconds.begin());
}

std::int64_t steps_of(const TrainingRun& run) { return run.epochs * run.loader.batches(); }

}  // namespace

ShownNumber shown(const std::string& column, double value) {
  std::string name = column;
  std::replace(name.begin(), name.end(), '_', ' ');
  if (std::isnan(value)) return {name, "-"};
  return {name, column.ends_with("accuracy") ? decimals(100 * value, 2) + " %" : decimals(value, 4)};
}

std::vector<ShownNumber> TrainingScreen::measured() const {
  std::vector<ShownNumber> numbers;
  const std::vector<double>& values = run_->position.last.measured;
  for (std::size_t i = 0; i < values.size(); ++i) numbers.push_back(shown(run_->epoch_columns[i], values[i]));
  return numbers;
}

std::string describe_metrics(const Objective& objective, const Metrics& metrics, const std::string& what) {
  std::string text = fmt::format("{}loss {}", what.empty() ? "" : what + " ", decimals(metrics.loss(), 4));
  const std::vector<MetricInfo> infos = objective.metrics();
  for (std::size_t i = 0; i < infos.size(); ++i) {
    text += infos[i].name == "accuracy" ? fmt::format("  acc {:>5} %", decimals(100 * metrics.mean(i), 2))
                                        : fmt::format("  {} {}", infos[i].name, decimals(metrics.mean(i), 4));
  }
  return text;
}

void TrainingScreen::start(const TrainingRun& run) {
  run_ = &run;
  first_step_ = run.position.step;
  if (run.resumed) {
    progress_.print(run.checkpoint.empty() ? "resuming: no checkpoint yet, so from the start"
                                           : fmt::format("resuming from {}", run.checkpoint.string()));
  }
  if (!progress_.watching()) return;
  run.optimizer.set_tracing(true);
  watch_.emplace(run.optimizer);
}

void TrainingScreen::step(TrainedStep& step) {
  step_seconds_ = step_seconds_ == 0 ? step.seconds : 0.9 * step_seconds_ + 0.1 * step.seconds;
  const auto layers = [&](TerminalSize size) { return watch_->draw(step.report, size); };
  progress_.update({.epoch = step.epoch,
                    .epochs = run_->epochs,
                    .step = step.report.step,
                    .steps = steps_of(*run_),
                    .first_step = first_step_,
                    .measured = describe_metrics(run_->objective, run_->position.metrics, ""),
                    .images_per_s = static_cast<double>(step.metrics.samples) / step_seconds_,
                    .seconds_left = seconds_left()},
                   watch_ ? layers : Progress::LinesBelow());
}

double TrainingScreen::seconds_left() const {
  const auto steps = static_cast<double>(steps_of(*run_) - run_->position.step);
  const std::int64_t tests = eval_every_ == 0 ? 1 : (run_->epochs - run_->position.epoch) / eval_every_;
  return steps * step_seconds_ + static_cast<double>(tests) * test_seconds_;
}

// A step of many parts may take minutes, and one that is its batch's only part has an update of its own.
void TrainingScreen::part_done(std::int64_t samples, std::int64_t of) {
  if (samples == of) return;
  progress_.status(fmt::format("epoch {}/{}  step {}/{}: {} of {} images", run_->position.epoch + 1,
                               run_->epochs, run_->position.step + 1, steps_of(*run_), samples, of));
}

void TrainingScreen::testing(std::int64_t samples, std::int64_t of) {
  if (!test_start_) test_start_ = Clock::now();
  progress_.status(fmt::format("epoch {}/{}  testing: {} of {} images", run_->position.epoch + 1,
                               run_->epochs, samples, of));
}

void TrainingScreen::epoch(const EpochResult& result) {
  if (test_start_) test_seconds_ = std::chrono::duration<double>(Clock::now() - *test_start_).count();
  test_start_.reset();
  const auto measured = [&](const Metrics& metrics, const char* what) {
    return metrics.samples > 0 ? "  " + describe_metrics(run_->objective, metrics, what) : "";
  };
  progress_.print_epoch(fmt::format(
      "epoch {:>{}}/{}{}{}{}{}  {}  {:.0f} images/s{}", result.epoch, std::to_string(run_->epochs).size(),
      run_->epochs, measured(result.train, "train"), measured(result.valid, "valid"),
      measured(result.test, "test"), describe_measured(*run_, result.measured),
      format_duration(result.seconds), static_cast<double>(run_->loader.samples()) / result.seconds,
      describe_ranks(result.rank_seconds)));
  warn_of_collapse(result);
}

// Once. An untrained network's embeddings may look collapsed, too: the first epoch is what others are
// compared with.
void TrainingScreen::warn_of_collapse(const EpochResult& result) {
  const auto* objective = dynamic_cast<const TwoViewObjective*>(&run_->objective);
  if (objective == nullptr || warned_) return;
  if (!first_epoch_) {
    first_epoch_ = result.train;
    return;
  }
  const std::string collapse = objective->collapse(result.train, *first_epoch_);
  if (collapse.empty()) return;
  warned_ = true;
  progress_.clear();
  print_note(
      stderr,
      "warning: {}epoch {}: the embeddings seem to have collapsed: {}; try a lower {}, a longer {} or a "
      "larger {}\n",
      run_name_.empty() ? "" : run_name_ + ", ", result.epoch, collapse, option_name("lr"),
      option_name("warmup_epochs"), option_name("batch"));
}

}  // namespace lamina::app
