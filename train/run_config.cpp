#include "train/run_config.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/base/json_number.h"
#include "core/base/note.h"
#include "core/base/option_name.h"
#include "core/base/version.h"
#include "core/instruction_set.h"
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

data::DataIdentity identity_of_run(const data::Split& train, const MeasuredOn& measured) {
  return {.train = data::identity_of(train),
          .test = data::identity_of(measured.test),
          .valid = data::identity_of(measured.valid),
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
  const auto count = [&](const char* name) {
    return whole_number_from_json<std::int64_t>(resolved.value(name, nlohmann::json(0)));
  };
  const auto is_limited = [&](const char* name) { return options.value(name, nlohmann::json(0)) != 0; };
  if (!is_limited("limit_train")) identity.train.images = count("train_images") + count("valid_images");
  if (!is_limited("limit_test")) identity.test.images = count("test_images");
  return identity;
}

// Earlier versions took what Tiny ImageNet is before it and its classes had their names.
void correct_tiny_imagenet(const nlohmann::json& config, data::DataIdentity& identity) {
  const auto at = [&](const char* path) {
    return config.value(nlohmann::json::json_pointer(path), nlohmann::json());
  };
  const nlohmann::json data = at("/options/data"), classes = at("/resolved/classes");
  if (!data.is_string() || without_directory(data.get<std::string>()) != "tiny-imagenet") return;
  identity.name = "tiny-imagenet";
  identity.classes = classes.get<std::vector<std::string>>();
}

void check_same_data(const nlohmann::json& saved, const nlohmann::json& config, const std::string& source) {
  const std::vector<std::string> differences =
      data::data_differences(data_of_run(saved, source), data_of_run(config, "this run"));
  check(differences.empty(),
        "{}: the run was trained on other data:\n  {}\nGive the data that it was trained on ({}), or start a "
        "new run in another directory",
        source, fmt::join(differences, "\n  "), option_name("data"));
}

void note_other_kernels(const Checkpoint& checkpoint, const nlohmann::json& config) {
  const nlohmann::json::json_pointer kernels("/resolved/kernels");
  if (!checkpoint.config.contains(kernels) || !config.contains(kernels)) return;
  const nlohmann::json there = checkpoint.config[kernels], here = config[kernels];
  if (there != here)
    note(
        "{} was computed with the CPU kernels {}, which round otherwise than {}: the run goes on, but not to "
        "the "
        "bits of one that was not stopped. LAMINA_CPU chooses them",
        checkpoint.path.string(), there.dump(), here.dump());
}

// Sums over other ranks are rounded in another order, and batch normalisation has other parts.
void note_other_ranks(const Checkpoint& checkpoint, const nlohmann::json& config) {
  const nlohmann::json::json_pointer ranks("/resolved/ranks");
  const nlohmann::json there = checkpoint.config.value(ranks, nlohmann::json(1)),
                       here = config.value(ranks, nlohmann::json(1));
  const auto text = [](const nlohmann::json& n) { return n == 1 ? "one process" : n.dump() + " ranks"; };
  if (there != here)
    note("{} was computed by {}: by {} the run goes on, but not to the bits of one that was not stopped",
         checkpoint.path.string(), text(there), text(here));
}

}  // namespace

nlohmann::json describe_run(const TrainingRun& run, const TrainerOptions& options,
                            const MeasuredOn& measured) {
  const data::LoaderOptions& loader = run.loader.options();
  const Schedule* schedule = run.optimizer.schedule();
  nlohmann::json objective{{"name", run.objective.name()}};
  for (const auto& [name, value] : run.objective.options()) objective[name] = value;
  nlohmann::json knobs = nlohmann::json::object();
  for (const auto& [name, value] : run.optimizer.knobs()) knobs[name] = value;
  const Device device = run.optimizer.arena().device();
  const SamOptions sam = perturbs(options.sharpness_aware) ? *options.sharpness_aware : SamOptions{.rho = 0};
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
            {"sync_batch_norm", options.sync_batch_norm},
            {"augment", augment_text(loader)},
            {"transform", static_cast<bool>(loader.transform)},  // whether; not which
            {"views", loader.views},
            {"shuffle", loader.shuffle},
            {"drop_last", loader.drop_last},
            {"valid", measured.valid.size()},
            {"keep", options.keep == Keep::best ? "best" : "last"},
            {"patience", options.patience},
            {"ema", options.ema},
            {"sam", sam.rho},
            {"sam_adaptive", sam.adaptive},
            {"sam_eta", sam.adaptive ? nlohmann::json(sam.eta) : nlohmann::json()},
            {"sam_m", sam.m},
            {"device", device.str()},
            {"seed", *loader.seed}}},
          {"resolved",
           {{"train_images", run.loader.split().size()},
            {"steps_per_epoch", run.loader.batches()},
            {"data", to_json(identity_of_run(run.loader.split(), measured))},
            {"kernels", kernels_on(device)},
            {"knobs", knobs}}}};
}

std::string kernels_on(Device device) {
  return device.type == DeviceType::cpu ? instruction_set() : device.str();
}

data::DataIdentity data_of_run(const nlohmann::json& config, const std::string& source) try {
  const nlohmann::json resolved = config.value("resolved", nlohmann::json::object());
  if (!resolved.contains("data")) return data_of_old_run(config, resolved, source);
  data::DataIdentity identity = data::identity_from_json(resolved["data"], source);
  if (identity.name == "folder") correct_tiny_imagenet(config, identity);
  return identity;
} catch (const std::exception& error) {
  fail("{}: what it says of its data is damaged: {}", source, error.what());
}

KnobSettings knobs_of_run(const nlohmann::json& config) {
  KnobSettings settings;
  const nlohmann::json knobs =
      config.value(nlohmann::json::json_pointer("/resolved/knobs"), nlohmann::json::object());
  for (const auto& [knob, value] : knobs.items())
    if (value.is_string()) settings.emplace_back(knob, value.get<std::string>());
  return settings;
}

std::vector<std::string> knob_differences(const KnobSettings& there, const KnobSettings& here) {
  std::vector<std::string> found;
  for (const auto& [knob, value] : there) {
    const auto same = std::find_if(here.begin(), here.end(),
                                   [&, &name = knob](const auto& setting) { return setting.first == name; });
    if (same != here.end() && same->second != value)
      found.push_back(fmt::format("{}: {} there, {} here", knob, value, same->second));
  }
  return found;
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
  note_other_kernels(checkpoint, config);
  note_other_ranks(checkpoint, config);
}

}  // namespace lamina::train
