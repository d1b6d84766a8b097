// What a Trainer refuses, and what it says where a run cannot go on.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/base/list_names.h"
#include "core/base/option_name.h"
#include "train/divergence.h"
#include "train/keep_buffers.h"
#include "train/logs.h"
#include "train/memory_advice.h"
#include "train/run_directory.h"
#include "train/step.h"
#include "train/trainer.h"
#include "train/two_pass.h"

namespace lamina {
namespace {

// Those of `params` that `list` does not have.
ParamList missing_from(const ParamList& list, ParamList params) {
  std::erase_if(params,
                [&](const auto& param) { return std::find(list.begin(), list.end(), param) != list.end(); });
  return params;
}

std::string first_names(const ParamList& params) {
  std::vector<std::string> names;
  for (const auto& param : params) names.push_back(param->name);
  return list_names(names, 3);
}

}  // namespace

void Trainer::check_options() const {
  const nlohmann::json config = nlohmann::json::parse(options_.config, nullptr, /*allow_exceptions=*/false);
  if (!options_.config.empty() &&
      !(config.is_object() && config.contains("options") && config["options"].is_object()))
    fail_usage("trainer: config: expected a JSON object with \"options\", or nothing, but it is {}",
               options_.config);
  const auto at_least = [](const char* name, std::int64_t value, std::int64_t least) {
    if (value < least) fail_usage("trainer: {} {}: expected at least {}", option_name(name), value, least);
  };
  at_least("epochs", options_.epochs, 1);
  at_least("patience", options_.patience, 0);
  at_least("test_every", options_.test_every, 0);
  at_least("checkpoint_every", options_.checkpoint_every, 0);
  at_least("checkpoint_steps", options_.checkpoint_steps, 0);
  at_least("keep_checkpoints", options_.keep_checkpoints, 2);
  at_least("test_batch", options_.test_batch, 0);
  at_least("test_workers", options_.test_workers, 0);
  if (!(options_.ema >= 0 && options_.ema < 1))
    fail_usage("trainer: {} {}: expected at least 0 and less than 1", option_name("ema"), options_.ema);
  if (valid_.size() == 0 && (options_.keep == Keep::best || options_.patience > 0)) {
    fail_usage(
        "trainer: {} chooses among epochs by a validation split, but there is none; hold one out of the "
        "training images (data::hold_out), and give it to validate()",
        option_name(options_.keep == Keep::best ? "keep" : "patience"));
  }
  for (const data::Split* split : {&valid_, &test_}) {
    if (split->size() == 0) continue;
    const data::Loader readable = data::evaluation_loader(*split);  // or throws now, not after an epoch
    check(split->channels() == loader_.split().channels(),
          "trainer: images to measure on have {} channels, those to train on {}", split->channels(),
          loader_.split().channels());
  }
}

// A step of an optimizer that has been used, or that has other parameters, would go unnoticed.
void Trainer::check_optimizer() const {
  check(optimizer_.steps() == 0,
        "trainer: the optimizer has taken {} steps already; give each trainer a new optimizer",
        optimizer_.steps());
  const ParamList parameters = objective_.module().parameters();
  const ParamList& stepped = optimizer_.arena().params();
  const std::string kind = objective_.module().kind();
  const ParamList foreign = missing_from(parameters, stepped);
  if (foreign.size() == stepped.size()) {
    fail_usage(
        "trainer: the optimizer has none of the {} parameters of the objective's module, {}; make it of "
        "module().parameters()",
        parameters.size(), kind);
  }
  if (!foreign.empty()) {
    fail_usage(
        "trainer: the optimizer has {} parameters that the objective's module, {}, has not: {}; they would "
        "not be saved. Make it of module().parameters()",
        foreign.size(), kind, first_names(foreign));
  }
  optimizer_.arena().check_bound();
  ParamList idle = missing_from(stepped, parameters);
  std::erase_if(idle, [](const auto& param) { return param->frozen; });
  if (!idle.empty()) {
    fail_usage(
        "trainer: {} parameters of the objective's module, {}, are not in the optimizer, and would never "
        "change: {}. Make it of module().parameters(), or freeze() those",
        idle.size(), kind, first_names(idle));
  }
}

void Trainer::check_observers() {
  const train::Observers::Failure* failed = observers_.failure();
  if (failed == nullptr) return;
  save();
  const char* saved = directory_ == nullptr ? "it has no directory to be saved in"
                      : !failed->has_columns
                          ? "it is saved; run it again, with or without this observer"
                          : "it is saved; run it again, with an observer of the same columns";
  fail("observer {}: {}\n  {} after step {}; {}", failed->observer, failed->what,
       finished() ? "the run came to its end"
                  : fmt::format("the run stopped in epoch {}", position_.epoch + 1),
       position_.step, saved);
}

// Of observers the first that has failed: the others' files are as far as the last checkpoint at least.
void Trainer::fail_unsaved() {
  unsaved_ = true;
  const train::Observers::Failure* failed = observers_.failure();
  fail("observer {}: {}\n  saving failed after step {}; {}", failed->observer, failed->what, position_.step,
       last_checkpoint());
}

std::string Trainer::last_checkpoint() const {
  const std::vector<std::int64_t> steps =
      directory_ != nullptr ? directory_->checkpoint_steps() : std::vector<std::int64_t>();
  return steps.empty() ? "there is no checkpoint yet"
                       : "the last checkpoint is " + directory_->checkpoint(steps.front()).string();
}

// Of several ranks each looks at the whole batch, and so comes to the same without another: they would wait
// for one that has found it.
void Trainer::fail_diverged(const std::string& symptom) {
  step_.reset();
  const auto sharpness_aware =
      make_sharpness_aware(objective_.module(), optimizer_, options_.sharpness_aware);
  const data::Loader whole =
      loader_for(objective_, ranks_.whole(loader_, options_.sync_batch_norm), options_.sharpness_aware);
  const std::string cause = train::find_non_finite(objective_, whole, position_.epoch, position_.batch,
                                                   device(), sharpness_aware.get());
  if (logs_ != nullptr) logs_->flush();
  throw Diverged(fmt::format(
      "training diverged in epoch {}, step {}: {}\n  first of all: {}\n  the step was not taken; {}\n"
      "  try a lower {} (it was {:.4g} here), a longer {}, or another optimizer",
      position_.epoch + 1, position_.step + 1, symptom, cause, last_checkpoint(), option_name("lr"),
      optimizer_.lr(), option_name("warmup_epochs")));
}

// The weights of the epoch are finite, or a step would have said so.
void Trainer::fail_measured(const data::Split& split, double loss) {
  const std::string cause = train::find_non_finite(objective_, split, evaluate_options());
  if (logs_ != nullptr) logs_->flush();
  throw Diverged(fmt::format(
      "training diverged in epoch {}: the {} loss after it is {}\n  first of all: {}\n  {}\n  if running "
      "statistics of batch normalisation overflow or are far from those of a batch, try a lower {} (it was "
      "{:.4g} here), a longer {}, or a larger {}",
      position_.epoch + 1, &split == &valid_ ? "validation" : "test", loss, cause, last_checkpoint(),
      option_name("lr"), optimizer_.lr(), option_name("warmup_epochs"), option_name("batch")));
}

const char* Trainer::part_option() const {
  return perturbs(options_.sharpness_aware) && options_.sharpness_aware->m > 0 ? "sam_m" : "micro_batch";
}

// Trying out what fits must leave nothing behind: whoever takes the advice starts from here.
void Trainer::fail_out_of_memory(const OutOfMemory& error) {
  const train::KeepBuffers keep(objective_.module());
  const data::LoaderOptions& loader = loader_.options();
  const bool split = loader.micro_batch > 0;
  const std::int64_t images = split ? loader.micro_batch : loader.batch;
  const auto work = [this](std::int64_t count) {
    const train::BlankPart blank(loader_, device(), count);
    const Tensor sums =
        Tensor::zeros({std::ssize(objective_.metrics()) + 1}, {optimizer_.arena().dtype(), device()});
    const auto sharpness_aware =
        make_sharpness_aware(objective_.module(), optimizer_, options_.sharpness_aware);
    accumulate_gradients(objective_, blank.part, sums, sharpness_aware.get());
  };
  step_.reset();
  const bool takes_parts =
      !objective_.needs_whole_batch() ||
      (dynamic_cast<const TwoPassObjective*>(&objective_) != nullptr && !perturbs(options_.sharpness_aware));
  const train::ImageWork parts{
      .device = device(),
      .request = fmt::format("{} {}", option_name(split ? part_option() : "batch"), images),
      .option = option_name(takes_parts ? part_option() : "batch"),
      .images = images,
      .batch = loader.batch,
      .run = work};
  OutOfMemory explained = error;
  try {
    explained = train::explain(error, parts);
  } catch (const Error&) {  // an objective that does not do with blank images
  }
  optimizer_.zero_grad();
  remove_unstarted();
  throw explained;
}

}  // namespace lamina
