// Trainer: its directory, what it takes up there and what it leaves.
#include <algorithm>

#include "core/base/option_name.h"
#include "train/checkpoint.h"
#include "train/logs.h"
#include "train/longer_run.h"
#include "train/run_config.h"
#include "train/run_directory.h"
#include "train/step.h"
#include "train/trainer.h"

namespace lamina {

void Trainer::open() {
  run_ = std::make_unique<TrainingRun>(
      TrainingRun{.objective = objective_,
                  .optimizer = optimizer_,
                  .loader = loader_,
                  .directory = directory_ != nullptr ? directory_->path() : std::filesystem::path(),
                  .epochs = options_.epochs,
                  .resumed = directory_ != nullptr && train::RunDirectory::holds_run(directory_->path()),
                  .checkpoint = {},
                  .position = position_,
                  .epoch_columns = observers_.epoch_columns(),
                  .ranks = ranks_.several()});
  check_optimizer();
  check_ranks();
  if (options_.ema != 0) average_ = std::make_unique<WeightAverage>(objective_.module(), options_.ema);
  if (directory_ == nullptr && ranks_.several() == nullptr) return;
  nlohmann::json config = options_.config.empty()
                              ? train::describe_run(*run_, options_, {.valid = valid_, .test = test_})
                              : nlohmann::json::parse(options_.config);
  if (ranks_.several() != nullptr) config["resolved"]["ranks"] = ranks_.several()->size();
  options_.config = config.dump();
  ranks_.check_same_run(config);
  std::optional<train::Checkpoint> checkpoint;
  if (directory_ != nullptr) {
    directory_->remove_half_written();
    if (run_->resumed) {
      const nlohmann::json saved = directory_->read_config();
      train::check_same_recipe(*directory_, train::with_epochs_of(saved, config));
      is_longer_ = train::check_longer(saved, config, directory_->path());
      checkpoint = train::read_newest_checkpoint(*directory_);
    }
  }
  run_->resumed = ranks_.first_of(run_->resumed ? 1 : 0) != 0;
  if (ranks_.first_of(checkpoint ? 1 : 0) == 0) return;
  if (ranks_.several() != nullptr)
    checkpoint = train::checkpoint_from(ranks_.hand_out(checkpoint ? checkpoint->file : TensorFile()),
                                        checkpoint ? checkpoint->path : "the checkpoint of rank 0");
  resume(*checkpoint);
}

void Trainer::check_ranks() const {
  const data::LoaderOptions& loader = loader_.options();
  const std::int64_t part = loader.micro_batch;
  if (!options_.sync_batch_norm || part == 0) return;
  const std::string sync = option_name("sync_batch_norm"), parts = option_name(part_option());
  if (ranks_.several() != nullptr)
    fail_usage(
        "trainer: {} needs every rank to compute its share of a batch at once, else they would wait for one "
        "another's parts; leave out {} {}",
        sync, parts, part);
  if (part < loader.batch)
    fail_usage(
        "trainer: {} is of whole batches, but with {} {} of {} {} each part has its own; leave one out", sync,
        parts, part, option_name("batch"), loader.batch);
}

void Trainer::resume(const train::Checkpoint& checkpoint) {
  const nlohmann::json config = nlohmann::json::parse(options_.config);
  if (ranks_.leads()) {  // the others are to train the same
    train::check_same_run(checkpoint, train::with_epochs_of(checkpoint.config, config));
    train::check_longer(checkpoint.config, config, checkpoint.path);
  }
  restore(checkpoint, objective_.module(), optimizer_, average_.get());
  position_ = checkpoint.position;
  run_->checkpoint = checkpoint.path;
  saved_ = true;
  if (directory_ != nullptr) checkpoints_ = directory_->checkpoint_steps();
  std::erase_if(checkpoints_, [&](std::int64_t step) { return step > position_.step; });  // damaged
  std::reverse(checkpoints_.begin(), checkpoints_.end());  // the newest came first
  if (is_longer_ && out_of_patience()) {
    fail_usage(
        "run directory {}: it ended after epoch {}, out of its {} of {}; with {} {} it would have ended "
        "there, too",
        run_->directory.string(), position_.epoch, option_name("patience"), options_.patience,
        option_name("epochs"), options_.epochs);
  }
  if (options_.keep == Keep::best && position_.best.epoch > 0) {
    if (directory_ != nullptr) best_ = read_tensors(directory_->file("best.safetensors"));
    best_ = ranks_.hand_out(best_);
  }
}

// Before the first step beyond what the directory holds. The final weights of an earlier end go first:
// whatever stops this, no reader takes them for those of a longer run.
void Trainer::begin() {
  if (begun_ || directory_ == nullptr) return;
  directory_->remove_end();
  if (is_longer_) directory_->write_config(nlohmann::json::parse(options_.config));
  begun_ = true;
}

// After an error of something else; what it says matters more than that saving failed, too. Within a step, or
// with steps whose results were not read, weights or running statistics are ahead of the position.
void Trainer::save_what_is_known() {
  if (within_step_ || step_ == nullptr || step_->unread() > 0 || position_.step == 0) return;
  try {
    save();
  } catch (const std::exception&) {
  }
}

void Trainer::keep_best() {
  const AveragedWeights averaged(average_.get());
  best_ = to_tensor_file(objective_.module().state(), options_.weights);
  if (directory_ != nullptr) write_tensors(directory_->file("best.safetensors"), best_);
}

// The logs and the observers' files first: no checkpoint may be ahead of them. Kept are the last ones; others
// are older, or damaged, or of steps that this run has yet to take.
void Trainer::save() {
  if (saved_ || directory_ == nullptr || unsaved_) return;
  logs_->sync();
  if (!observers_.tell([](Observer& observer) { observer.save(); })) fail_unsaved();
  save_checkpoint(*directory_, objective_.module(), options_.weights, optimizer_, average_.get(), position_,
                  options_.config);
  saved_ = true;
  if (checkpoints_.empty() || checkpoints_.back() != position_.step) checkpoints_.push_back(position_.step);
  while (std::ssize(checkpoints_) > options_.keep_checkpoints) checkpoints_.erase(checkpoints_.begin());
  directory_->keep_checkpoints(checkpoints_);
}

void Trainer::take_final_weights() {
  if (average_ != nullptr) average_->copy_to_module();
  if (options_.keep == Keep::best && !best_.tensors.empty())
    load_weights(best_, objective_.module().state(), true, "the best epoch's weights");
}

void Trainer::save_final_weights() const {
  if (directory_ != nullptr)
    save_weights(directory_->file("weights.safetensors"), objective_.module(), options_.weights);
}

// Nobody could go on with a run that never took a step, and it would be in the next one's way.
void Trainer::remove_unstarted() {
  if (directory_ != nullptr && run_ != nullptr && !run_->resumed && position_.step == 0)
    directory_->remove_unstarted();
}

}  // namespace lamina
