#include "apps/landscape_surface.h"

#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/file_kind.h"
#include "core/base/note.h"
#include "core/base/table.h"
#include "data/dataset.h"
#include "data/loader.h"
#include "train/match_classes.h"
#include "train/recipe.h"
#include "train/run_directory.h"

namespace lamina::app {
namespace {

// Where nobody names data: what the run was trained on.
SurfaceOptions with_data_trained_on(SurfaceOptions options) {
  if (!options.data.empty()) return options;
  if (!train::RunDirectory::holds_run(options.file)) {
    check(is_there(options.file), "{}: there is no such file or run directory", options.file);
    fail_usage("--data NAME[:DIR] is missing: on whose images the loss of {} is to be measured",
               options.file);
  }
  const auto run = train::RunDirectory::open(options.file);
  const train::Recipe trained = train::recipe_from_json(run.read_config().value("options", nlohmann::json()),
                                                        run.file("config.json").string());
  options.data = trained.data;
  if (!options.image_size && data::reads_image_files(trained.data)) options.image_size = trained.image_size;
  options.skip_damaged = options.skip_damaged || trained.skip_damaged;
  if (!options.max_pixels) options.max_pixels = trained.max_pixels;
  return options;
}

// With training images whose labels are numbers of the model's outputs, normalised as its weights want it.
data::Dataset open_images(const SurfaceOptions& options, const train::LoadedModel& model) {
  const int trained = data::reads_image_files(options.data) ? model.info.image_size.value_or(0) : 0;
  data::Dataset data =
      data::open(options.data, {.image_size = options.image_size.value_or(trained),
                                .skip_damaged = options.skip_damaged,
                                .max_pixels = options.max_pixels.value_or(data::max_pixels)});
  check(data.train.channels() == model.channels, "the images of {} have {} channels, {} wants {}",
        options.data, data.train.channels(), model.file.string(), model.channels);
  if (options.samples > data.train.size())
    fail_usage("--limit {}: {} has {} training images; expected no more", options.samples, options.data,
               data.train.size());
  const train::ClassMatch match = train::match_classes(model, data, /*by_position=*/false);
  if (!match.note.empty()) note("{}", match.note);
  data.train = train::with_labels_of(match, data::limit(data.train, options.samples));
  data.train.mean = model.info.mean;
  data.train.std = model.info.std;
  return data;
}

}  // namespace

OpenedSurface::OpenedSurface(SurfaceOptions options) : options_(with_data_trained_on(std::move(options))) {
  model_ = train::load_model(options_.file, options_.model);
  const data::Dataset data = open_images(options_, *model_);
  data_ = data.name;
  const data::Loader loader = data::evaluation_loader(data.train, options_.micro_batch, options_.workers);
  objective_ = std::make_unique<Classification>(model_->net);
  surface_ = std::make_unique<analysis::LossSurface>(
      *objective_, analysis::fixed_parts(loader, model_->net.options().device),
      analysis::BatchNormMode::eval);
}

nlohmann::json OpenedSurface::describe() const {
  return {{"file", model_->file.string()},
          {"model", model_->info.model},
          {"data", data_},
          {"split", "train"},
          {"samples", surface_->samples()},
          {"micro_batch", options_.micro_batch}};
}

std::string OpenedSurface::title() const {
  return fmt::format("{} ({}) on {} training images of {}", model_->file.string(), model_->info.model,
                     format_count(surface_->samples()), data_);
}

}  // namespace lamina::app
