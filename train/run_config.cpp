#include "train/run_config.h"

#include <fmt/ranges.h>

#include "core/base/error.h"
#include "core/base/option_name.h"
#include "core/base/version.h"
#include "train/model_info.h"
#include "train/recipe.h"

namespace lamina::train {
namespace {

std::int64_t count_parameters(const Module& module) {
  std::int64_t count = 0;
  for (const auto& param : module.parameters()) count += param->value.elements();
  return count;
}

std::string model_name(Objective& objective) {
  const Module& module = objective.module();
  const std::string model = model_info(module).model;
  return !model.empty() ? model : fmt::format("{}, {} parameters", module.kind(), count_parameters(module));
}

std::string data_name(const data::Split& split) {
  return fmt::format("{} images of {}x{}x{}", split.size(), split.height(), split.width(), split.channels());
}

// As the recipe's option, so that a run without any is told apart from no run of before.
std::vector<std::string> frozen_in(const Module& module) {
  std::vector<std::string> names;
  for (const auto& param : module.parameters())
    if (param->frozen) names.push_back(param->name);
  return names;
}

nlohmann::json settings_of(const Optimizer& optimizer) {
  nlohmann::json settings = nlohmann::json::array();
  for (const auto& [name, value] : optimizer.knobs()) settings.push_back(fmt::format("{}={}", name, value));
  return settings;
}

std::string augment_text(const data::LoaderOptions& loader) {
  const data::Augment& augment = loader.augment;
  std::string text;
  if (loader.recipe)
    text = fmt::format("views: {}; size {}; ", data::describe(*loader.recipe), loader.recipe->size);
  text += fmt::format("pad {}{}", augment.padding, augment.flip ? ", flip" : "");
  if (augment.cutout > 0) text += fmt::format(", cutout {}", augment.cutout);
  return text;
}

data::DataIdentity identity_of_run(const data::Split& train, const data::Split& test) {
  return {.train = data::identity_of(train),
          .test = data::identity_of(test),
          .height = train.height(),
          .width = train.width(),
          .channels = train.channels(),
          .mean = train.mean,
          .std = train.std};
}

// Earlier versions kept the classes, the statistics and how many images were used. Those are all there are
// unless some were left out; a program's own data are in its options.
data::DataIdentity data_of_old_run(const nlohmann::json& config, const nlohmann::json& resolved,
                                   const std::string& source) {
  const nlohmann::json options = config.value("options", nlohmann::json::object());
  if (options.contains("objective")) return {};
  data::DataIdentity identity =
      data::identity_from_json({{"classes", resolved.value("classes", nlohmann::json::array())},
                                {"mean", resolved.value("mean", nlohmann::json::array())},
                                {"std", resolved.value("std", nlohmann::json::array())}},
                               source);
  const auto count = [&](const char* name) { return resolved.value(name, std::int64_t{0}); };
  if (options.value("limit_train", 0) == 0)
    identity.train.images = count("train_images") + count("valid_images");
  if (options.value("limit_test", 0) == 0) identity.test.images = count("test_images");
  return identity;
}

void check_same_data(const nlohmann::json& saved, const nlohmann::json& config, const std::string& source) {
  const std::vector<std::string> differences =
      data::data_differences(data_of_run(saved, source), data_of_run(config, "this run"));
  check(differences.empty(),
        "{}: the run was trained on other data:\n  {}\nGive the data that it was trained on ({}), or start a "
        "new run in another directory",
        source, fmt::join(differences, "\n  "), option_name("data"));
}

}  // namespace

nlohmann::json describe_run(const TrainingRun& run, const TrainerOptions& options, std::int64_t valid_images,
                            const data::Split& test) {
  const data::LoaderOptions& loader = run.loader.options();
  const Schedule* schedule = run.optimizer.schedule();
  nlohmann::json objective{{"name", run.objective.name()}};
  for (const auto& [name, value] : run.objective.options()) objective[name] = value;
  nlohmann::json knobs = nlohmann::json::object();
  for (const auto& [name, value] : run.optimizer.knobs()) knobs[name] = value;
  return {{"lamina", version()},
          {"options",
           {{"data", data_name(run.loader.split())},
            {"model", model_name(run.objective)},
            {"objective", objective.dump()},
            {"optimizer", run.optimizer.name()},
            {"set", settings_of(run.optimizer)},
            {"freeze", frozen_in(run.objective.module())},
            {"schedule", schedule != nullptr ? schedule->str() : fmt::format("lr {}", run.optimizer.lr())},
            {"epochs", run.epochs},
            {"mean", run.loader.split().mean},
            {"std", run.loader.split().std},
            {"batch", loader.batch},
            {"micro_batch", loader.micro_batch},
            {"augment", augment_text(loader)},
            {"transform", static_cast<bool>(loader.transform)},  // whether; not which
            {"views", loader.views},
            {"shuffle", loader.shuffle},
            {"drop_last", loader.drop_last},
            {"valid", valid_images},
            {"keep", options.keep == Keep::best ? "best" : "last"},
            {"patience", options.patience},
            {"ema", options.ema},
            {"device", run.optimizer.arena().device().str()},
            {"seed", *loader.seed}}},
          {"resolved",
           {{"train_images", run.loader.split().size()},
            {"steps_per_epoch", run.loader.batches()},
            {"data", to_json(identity_of_run(run.loader.split(), test))},
            {"knobs", knobs}}}};
}

data::DataIdentity data_of_run(const nlohmann::json& config, const std::string& source) try {
  const nlohmann::json resolved = config.value("resolved", nlohmann::json::object());
  return resolved.contains("data") ? data::identity_from_json(resolved["data"], source)
                                   : data_of_old_run(config, resolved, source);
} catch (const nlohmann::json::exception& error) {
  fail("{}: what it says of its data is damaged: {}", source, error.what());
}

void check_same_recipe(const RunDirectory& directory, const nlohmann::json& config) {
  const nlohmann::json saved = directory.read_config();
  const std::string source = directory.file("config.json").string();
  check(saved.contains("options") && saved["options"].is_object(),
        "{}: no \"options\": not the configuration of a run", source);
  const std::string differences = list_differences(config.at("options"), saved["options"]);
  check(differences.empty(),
        "run directory {}: holds a run of another recipe:{}\nChoose another directory, or remove that run",
        directory.path().string(), differences);
  check_same_data(saved, config, source);
}

void check_same_run(const Checkpoint& checkpoint, const nlohmann::json& config) {
  check(checkpoint.config.contains("options"), "{}: its configuration has no \"options\"; remove it",
        checkpoint.path.string());
  const std::string differences = list_differences(config.at("options"), checkpoint.config["options"]);
  check(differences.empty(),
        "{}: a checkpoint of another run:{}\nRemove it, and the run goes on from the one before it",
        checkpoint.path.string(), differences);
  check_same_data(checkpoint.config, config, checkpoint.path.string());
}

}  // namespace lamina::train
