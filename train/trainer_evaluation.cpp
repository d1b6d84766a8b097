// Trainer: what is measured, after an epoch and of the final weights.
#include <algorithm>
#include <cmath>

#include "core/base/atomic_file.h"
#include "core/base/file_kind.h"
#include "core/base/interrupt.h"
#include "train/evaluation_file.h"
#include "train/objectives/classification.h"
#include "train/run_directory.h"
#include "train/trainer.h"

namespace lamina {

// No more at once than in training: what fits there fits here.
std::int64_t Trainer::test_batch() const {
  if (options_.test_batch > 0) return options_.test_batch;
  const data::LoaderOptions& loader = loader_.options();
  return std::min<std::int64_t>(loader.micro_batch > 0 ? loader.micro_batch : loader.batch, 500);
}

EvaluateOptions Trainer::evaluate_options() const {
  return {.batch = test_batch(),
          .workers = options_.test_workers,
          .device = device(),
          .capture = options_.capture};
}

bool Trainer::measure(const data::Split& split, Metrics& metrics) {
  const AveragedWeights averaged(average_.get());
  if (evaluator_ == nullptr) evaluator_ = std::make_unique<Evaluator>(objective_, evaluate_options());
  const data::Split share = ranks_.share_of(split);
  const auto keep_going = [&](std::int64_t samples) {
    observers_.tell([&](Observer& observer) { observer.testing(samples, share.size()); });
    return !interrupted() || samples == share.size();
  };
  metrics = {.sums = std::vector<double>(objective_.metrics().size())};
  if (share.size() > 0) metrics = evaluator_->evaluate(share, keep_going);
  check_observers();
  ranks_.add_up(metrics);
  if (metrics.samples < split.size()) return false;
  if (!std::isfinite(metrics.loss())) fail_measured(split, metrics.loss());
  return true;
}

// The tests of the epochs have counted what was right; which class was taken for which is a matter of the
// final weights alone. A run that goes on after its end has it already.
bool Trainer::save_evaluation() {
  if (directory_ == nullptr || test_.size() == 0 || dynamic_cast<Classification*>(&objective_) == nullptr)
    return true;
  const std::filesystem::path path = directory_->file("evaluation.json");
  if (is_there(path)) return true;
  EvaluateOptions options = evaluate_options();
  options.keep_going = [](std::int64_t) { return InterruptHandler::signal() == 0; };
  const Evaluation evaluation = evaluate(objective_.module(), test_, options);
  if (evaluation.samples < test_.size()) return false;
  const nlohmann::json json = train::evaluation_json(evaluation, options_.weights.classes);
  write_file_atomically(path, train::text_by_elements(json) + "\n");
  return true;
}

}  // namespace lamina
