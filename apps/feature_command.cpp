#include "apps/feature_command.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <string_view>

#include "apps/options.h"
#include "core/base/error.h"
#include "core/base/file_kind.h"
#include "core/base/note.h"
#include "data/loader.h"
#include "train/recipe.h"
#include "train/run_directory.h"

namespace lamina::app {
namespace {

constexpr std::string_view random_prefix = "random:";

bool is_random(const FeatureCommand& command) { return command.file.starts_with(random_prefix); }

// Of a run, where nobody says: what it was trained on.
FeatureCommand with_data_of_run(FeatureCommand command) {
  if (!command.data.empty()) return command;
  if (is_random(command) || !train::RunDirectory::holds_run(command.file)) {
    check(is_random(command) || is_there(command.file), "{}: {}: there is no such file or run directory",
          command.name, command.file);
    fail_usage("{}: --data NAME[:DIR] is missing: whose features to take", command.name);
  }
  const auto run = train::RunDirectory::open(command.file);
  const train::Recipe trained = train::recipe_from_json(run.read_config().value("options", nlohmann::json()),
                                                        run.file("config.json").string());
  command.data = trained.data;
  if (!command.image_size && data::reads_image_files(trained.data)) command.image_size = trained.image_size;
  command.skip_damaged = command.skip_damaged || trained.skip_damaged;
  if (!command.max_pixels) command.max_pixels = trained.max_pixels;
  return command;
}

data::Dataset open_data(const FeatureCommand& command, int trained_size) {
  const int resized = data::reads_image_files(command.data) ? trained_size : 0;
  if (!command.image_size && resized > 0)
    note("images are resized and cropped to {0}x{0}, as in training; --image-size 0 keeps their size",
         resized);
  data::Dataset data =
      data::open(command.data, {.limit_train = command.limit_train,
                                .limit_test = command.limit_test,
                                .image_size = command.image_size.value_or(resized),
                                .skip_damaged = command.skip_damaged,
                                .max_pixels = command.max_pixels.value_or(data::max_pixels)});
  check(data.train.size() > 0 && data.test.size() > 0,
        "{}: {} has {} training and {} test images; expected some of both", command.name, command.data,
        data.train.size(), data.test.size());
  return data;
}

// A wrong normalisation costs accuracy that would be taken for the backbone's.
void tell_of_statistics(const FeatureCommand& command, const train::Backbone& backbone) {
  if (!command.guesses_statistics)
    fail(
        "{}: {} does not say how its images were normalised; give --mean and --std (ImageNet's are "
        "0.485,0.456,0.406 and 0.229,0.224,0.225)",
        command.name, backbone.name);
  note(
      "{} does not say how its images were normalised; ImageNet's mean and deviation are taken. --mean and "
      "--std say others",
      backbone.name);
}

}  // namespace

void add_options(const Command& parser, FeatureCommand& command, const std::string& seed_help) {
  parser.argument("file", command.file, "RUN|FILE, or random:MODEL, a backbone that was never trained");
  parser.option("--data", command.data, "NAME[:DIR]; default: what the run was trained on");
  parser.option("--limit-train", command.limit_train, "use only N training images; 0: all", at_least(0));
  parser.option("--limit-test", command.limit_test, "use only N test images; 0: all", at_least(0));
  parser.option("--seed", command.seed, "of random:MODEL's weights" + seed_help);
  parser.option("--batch", command.batch, "images at once", between(1, 1e9));
  parser.option("--workers", command.workers, "threads that prepare batches", between(0, data::most_workers));
  add_image_options(parser, command.image_size, command.skip_damaged, command.max_pixels);
  add_options(parser, command.model, command.guesses_statistics);
}

void check_seed(const Command& parser, const FeatureCommand& command) {
  if (parser.given("--seed") && !is_random(command))
    fail_usage("{}: --seed does nothing: {} is no random:MODEL", command.name, command.file);
  if (parser.given("--model") && is_random(command))
    fail_usage("{}: --model does nothing: {} names the model", command.name, command.file);
}

train::FeatureSource open_source(const FeatureCommand& given) {
  const FeatureCommand command = with_data_of_run(given);
  if (is_random(command)) {
    data::Dataset data = open_data(command, 0);
    train::Backbone backbone =
        train::random_backbone(command.file.substr(random_prefix.size()), command.model, command.seed,
                               static_cast<int>(data.train.channels()));
    return train::feature_source(std::move(backbone), std::move(data));
  }
  train::Backbone backbone = train::load_backbone(command.file, command.model);
  data::Dataset data = open_data(command, backbone.info.image_size.value_or(0));
  check(data.train.channels() == backbone.channels, "{}: the images of {} have {} channels, {} wants {}",
        command.name, command.data, data.train.channels(), backbone.name, backbone.channels);
  if (!backbone.says_statistics) tell_of_statistics(command, backbone);
  return train::feature_source(std::move(backbone), std::move(data));
}

train::SplitFeatures features_of(const FeatureCommand& command, train::FeatureSource& source) {
  return train::features_of(source, {.batch = command.batch, .workers = command.workers});
}

nlohmann::json describe(const FeatureCommand& command, const train::FeatureSource& source) {
  nlohmann::json json = train::describe(source);
  if (is_random(command)) json["seed"] = command.seed;
  return json;
}

std::string title(const FeatureCommand& command, const train::FeatureSource& source) {
  const train::Backbone& backbone = source.backbone;
  std::string what = backbone.net.model();
  if (!backbone.method.empty()) what += ", " + backbone.method;
  if (backbone.epoch) what += fmt::format(", epoch {}", *backbone.epoch);
  if (is_random(command)) what += fmt::format(", seed {}", command.seed);
  if (backbone.bn_batch) what += fmt::format(", bn_batch {}", *backbone.bn_batch);
  return fmt::format("{} ({}) on {}", backbone.name, what, source.data.name);
}

}  // namespace lamina::app
