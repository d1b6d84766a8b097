#include "apps/training_step.h"

#include <cmath>
#include <utility>

#include "core/allocator.h"
#include "core/error.h"
#include "core/ops/ops.h"

namespace lamina {
namespace {

void add_to(const Tensor& total, const Tensor& amount) {
  Tensor sum = total.view(amount.shape());
  backend_for(total.device()).accumulate(amount.detach(), sum);
}

}  // namespace

void accumulate_gradients(Module& net, const data::Batch& part, double label_smoothing, Tensor& sums) {
  const Tensor logits = net(part.images);
  const Tensor loss =
      sum(cross_entropy_per_sample(logits, part.labels, {.label_smoothing = label_smoothing}));
  add_to(sums.rows(0, 1), loss);
  add_to(sums.rows(1, 1), sum(is_argmax(logits.detach(), part.labels)));
  (loss / static_cast<double>(part.batch_size)).backward();
}

TrainingStep::TrainingStep(Module& net, Optimizer& optimizer, TrainingStepOptions options)
    : net_(net), optimizer_(optimizer), options_(std::move(options)) {
  options_.record = options_.record && !options_.after_part;
  sums_ = Tensor::zeros({2}, {DType::f32, optimizer.arena().device()});
  unread_sums_ = Tensor::empty({most_unread, 2}, sums_.options());
}

void TrainingStep::run(const data::Batch& part) {
  check(unread() < most_unread, "training step: {} steps whose results were not read; read them", unread());
  if (part.last_part) optimizer_.prepare_step();
  work_for(part).run(part.images, part.labels);
  if (part.last_part) finish_step(part);
}

Recorded& TrainingStep::work_for(const data::Batch& part) {
  PartWork& of = part.last_part ? last_ : other_;
  if (of.batch_size == part.batch_size) return *of.work;
  const auto work = [this, size = part.batch_size, last = part.last_part](const Tensor& images,
                                                                          const Tensor& labels) {
    compute({.images = images, .labels = labels, .samples = {}, .batch_size = size, .last_part = last});
  };
  of.work.emplace(sums_.device(), work, RecordedOptions{.record = options_.record});
  of.batch_size = part.batch_size;
  return *of.work;
}

void TrainingStep::compute(const data::Batch& part) {
  if (!failure_.empty()) return;
  accumulate_gradients(net_, part, options_.label_smoothing, sums_);
  if (options_.after_part) options_.after_part(part);
  if (!part.last_part) return;
  if (sums_.device().type == DeviceType::cpu) {
    apply_checked();
  } else {
    optimizer_.apply_step();
  }
  optimizer_.zero_grad();
}

// The CPU knows at once whether all is well.
void TrainingStep::apply_checked() {
  const auto loss = static_cast<double>(sums_.data<float>()[0]);
  try {
    check(std::isfinite(loss), "the loss is {}", loss);
    optimizer_.apply_step();
  } catch (const OutOfMemory&) {
    throw;
  } catch (const Error& error) {
    failure_ = error.what();
  }
}

void TrainingStep::finish_step(const data::Batch& part) {
  unread_sums_.rows(unread(), 1).view({2}).copy_from(sums_);
  sums_.fill(0);
  samples_.push_back(part.batch_size);
}

StepResults TrainingStep::results() {
  StepResults results;
  const std::vector<float> sums =
      unread_sums_.rows(0, unread()).to_vector<float>();  // of each step: losses, right answers
  const std::vector<std::int64_t> samples = std::exchange(samples_, {});
  const auto add = [&](StepReport report) {
    const std::size_t i = results.steps.size();
    const Metrics metrics{.loss_sum = static_cast<double>(sums[2 * i]),
                          .correct = static_cast<std::int64_t>(sums[2 * i + 1]),
                          .samples = samples[i]};
    results.steps.push_back({metrics, std::move(report)});
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
    if (std::isfinite(sums[2 * i])) continue;
    results.failure = fmt::format("the loss is {}", sums[2 * i]);
    if (i < results.steps.size())
      results.steps.erase(results.steps.begin() + static_cast<std::ptrdiff_t>(i), results.steps.end());
    break;
  }
  return results;
}

}  // namespace lamina
