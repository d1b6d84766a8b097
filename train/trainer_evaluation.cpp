// Trainer: what is measured of the final weights.
#include <algorithm>

#include "core/base/atomic_file.h"
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

// The tests of the epochs have counted what was right; which class was taken for which is a matter of the
// final weights alone. A run that goes on after its end has it already. Ctrl-C leaves it out.
void Trainer::save_evaluation() {
  if (directory_ == nullptr || test_.size() == 0 || dynamic_cast<Classification*>(&objective_) == nullptr)
    return;
  const std::filesystem::path path = directory_->file("evaluation.json");
  if (std::filesystem::exists(path)) return;
  const auto keep_going = [](std::int64_t) { return InterruptHandler::signal() == 0; };
  const Evaluation evaluation = evaluate(objective_.module(), test_,
                                         {.batch = test_batch(),
                                          .workers = options_.test_workers,
                                          .device = device(),
                                          .keep_going = keep_going});
  if (evaluation.samples < test_.size()) return;
  const nlohmann::json json = train::evaluation_json(evaluation, options_.weights.classes);
  write_file_atomically(path, train::text_by_elements(json) + "\n");
}

}  // namespace lamina
