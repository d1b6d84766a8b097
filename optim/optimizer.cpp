#include "optim/optimizer.h"

#include <utility>

#include "core/incomplete_batch.h"
#include "optim/engine/cuda.h"

namespace lamina {

namespace {

const ParamList& frozen_by(const Groups& groups, const ParamList& params) {
  apply_freezing(params, groups);
  return params;
}

}  // namespace

Optimizer::Optimizer(const ParamList& params, const Groups& groups, const std::vector<std::string>& slots,
                     double lr)
    : arena_(frozen_by(groups, params), slots), reports_(arena_.segments().size()), lr_(lr), peak_lr_(lr) {}

void Optimizer::set_schedule(Schedule schedule) {
  schedule_ = schedule.options().lr ? std::move(schedule) : schedule.with_lr(lr_);
}

double Optimizer::lr() const { return schedule_ ? schedule_->lr(steps_) : lr_; }

void Optimizer::prepare_step() {
  check(!batch_is_incomplete(),
        "optimizer: a step after a part of a batch that is not its last: its gradients are not whole; step, "
        "and zero them, only after a part with completes_batch; another model's optimizer steps outside the "
        "loop");
  arena_.check_bound();
  if (cuda_ != nullptr && std::ssize(cuda_->unread) == reports_kept) read_reports();
  reports_.throw_failure();
  const double peak = schedule_ ? schedule_->peak() : peak_lr_;
  step_ = {.number = steps_ + 1, .lr = lr(), .schedule = peak > 0 ? lr() / peak : 0};
  next_ = {.step = step_.number, .lr = step_.lr, .layers = {}};
  prepare(step_, next_);
  if (cuda_ == nullptr) return;
  arena_.values().bump_version();  // apply_step() is not called again where the step was captured
  steps_ = step_.number;
}

// On a GPU this may be captured: nothing that the host keeps may change.
void Optimizer::apply_step() {
  arena_.values().bump_version();
  apply(step_, next_);
  if (cuda_ != nullptr) return;
  steps_ = step_.number;
  reports_.add(std::move(next_));
}

void Optimizer::read_reports() {
  if (cuda_ == nullptr) return;
  if (const auto failed = reports_.read(arena_, settings_, *cuda_)) steps_ = *failed - 1;
}

const StepReport& Optimizer::report() {
  read_reports();
  reports_.throw_failure();
  return reports_.last();
}

std::vector<StepReport> Optimizer::take_reports() {
  read_reports();
  if (reports_.all_taken()) reports_.throw_failure();
  return reports_.take();
}

TrustRatios Optimizer::trust_ratios() {
  const StepReport& last = report();
  TrustRatios ratios;
  for (std::size_t i = 0; i < settings_.size(); ++i)
    if (settings_[i].adapts) ratios.layers.emplace_back(segments()[i].name, last.layers[i].trust);
  return ratios;
}

}  // namespace lamina
