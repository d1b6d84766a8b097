#include "apps/training.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "apps/divergence.h"
#include "apps/interrupt.h"
#include "apps/table.h"
#include "core/allocator.h"
#include "core/error.h"
#include "core/ops/ops.h"
#include "lamina/evaluate.h"

namespace lamina {
namespace {

using Clock = std::chrono::steady_clock;

// A GPU's results are read every so many steps: so rarely that it does not wait for the host, so often that a
// watcher does not notice.
constexpr std::int64_t steps_between_results = 16;
static_assert(steps_between_results <= TrainingStep::most_unread);

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace

Training::Training(const TrainOptions& options, TrainingSetup& setup, const RunDirectory& run,
                   Progress& progress, nlohmann::json config)
    : options_(options),
      setup_(setup),
      run_(run),
      progress_(progress),
      config_(std::move(config)),
      step_(setup.net, *setup.optimizer,
            {.label_smoothing = options.label_smoothing,
             .record = !options.eager,
             .after_part = options.noise_scale ? [this](const data::Batch& part) { add_noise(part); }
                                               : std::function<void(const data::Batch&)>()}) {
  if (options.trace) trace_.emplace(setup.optimizer->segments());
  if (options.noise_scale) noise_.emplace(setup.optimizer->arena().grads());
  if (!progress.watching()) return;
  setup.optimizer->set_tracing(true);
  watch_.emplace(*setup.optimizer);
}

void Training::resume(const Checkpoint& checkpoint) {
  const TrainOptions theirs =
      train_options_from_json(checkpoint.config.at("options"), checkpoint.path.string());
  check_same_run(theirs, options_, checkpoint.path.string());
  restore(checkpoint, setup_.net, *setup_.optimizer);
  position_ = checkpoint.position;
  if (trace_) trace_->read(run_.file("trace.safetensors"), position_.step);
  saved_ = true;
}

int Training::run() {
  const InterruptHandler interrupts;
  open_logs();
  while (!finished() && InterruptHandler::signal() == 0) {
    train_epoch();
    if (position_.batch < setup_.loader.batches() || !finish_epoch()) break;
  }
  save();
  if (!finished()) return InterruptHandler::signal();
  save_weights(run_.file("weights.safetensors"), setup_.net, setup_.info);
  return 0;
}

void Training::open_logs() {
  std::string columns = "step,epoch,lr,phi,loss,accuracy,seconds,images_per_s";
  if (noise_) columns += ",grad_variance,grad_squared,noise_scale";
  steps_.emplace(run_.file("steps.csv"), columns, position_.step);
  epochs_.emplace(run_.file("epochs.csv"),
                  "epoch,train_loss,train_accuracy,test_loss,test_accuracy,seconds,images_per_s",
                  position_.epoch);
}

void Training::train_epoch() {
  if (position_.batch == setup_.loader.batches()) return;  // resumed between the epoch's end and its test
  auto start = Clock::now();
  for (const data::Batch& part : setup_.loader.epoch(position_.epoch, setup_.device, position_.batch)) {
    step_.run(part);
    if (!part.last_part || !results_due()) continue;
    record_results(seconds_since(start));
    if (InterruptHandler::signal() != 0) return;
    start = Clock::now();
  }
}

void Training::add_noise(const data::Batch& part) { noise_->add_part(part.labels.size(0), part.batch_size); }

// The CPU has each step's results at once, and so must have what is measured between steps.
bool Training::results_due() const {
  const std::int64_t issued = position_.step + step_.unread();
  return setup_.device.type == DeviceType::cpu || noise_ || step_.unread() == steps_between_results ||
         position_.batch + step_.unread() == setup_.loader.batches() || InterruptHandler::signal() != 0 ||
         (options_.checkpoint_steps > 0 && issued % options_.checkpoint_steps == 0);
}

void Training::record_results(double seconds) {
  const auto steps = static_cast<double>(step_.unread());
  const StepResults results = step_.results();
  for (const StepResult& result : results.steps) record_step(result, seconds / steps);
  if (!results.failure.empty()) fail_diverged(results.failure);
  if (options_.checkpoint_steps > 0 && position_.step % options_.checkpoint_steps == 0) save();
  show_progress();
}

void Training::record_step(const StepResult& result, double seconds) {
  const auto& [metrics, report] = result;
  ++position_.step;
  ++position_.batch;
  position_.metrics.add(metrics);
  position_.epoch_seconds += seconds;
  saved_ = false;
  step_seconds_ = step_seconds_ == 0 ? seconds : 0.9 * step_seconds_ + 0.1 * seconds;
  const std::optional<GradientNoise> noise = noise_ ? noise_->finish() : std::nullopt;
  steps_->add(fmt::format(
      "{},{},{},{},{},{},{:.6f},{:.1f}{}", position_.step, position_.epoch + 1, report.lr, report.phi,
      metrics.loss(), metrics.accuracy(), seconds, static_cast<double>(metrics.samples) / seconds,
      noise ? fmt::format(",{},{},{}", noise->variance, noise->squared, noise->scale()) : ""));
  if (trace_) trace_->add(report);
}

void Training::show_progress() {
  const std::int64_t steps = options_.epochs * setup_.loader.batches();
  const auto left = static_cast<double>(steps - position_.step);
  const auto tests_left =
      options_.eval_every == 0 ? 1 : (options_.epochs - position_.epoch) / options_.eval_every;
  const auto layers = [this](TerminalSize size) { return watch_->draw(size); };
  progress_.update({.epoch = position_.epoch + 1,
                    .epochs = options_.epochs,
                    .step = position_.step,
                    .steps = steps,
                    .loss = position_.metrics.loss(),
                    .accuracy = position_.metrics.accuracy(),
                    .images_per_s = static_cast<double>(options_.batch) / step_seconds_,
                    .seconds_left = left * step_seconds_ + static_cast<double>(tests_left) * test_seconds_},
                   watch_ ? layers : Progress::LinesBelow());
}

bool Training::test_due() const {
  const std::int64_t epoch = position_.epoch + 1;
  const bool last = epoch == options_.epochs;
  return setup_.data.test.size() > 0 &&
         (last || (options_.eval_every > 0 && epoch % options_.eval_every == 0));
}

bool Training::finish_epoch() {
  Metrics test;
  if (test_due()) {
    const auto start = Clock::now();
    // No more at once than in training: what fits there fits here.
    const std::int64_t batch =
        std::min<std::int64_t>(options_.micro_batch > 0 ? options_.micro_batch : options_.batch, 500);
    const auto keep_going = [&](std::int64_t samples) {
      progress_.status(fmt::format("epoch {}/{}  testing: {} of {} images", position_.epoch + 1,
                                   options_.epochs, samples, setup_.data.test.size()));
      return InterruptHandler::signal() == 0 || samples == setup_.data.test.size();
    };
    const Evaluation evaluation = evaluate(
        setup_.net, setup_.data.test,
        {.batch = batch, .workers = options_.workers, .device = setup_.device, .keep_going = keep_going});
    if (evaluation.samples < setup_.data.test.size()) return false;
    test = {evaluation.loss * static_cast<double>(evaluation.samples), evaluation.correct,
            evaluation.samples};
    test_seconds_ = seconds_since(start);
  }
  record_epoch({position_.epoch + 1, position_.metrics, test, position_.epoch_seconds});
  return true;
}

void Training::record_epoch(const EpochResult& result) {
  const bool tested = result.test.samples > 0;
  const double images_per_s = static_cast<double>(setup_.loader.samples()) / result.seconds;
  const std::string test_columns =
      tested ? fmt::format("{},{}", result.test.loss(), result.test.accuracy()) : ",";
  epochs_->add(fmt::format("{},{},{},{},{:.3f},{:.1f}", result.epoch, result.train.loss(),
                           result.train.accuracy(), test_columns, result.seconds, images_per_s));
  progress_.print_epoch(fmt::format(
      "epoch {:>{}}/{}  train loss {:.4f}  acc {:5.2f} %{}  {}  {:.0f} images/s", result.epoch,
      std::to_string(options_.epochs).size(), options_.epochs, result.train.loss(),
      100 * result.train.accuracy(),
      tested
          ? fmt::format("  test loss {:.4f}  acc {:5.2f} %", result.test.loss(), 100 * result.test.accuracy())
          : "",
      format_duration(result.seconds), images_per_s));
  if (tested && (position_.best.epoch == 0 || result.test.accuracy() > position_.best.test.accuracy())) {
    position_.best = result;
  }
  position_.last = result;
  position_.seconds += result.seconds;
  position_.epoch = result.epoch;
  position_.batch = 0;
  position_.metrics = {};
  position_.epoch_seconds = 0;
  saved_ = false;
  if (options_.checkpoint_every > 0 && result.epoch % options_.checkpoint_every == 0) save();
}

// The logs first: no checkpoint may be ahead of them.
void Training::save() {
  if (saved_) return;
  steps_->sync();
  epochs_->sync();
  if (trace_) trace_->write(run_.file("trace.safetensors"));
  save_checkpoint(run_, setup_.net, setup_.info, *setup_.optimizer, position_, config_);
  saved_ = true;
}

void Training::fail_diverged(const std::string& symptom) {
  const std::string cause = find_non_finite(setup_.net, setup_.loader, position_.epoch, position_.batch,
                                            setup_.device, options_.label_smoothing);
  steps_->flush();
  const std::vector<std::int64_t> checkpoints = run_.checkpoint_steps();
  throw Diverged(fmt::format(
      "training diverged in epoch {}, step {}: {}\n  first of all: {}\n  the step was not taken; {}\n"
      "  try a lower --lr (it was {:.4g} here), a longer --warmup-epochs, or another optimizer",
      position_.epoch + 1, position_.step + 1, symptom, cause,
      checkpoints.empty() ? "there is no checkpoint yet"
                          : "the last checkpoint is " + run_.checkpoint(checkpoints.front()).string(),
      setup_.optimizer->lr()));
}

}  // namespace lamina
