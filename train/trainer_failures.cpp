// What a Trainer says where a run cannot go on.
#include "core/base/option_name.h"
#include "train/divergence.h"
#include "train/logs.h"
#include "train/memory_advice.h"
#include "train/run_directory.h"
#include "train/step.h"
#include "train/trainer.h"

namespace lamina {

void Trainer::check_observers() {
  const train::Observers::Failure* failed = observers_.failure();
  if (failed == nullptr) return;
  save();
  const char* saved = directory_ == nullptr ? "it has no directory to be saved in"
                      : !failed->has_columns
                          ? "it is saved and can go on without this observer"
                          : "it is saved and can go on, with this observer's columns in steps.csv";
  fail("observer {}: {}\n  {} after step {}; {}", failed->observer, failed->what,
       finished() ? "the run came to its end"
                  : fmt::format("the run stopped in epoch {}", position_.epoch + 1),
       position_.step, saved);
}

void Trainer::fail_diverged(const std::string& symptom) {
  const std::string cause =
      train::find_non_finite(objective_, loader_, position_.epoch, position_.batch, device());
  if (logs_ != nullptr) logs_->flush();
  const std::vector<std::int64_t> checkpoints =
      directory_ != nullptr ? directory_->checkpoint_steps() : std::vector<std::int64_t>();
  throw Diverged(fmt::format(
      "training diverged in epoch {}, step {}: {}\n  first of all: {}\n  the step was not taken; {}\n"
      "  try a lower {} (it was {:.4g} here), a longer {}, or another optimizer",
      position_.epoch + 1, position_.step + 1, symptom, cause,
      checkpoints.empty() ? "there is no checkpoint yet"
                          : "the last checkpoint is " + directory_->checkpoint(checkpoints.front()).string(),
      option_name("lr"), optimizer_.lr(), option_name("warmup_epochs")));
}

void Trainer::fail_out_of_memory(const OutOfMemory& error) {
  const data::LoaderOptions& loader = loader_.options();
  const bool split = loader.micro_batch > 0;
  const std::int64_t images = split ? loader.micro_batch : loader.batch;
  const auto work = [this](std::int64_t count) {
    const train::BlankPart blank(loader_, device(), count);
    const Tensor sums =
        Tensor::zeros({std::ssize(objective_.metrics()) + 1}, {optimizer_.arena().dtype(), device()});
    accumulate_gradients(objective_, blank.part, sums);
  };
  step_.reset();
  const OutOfMemory explained = train::explain(
      error, {.device = device(),
              .request = fmt::format("{} {}", option_name(split ? "micro_batch" : "batch"), images),
              .option = option_name(objective_.needs_whole_batch() ? "batch" : "micro_batch"),
              .images = images,
              .batch = loader.batch,
              .run = work});
  remove_unstarted();
  throw explained;
}

}  // namespace lamina
