#include "analysis/open_surface.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/file_kind.h"
#include "core/base/note.h"
#include "core/base/option_name.h"
#include "data/dataset.h"
#include "layers/foreign_weights.h"
#include "layers/weights.h"
#include "train/checkpoint.h"
#include "train/match_classes.h"
#include "train/objectives/classification.h"
#include "train/recipe.h"
#include "train/run_config.h"

namespace lamina::analysis {
namespace {

void check_options(const SurfaceOptions& options) {
  if (options.split != "train" && options.split != "test")
    fail_usage("{} {}: expected train or test", option_name("split"), options.split);
}

// What a run says of how it was trained, as the user wants it now.
train::Recipe recipe_of(const SurfaceOptions& options, const nlohmann::json& config,
                        const std::string& source) {
  train::Recipe recipe = train::recipe_from_json(config.at("options"), source);
  if (recipe.method)
    recipe = train::with_resolved(recipe, config.value("resolved", nlohmann::json::object()));
  if (!options.data.empty()) recipe.data = options.data;
  if (!data::reads_image_files(recipe.data)) recipe.image_size = 0;
  if (options.image_size) recipe.image_size = *options.image_size;
  if (options.max_pixels) recipe.max_pixels = *options.max_pixels;
  recipe.skip_damaged = recipe.skip_damaged || options.skip_damaged;
  recipe.init_weights.reset();  // its weights have come from there long ago
  recipe.mixup = 0;             // images are as they are in tests
  recipe.sharpness_every = 0;
  const train::DeviceOptions& device = options.model.device;
  recipe.device = device.device, recipe.threads = device.threads, recipe.precision = device.precision;
  recipe.tf32 = device.tf32, recipe.deterministic = device.deterministic;
  recipe.memory_limit = device.memory_limit;
  return recipe;
}

const data::Split& chosen_split(const data::Dataset& data, const std::string& split) {
  return split == "train" ? data.train : data.test;
}

}  // namespace

OpenedSurface::OpenedSurface(const SurfaceOptions& options)
    : split_(options.split), micro_batch_(options.samples.micro_batch) {
  check_options(options);
  const train::FoundWeights weights = train::find_weights(options.file);
  const nlohmann::json config = train::config_of(weights.file, options.file);
  file_ = weights.path.string();
  epoch_ = train::epoch_of(weights.file, config);
  config.is_object() && config.contains("options") ? open_run(options, weights, config) : open_file(options);
}

void OpenedSurface::open_run(const SurfaceOptions& options, const train::FoundWeights& weights,
                             const nlohmann::json& config) {
  if (options.model.model || options.model.stem || options.model.shortcut)
    fail_usage("{}: it says itself what its model is; leave out {}, {} and {}", options.file,
               option_name("model"), option_name("stem"), option_name("shortcut"));
  const train::ResolvedRecipe recipe = train::resolve(recipe_of(options, config, options.file));
  run_.emplace(train::make_setup(recipe));
  const TensorFile values = train::weights_of(weights.file);
  load_weights(values, run_->net->state(), true, file_);
  check_finite(values, file_);
  objective_ = run_->objective.get();
  model_ = run_->net->model();
  data_ = run_->data.name;
  views_ = run_->recipe.loader.recipe;
  const WeightInfo said = info_from_metadata(weights.file.metadata);
  check(said.classes.empty() || said.classes == run_->data.classes,
        "{}: its classes are not those of {}, in names or order; expected the data that it was trained on",
        file_, recipe.recipe.data);
  const std::vector<std::string> differences =
      data::data_differences(train::data_of_run(config, options.file), run_->data.identity);
  if (!differences.empty())
    note("{}: the data are not what they were in training (there):\n  {}", file_,
         fmt::join(differences, "\n  "));
  data::Split split = chosen_split(run_->data, options.split);
  const std::vector<float>&mean = options.model.mean, &std = options.model.std;
  if (!mean.empty() || !said.mean.empty()) split.mean = mean.empty() ? said.mean : mean;
  if (!std.empty() || !said.std.empty()) split.std = std.empty() ? said.std : std;
  make_surface(options, split, run_->device);
}

void OpenedSurface::open_file(const SurfaceOptions& options) {
  if (options.data.empty())
    fail_usage("{}: {} NAME[:DIR] is missing: the file does not say what it was trained on", options.file,
               option_name("data"));
  loaded_.emplace(train::load_model(options.file, options.model));
  const data::Dataset data = data::open(
      options.data, {.image_size = options.image_size.value_or(
                         data::reads_image_files(options.data) ? train::training_size(loaded_->info) : 0),
                     .skip_damaged = options.skip_damaged,
                     .max_pixels = options.max_pixels.value_or(data::max_pixels)});
  check(data.train.channels() == loaded_->channels, "{}: the images of {} have {} channels; expected {}",
        file_, options.data, data.train.channels(), loaded_->channels);
  const train::ClassMatch match = train::match_classes(*loaded_, data, /*by_position=*/false);
  if (!match.note.empty()) note("{}", match.note);
  of_file_ = std::make_unique<Classification>(loaded_->net);
  objective_ = of_file_.get();
  model_ = loaded_->net.model();
  data_ = data.name;
  data::Split split = train::with_labels_of(match, chosen_split(data, options.split));
  split.mean = loaded_->info.mean;
  split.std = loaded_->info.std;
  make_surface(options, split, loaded_->net.options().device);
}

void OpenedSurface::make_surface(const SurfaceOptions& options, const data::Split& split, Device device) {
  check(split.size() > 0, "{}: there are no {} images", data_, options.split);
  surface_ = std::make_unique<LossSurface>(
      *objective_, fixed_samples(*objective_, split, views_, options.samples, device), options.batch_norm);
}

nlohmann::json OpenedSurface::describe() const {
  return {{"file", file_},
          {"model", model_},
          {"epoch", epoch_ ? nlohmann::json(*epoch_) : nlohmann::json()},
          {"objective", objective_->name()},
          {"data", data_},
          {"split", split_},
          {"samples", surface_->samples()},
          {"view",
           views_ && objective_->needs_whole_batch() ? nlohmann::json(views_->name) : nlohmann::json("test")},
          {"bn", name_of(surface_->batch_norm())},
          {"micro_batch", micro_batch_},
          {"parameters", surface_->size()}};
}

std::string OpenedSurface::title() const {
  const bool own = surface_->batch_norm() == BatchNormMode::train;
  return fmt::format("{} ({}{}), {} on {} {} images of {}, batch norm {}", file_, model_,
                     epoch_ ? fmt::format(", epoch {}", *epoch_) : "", objective_->name(),
                     surface_->samples(), split_ == "train" ? "training" : "test", data_,
                     own ? fmt::format("of the batch ({} together)", micro_batch_) : "by running statistics");
}

}  // namespace lamina::analysis
