#include "train/objective.h"

#include <cmath>

#include "core/autograd.h"
#include "core/backend.h"
#include "core/base/error.h"
#include "core/base/option_name.h"
#include "core/ops/ops.h"
#include "train/two_pass.h"

namespace lamina {
namespace {

void check_scalar(const Objective& objective, const Tensor& tensor, const std::string& what) {
  check(tensor.defined() && tensor.elements() == 1 && is_floating(tensor.dtype()),
        "objective {}: its {} is {}; expected a scalar, as sum() and Part::mean() give", objective.name(),
        what, tensor.defined() ? tensor.str() : "undefined");
}

PartLoss checked(Objective& objective, PartLoss result) {
  check_scalar(objective, result.loss, "loss");
  const std::vector<MetricInfo> metrics = objective.metrics();
  check(result.metrics.size() == metrics.size(), "objective {}: names {} metrics, but measured {}",
        objective.name(), metrics.size(), result.metrics.size());
  for (std::size_t i = 0; i < metrics.size(); ++i)
    check_scalar(objective, result.metrics[i], metrics[i].name);
  return result;
}

void add_to(const Tensor& sums, std::int64_t at, const Tensor& amount) {
  Tensor total = sums.flat(at, amount.shape());
  const Tensor value = amount.detach();
  backend_for(sums.device())
      .accumulate(value.dtype() == sums.dtype() ? value : cast(value, sums.dtype()), total);
}

void add_all(const Tensor& sums, const PartLoss& result) {
  add_to(sums, 0, result.loss);
  for (std::size_t i = 0; i < result.metrics.size(); ++i)
    add_to(sums, static_cast<std::int64_t>(i) + 1, result.metrics[i]);
}

void accumulate_in_two_passes(Objective& objective, const data::Part& part, const Tensor& sums) {
  auto* two_pass = dynamic_cast<TwoPassObjective*>(&objective);
  check(two_pass != nullptr, "objective {}: batches come twice, but it takes one pass; set passes = 1",
        objective.name());
  if (part.pass == 0) return two_pass->collect(part);
  if (part.begins_pass) add_all(sums, checked(objective, two_pass->collected_loss()));
  two_pass->product_with_gradient(part).backward();
}

}  // namespace

PartLoss checked_loss(Objective& objective, const data::Part& part) {
  if (!part.is_whole_batch() && objective.needs_whole_batch()) {
    const bool twice = dynamic_cast<TwoPassObjective*>(&objective) != nullptr;
    fail("objective {}: its loss is of a whole batch, but a part of {} of {} samples came; {}",
         objective.name(), part.size(), part.batch_samples,
         twice ? "have the loader hand out each batch twice, passes = 2"
               : fmt::format("leave out {}", option_name("micro_batch")));
  }
  PartLoss result = checked(objective, objective.loss(part));
  check(result.loss.requires_grad(),
        "objective {}: its loss has no gradient history: it does not depend on the parameters, or was made "
        "under NoGrad or of a detach()ed tensor",
        objective.name());
  return result;
}

PartLoss checked_evaluation(Objective& objective, const data::Part& part) {
  return checked(objective, objective.evaluate(part));
}

void accumulate_gradients(Objective& objective, const data::Part& part, const Tensor& sums) {
  if (part.passes > 1) return accumulate_in_two_passes(objective, part, sums);
  const PartLoss result = checked_loss(objective, part);
  add_all(sums, result);
  result.loss.backward();
}

void accumulate_evaluation(Objective& objective, const data::Part& part, const Tensor& sums) {
  add_all(sums, checked_evaluation(objective, part));
}

Metrics metrics_from_sums(const double* sums, std::size_t count, std::int64_t samples) {
  return {.samples = samples,
          .loss_sum = sums[0] * static_cast<double>(samples),  // a loss is a mean over the batch already
          .sums = std::vector<double>(sums + 1, sums + count)};
}

bool is_better(const Objective& objective, const Metrics& a, const Metrics& b) {
  const std::vector<MetricInfo> metrics = objective.metrics();
  const double ours = metrics.empty() ? a.loss() : a.mean(0), theirs = metrics.empty() ? b.loss() : b.mean(0);
  if (std::isnan(theirs)) return !std::isnan(ours);
  return !metrics.empty() && metrics.front().higher_is_better ? ours > theirs : ours < theirs;
}

}  // namespace lamina
