#include "train/step.h"

#include <cmath>
#include <span>
#include <utility>

#include "core/base/error.h"
#include "core/base/unsigned_nan.h"
#include "core/memory/allocator.h"

namespace lamina::train {
namespace {

std::vector<double> to_doubles(const Tensor& tensor) {
  return visit_floating(tensor.dtype(), "training step", [&](auto zero) {
    const auto values = tensor.to_vector<decltype(zero)>();
    return std::vector<double>(values.begin(), values.end());
  });
}

// With the first metric that is not finite either: what the loss is made of may tell more.
std::string loss_failure(const Objective& objective, std::span<const double> sums) {
  const std::vector<MetricInfo> metrics = objective.metrics();
  std::string text = fmt::format("the loss is {}", unsigned_nan(sums[0]));
  for (std::size_t i = 0; i < metrics.size(); ++i) {
    if (std::isfinite(sums[i + 1])) continue;
    return text + fmt::format(", the {} {}", metrics[i].name, unsigned_nan(sums[i + 1]));
  }
  return text;
}

}  // namespace

TrainingStep::TrainingStep(Objective& objective, Optimizer& optimizer, TrainingStepOptions options)
    : objective_(objective),
      optimizer_(optimizer),
      options_(std::move(options)),
      sharpness_aware_(make_sharpness_aware(objective.module(), optimizer, options_.sharpness_aware)) {
  options_.capture = options_.capture && !options_.after_part && !options_.after_batch &&
                     optimizer.arena().device().type != DeviceType::cpu;
  if (options_.ranks != nullptr) {
    ranks_ =
        std::make_unique<RankSums>(*options_.ranks, objective, optimizer.arena(), options_.sync_batch_norm);
    if (sharpness_aware_ != nullptr && options_.sharpness_aware->m == 0)
      sharpness_aware_->add_up_with([this] { ranks_->add_up_gradients(); });
    sums_beside_backward_ = can_sum_beside_backward();
  }
  while (!optimizer.take_reports().empty()) {  // of steps that were not taken here
  }
  const std::int64_t columns = std::ssize(objective.metrics()) + 1;
  sums_ = Tensor::zeros({columns}, {optimizer.arena().dtype(), optimizer.arena().device()});
  unread_sums_ = Tensor::empty({most_unread, columns}, sums_.options());
}

void TrainingStep::run(const data::Part& part) {
  check(unread() < most_unread, "training step: {} steps whose results were not read; read them", unread());
  if (ranks_ != nullptr && !within_batch_ && failure_.empty()) ranks_->begin();
  within_batch_ = !part.completes_batch;
  if (part.completes_batch) optimizer_.prepare_step();
  if (options_.capture && part.passes == 1) {  // the two passes of a batch are different work
    std::vector<Tensor> inputs = part.views;
    inputs.push_back(part.labels);
    work_for(part).run(inputs);
  } else {
    compute(part);
  }
  if (!part.completes_batch) return;
  finish_step(part);
  if (options_.after_step && failure_.empty()) options_.after_step();
}

Captured& TrainingStep::work_for(const data::Part& part) {
  PartWork& of = part.completes_batch ? completing_ : earlier_;
  if (of.batch_samples == part.batch_samples) return *of.work;
  const auto work = [this, size = part.batch_samples,
                     last = part.completes_batch](std::span<const Tensor> inputs) {
    data::Part same;
    same.views.assign(inputs.begin(), inputs.end() - 1);
    same.labels = inputs.back();
    same.batch_samples = size;
    same.completes_batch = last;
    compute(same);
  };
  of.work.emplace(sums_.device(), work);
  of.batch_samples = part.batch_samples;
  return *of.work;
}

void TrainingStep::compute(const data::Part& part) {
  if (!failure_.empty()) return;
  {
    std::optional<LeafWatch> watch;
    if (part.completes_batch && sums_beside_backward_) watch.emplace(ranks_->sum_when_complete());
    accumulate_gradients(objective_, part, sums_, sharpness_aware_.get());
  }
  if (options_.after_part && part.is_of_last_pass()) options_.after_part(part);
  if (!part.completes_batch) return;
  if (ranks_ != nullptr) ranks_->add_up(sums_);
  if (options_.after_batch) options_.after_batch();
  if (sums_.device().type == DeviceType::cpu) {
    apply_checked();
  } else {
    optimizer_.apply_step();
  }
  optimizer_.zero_grad();
}

// Not where anybody, on any rank, is to see the gradients of one rank's samples: sums have one order.
bool TrainingStep::can_sum_beside_backward() const {
  if (ranks_ == nullptr) return false;
  if (!options_.sums_beside_backward.value_or(options_.ranks->sums_wait_for_network())) return false;
  double obstacles = sharpness_aware_ != nullptr || options_.after_part ? 1 : 0;
  options_.ranks->sum(std::span(&obstacles, 1));
  return obstacles == 0 && optimizer_.arena().device().type == DeviceType::cpu;
}

// The CPU knows at once whether all is well.
void TrainingStep::apply_checked() {
  const double loss = sums_.flat(0, {}).item();
  try {
    check(std::isfinite(loss), "the loss is {}", unsigned_nan(loss));
    optimizer_.apply_step();
  } catch (const OutOfMemory&) {
    throw;
  } catch (const Error& error) {
    failure_ = error.what();
  }
}

void TrainingStep::finish_step(const data::Part& part) {
  unread_sums_.rows(unread(), 1).view(sums_.shape()).copy_from(sums_);
  sums_.fill(0);
  samples_.push_back(part.batch_samples);
}

StepResults TrainingStep::results() {
  StepResults results;
  const std::vector<double> sums = to_doubles(unread_sums_.rows(0, unread()));
  const auto columns = static_cast<std::size_t>(sums_.elements());
  const std::vector<std::int64_t> samples = std::exchange(samples_, {});
  const auto add = [&](StepReport report) {
    const std::size_t i = results.steps.size();
    results.steps.push_back(
        {metrics_from_sums(sums.data() + i * columns, columns, samples[i]), std::move(report)});
  };
  try {
    for (auto taken = optimizer_.take_reports(); !taken.empty(); taken = optimizer_.take_reports())
      for (StepReport& report : taken) add(std::move(report));
    results.failure = std::exchange(failure_, {});
  } catch (const Error& error) {
    results.failure = error.what();
  }
  // A loss tells more than what became of it in the optimizer.
  for (std::size_t i = 0; i < samples.size(); ++i) {
    if (std::isfinite(sums[i * columns])) continue;
    results.failure = loss_failure(objective_, std::span(sums).subspan(i * columns, columns));
    if (i < results.steps.size())
      results.steps.erase(results.steps.begin() + static_cast<std::ptrdiff_t>(i), results.steps.end());
    break;
  }
  return results;
}

}  // namespace lamina::train
