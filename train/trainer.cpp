#include "train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "core/base/interrupt.h"
#include "core/base/option_name.h"
#include "core/memory/allocator.h"
#include "train/batch_norm_check.h"
#include "train/logs.h"
#include "train/model_info.h"
#include "train/run_directory.h"
#include "train/step.h"
#include "train/two_pass.h"

namespace lamina {
namespace {

using Clock = std::chrono::steady_clock;

// A GPU's results are read every so many steps: so rarely that it does not wait for the host, so often that a
// watcher does not notice.
constexpr std::int64_t steps_between_results = 16;
static_assert(steps_between_results <= train::TrainingStep::most_unread);

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// What is known of the model and the images, where the caller has not said it.
WeightInfo completed(WeightInfo info, Objective& objective, const data::Loader& loader) {
  const data::Split& split = loader.split();
  const WeightInfo known = train::model_info(objective.module());
  if (info.model.empty()) info.model = known.model, info.stem = known.stem, info.shortcut = known.shortcut;
  if (info.mean.empty()) info.mean = split.mean;
  if (info.std.empty()) info.std = split.std;
  if (info.image_pixels.empty() && !loader.options().transform)  // which may change the size
    info.image_pixels = {static_cast<int>(split.height()), static_cast<int>(split.width())};
  return info;
}

}  // namespace

Trainer::Trainer(Objective& objective, Optimizer& optimizer, data::Loader loader, TrainerOptions options)
    : objective_(objective),
      optimizer_(optimizer),
      options_(std::move(options)),
      ranks_(options_.ranks),
      loader_(loader_for(objective, ranks_.share_of(std::move(loader)), options_.sharpness_aware)) {
  options_.weights = completed(std::move(options_.weights), objective, loader_);
}

Trainer::~Trainer() = default;

Trainer& Trainer::observe(Observer& observer) {
  observers_.add(observer);
  return *this;
}

Trainer& Trainer::validate(data::Split split) {
  valid_ = std::move(split);
  return *this;
}

Trainer& Trainer::test(data::Split split) {
  test_ = std::move(split);
  return *this;
}

Trainer& Trainer::in(train::RunDirectory directory) {
  directory_ = std::make_unique<train::RunDirectory>(std::move(directory));
  return *this;
}

TrainingOutcome Trainer::run() {
  check(run_ == nullptr,
        "trainer: run() has been called before; another trainer goes on where this one ended");
  check_options();
  const InterruptHandler interrupts;
  if (directory_ == nullptr && !options_.directory.empty() && ranks_.leads()) {
    directory_ =
        std::make_unique<train::RunDirectory>(train::RunDirectory::open_or_create(options_.directory));
    directory_->lock();
  }
  struct Unlock {  // however it ends: another trainer may go on here
    Trainer& trainer;
    ~Unlock() {
      if (trainer.directory_ != nullptr) trainer.directory_->unlock();
    }
  } const unlock{*this};
  try {
    open();
    start();
  } catch (...) {
    remove_unstarted();
    throw;
  }
  const std::int64_t first = position_.step;
  try {
    train();
  } catch (const OutOfMemory& error) {
    // In the first step it is the options that ask for too much; later, another program took what there was.
    if (position_.step == first && position_.batch < loader_.batches()) fail_out_of_memory(error);
    save_what_is_known();
    throw;
  } catch (const Diverged&) {
    throw;
  } catch (...) {
    save_what_is_known();
    remove_unstarted();
    step_.reset();  // weights that it had perturbed are the caller's again
    throw;
  }
  if (position_.step == 0 && !run_->resumed) {  // interrupted before there is anything to save
    remove_unstarted();
  } else {
    save();
  }
  const bool ended = finished() && finish();
  check_observers();
  if (!ended) agree_to_stop();  // a signal came within what one rank measured
  const int signal = agreed_signal_ != 0 ? std::max(0, agreed_signal_) : InterruptHandler::signal();
  return {.finished = ended, .signal = ended ? 0 : signal, .position = position_};
}

// The final weights come last: with them a run is finished.
bool Trainer::finish() {
  take_final_weights();
  if (ranks_.first_of(save_evaluation() ? 0 : 1) != 0) return false;
  save_final_weights();
  observers_.tell([](Observer& observer) { observer.finish(); });
  return true;
}

void Trainer::start() {
  objective_.module().train();
  optimizer_.zero_grad();
  observers_.start(*run_);
  if (directory_ != nullptr) train::check_columns(*run_, observers_.columns(), observers_.epoch_columns());
  train::check_batch_norms(objective_, loader_, device(), part_option());
  if (directory_ != nullptr) {
    if (!is_longer_) directory_->write_config(nlohmann::json::parse(options_.config));
    logs_ = std::make_unique<train::RunLogs>(*run_, observers_.columns(), observers_.epoch_columns(),
                                             valid_.size() > 0);
  }
  const auto part = [this](const data::Part& of) {
    observers_.tell([&](Observer& observer) { observer.part(of); });
  };
  const auto batch = [this] { observers_.tell([](Observer& observer) { observer.batch(); }); };
  step_ = std::make_unique<train::TrainingStep>(
      objective_, optimizer_,
      train::TrainingStepOptions{
          .capture = options_.capture,
          .sharpness_aware = options_.sharpness_aware,
          .ranks = ranks_.several(),
          .sync_batch_norm = options_.sync_batch_norm,
          .after_part = observers_.wants_parts() ? part : std::function<void(const data::Part&)>(),
          .after_batch = observers_.wants_parts() ? batch : std::function<void()>(),
          .after_step = average_ != nullptr ? [this] { average_->update(); } : std::function<void()>()});
}

void Trainer::train() {
  while (!finished()) {
    agree_to_stop();
    if (interrupted()) break;
    train_epoch();
    if (position_.batch < loader_.batches() || !finish_epoch()) break;
  }
}

void Trainer::train_epoch() {
  if (position_.batch == loader_.batches()) return;  // resumed between the epoch's end and its test
  auto start = Clock::now();
  double waited = ranks_.seconds_waited();
  std::int64_t samples = 0;  // of the batch
  for (const data::Part& part : loader_.epoch(position_.epoch, device(), position_.batch)) {
    within_step_ = true;
    step_->run(part);
    within_step_ = !part.completes_batch;
    samples += part.size();
    const std::int64_t done = samples / part.passes;  // of two passes each is half of the work
    observers_.tell([&](Observer& observer) { observer.part_done(done, part.batch_samples); });
    if (part.completes_batch) samples = 0;
    if (!part.completes_batch || !results_due()) continue;
    const double seconds = seconds_since(start);
    busy_seconds_ += seconds - (ranks_.seconds_waited() - waited);
    record_results(seconds);
    agree_to_stop();
    if (interrupted()) return;
    start = Clock::now(), waited = ranks_.seconds_waited();
  }
}

// The CPU has each step's results at once, and so must have what is measured between steps.
bool Trainer::results_due() const {
  const std::int64_t issued = position_.step + step_->unread();
  return device().type == DeviceType::cpu || observers_.wants_parts() ||
         step_->unread() == steps_between_results || position_.batch + step_->unread() == loader_.batches() ||
         interrupted() || (options_.checkpoint_steps > 0 && issued % options_.checkpoint_steps == 0);
}

void Trainer::record_results(double seconds) {
  begin();
  const auto steps = static_cast<double>(step_->unread());
  train::StepResults results = step_->results();
  for (train::StepResult& result : results.steps) {
    record_step({.epoch = position_.epoch + 1,
                 .metrics = std::move(result.metrics),
                 .report = std::move(result.report),
                 .seconds = seconds / steps});
  }
  check_observers();
  if (!results.failure.empty()) fail_diverged(results.failure);
  if (options_.checkpoint_steps > 0 && position_.step % options_.checkpoint_steps == 0) save();
}

void Trainer::record_step(TrainedStep step) {
  ++position_.step;
  ++position_.batch;
  position_.metrics.add(step.metrics);
  position_.epoch_seconds += step.seconds;
  saved_ = false;
  observers_.step(step);
  if (logs_ != nullptr) logs_->add(step);
}

bool Trainer::finish_epoch() {
  EpochResult result{
      .epoch = position_.epoch + 1, .train = position_.metrics, .seconds = position_.epoch_seconds};
  if (valid_.size() > 0 && !measure(valid_, result.valid)) return false;
  const bool better = valid_.size() > 0 && is_better_epoch(result);
  if (test_due(better) && !measure(test_, result.test)) return false;
  if (ranks_.first_of(observers_.measure(result) ? 0 : 1) != 0) return false;
  ranks_.check_same_weights(optimizer_.arena(), result.epoch);
  // GPUs wait for one another by themselves, and their hosts do not see it.
  if (ranks_.several() != nullptr && device().type == DeviceType::cpu)
    result.rank_seconds = ranks_.of_each(busy_seconds_);
  record_epoch(result, is_better_epoch(result));
  return true;
}

bool Trainer::is_better_epoch(const EpochResult& result) const {
  const bool validates = valid_.size() > 0;
  const Metrics& measured = validates ? result.valid : result.test;
  const Metrics& best = validates ? position_.best.valid : position_.best.test;
  return measured.samples > 0 && (position_.best.epoch == 0 || is_better(objective_, measured, best));
}

void Trainer::record_epoch(const EpochResult& result, bool better) {
  if (better && options_.keep == Keep::best) keep_best();  // before any position says that they are kept
  if (logs_ != nullptr) logs_->add(result, loader_.samples());
  position_.epochs_since_best = better ? 0 : position_.epochs_since_best + 1;
  if (better) position_.best = result;
  position_.last = result;
  position_.seconds += result.seconds;
  position_.epoch = result.epoch;
  position_.batch = 0;
  position_.metrics = {};
  position_.epoch_seconds = 0;
  busy_seconds_ = 0;
  saved_ = false;
  observers_.tell([&](Observer& observer) { observer.epoch(result); });
  check_observers();
  if (options_.checkpoint_every > 0 && result.epoch % options_.checkpoint_every == 0) save();
}

bool Trainer::finished() const { return position_.epoch == options_.epochs || out_of_patience(); }

bool Trainer::out_of_patience() const {
  return options_.patience > 0 && position_.epochs_since_best >= options_.patience;
}

bool Trainer::interrupted() const {
  if (ranks_.several() != nullptr) return agreed_signal_ != 0;
  return stopped_ || InterruptHandler::signal() != 0;
}

void Trainer::agree_to_stop() {
  if (ranks_.several() != nullptr && agreed_signal_ == 0)
    agreed_signal_ = ranks_.first_of(stopped_ ? -1 : InterruptHandler::signal());
}

// `better`: on the validation split. The weights that the run ends with are tested in any case.
bool Trainer::test_due(bool better) const {
  const std::int64_t epoch = position_.epoch + 1;
  const bool last_of_patience =
      options_.patience > 0 && !better && position_.epochs_since_best + 1 >= options_.patience;
  const bool final_weights =
      options_.keep == Keep::best ? better : epoch == options_.epochs || last_of_patience;
  return test_.size() > 0 && (final_weights || (options_.test_every > 0 && epoch % options_.test_every == 0));
}

}  // namespace lamina
