#include "train/setup.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/backend.h"
#include "core/base/error.h"
#include "core/base/option_name.h"
#include "core/base/version.h"
#include "core/memory/allocator.h"
#include "layers/freeze.h"
#include "optim/run_defaults.h"
#include "train/model_info.h"
#include "train/objectives/classification.h"
#include "train/run_config.h"

namespace lamina::train {
namespace {

void check_model(const std::string& model) {
  const std::vector<std::string> models = resnet_names();
  if (std::find(models.begin(), models.end(), model) == models.end()) {
    fail_usage("{} {}: unknown; expected one of {}", option_name("model"), model, fmt::join(models, ", "));
  }
}

ResNetOptions net_options(const Recipe& recipe) {
  check_model(recipe.model);
  ResNetOptions net{.activations = activations_of(device_options(recipe)), .seed = recipe.seed};
  if (recipe.stem) net.stem = parse_stem(*recipe.stem);
  if (recipe.shortcut) net.shortcut = parse_shortcut(*recipe.shortcut);
  if (recipe.init) net.init = parse_init(*recipe.init);
  return net;
}

ScheduleOptions schedule_options(const Recipe& recipe, const OptimizerChoice& optimizer) {
  const auto epochs = static_cast<double>(recipe.epochs);
  const std::string kind = recipe.schedule.value_or(optimizer.name() == "tvlars" ? "constant" : "cosine");
  ScheduleOptions schedule{.kind = parse_schedule(kind),
                           .lr = optimizer.lr(),
                           .scaling = parse_lr_scaling(recipe.lr_scaling),
                           .batch = recipe.batch,
                           .base_batch = recipe.base_batch,
                           .epochs = epochs,
                           .warmup_epochs = recipe.warmup_epochs,
                           .end = recipe.lr_end,
                           .power = recipe.poly_power,
                           .milestones = recipe.milestones};
  if (schedule.kind == ScheduleOptions::Kind::step && schedule.milestones.empty()) {
    schedule.milestones = {epochs / 2, epochs * 3 / 4};
  }
  const Schedule checked(schedule);
  return schedule;
}

bool sets_knob(const KnobSettings& settings, std::string_view knob) {
  return std::any_of(settings.begin(), settings.end(),
                     [&](const auto& setting) { return setting.first == knob; });
}

// Settings that a recipe adds to its preset, later ones winning. Who names a preset or a learning rate has
// chosen; nobody else's run is to mislead.
KnobSettings knob_settings(const Recipe& recipe) {
  KnobSettings given;
  for (const std::string& text : recipe.set)
    for (auto& setting : parse_settings(text)) given.push_back(std::move(setting));
  const bool has_chosen =
      recipe.optimizer.find(':') != std::string::npos || recipe.lr || sets_knob(given, "lr");
  KnobSettings settings = has_chosen ? KnobSettings() : parse_settings(run_defaults(recipe.optimizer));
  if (recipe.weight_decay) settings.emplace_back("weight_decay", fmt::format("{}", *recipe.weight_decay));
  settings.insert(settings.end(), given.begin(), given.end());
  return settings;
}

// steps_per_epoch: 1 where it is not known yet, to check the rest.
OptimizerChoice optimizer_choice(const Recipe& recipe, const KnobSettings& knobs,
                                 std::int64_t steps_per_epoch) {
  KnobOverrides overrides{
      .lr = recipe.lr, .momentum = recipe.momentum, .max_grad_norm = recipe.clip_norm, .set = knobs};
  for (const std::string& text : recipe.group) overrides.groups.push_back(parse_group_rule(text));
  return resolve_optimizer(recipe.optimizer, overrides,
                           {.batch = recipe.batch,
                            .base_batch = recipe.base_batch,
                            .steps_per_epoch = steps_per_epoch,
                            .epochs = static_cast<double>(recipe.epochs)});
}

// Defaults may have become others since; the run goes on with those that it started with. One that becomes
// longer takes those of its new length, which check_longer() compares with the old ones.
KnobSettings kept_knobs(const Recipe& recipe, const nlohmann::json& config) {
  const nlohmann::json before =
      config.value(nlohmann::json::json_pointer("/options/epochs"), nlohmann::json());
  if (before.is_number_integer() && before != recipe.epochs) return {};
  KnobSettings knobs = knobs_of_run(config);
  std::erase_if(knobs, [](const auto& knob) { return knob.first == "groups"; });  // the recipe has them
  return knobs;
}

data::LoaderOptions loader_options(const Recipe& recipe) {
  data::Augment augment = data::augment_named(recipe.augment);
  augment.cutout = recipe.cutout;
  return {.batch = recipe.batch,
          .micro_batch = recipe.micro_batch,
          .augment = augment,
          .drop_last = true,
          .workers = recipe.workers,
          .seed = recipe.seed};
}

// Without what a weight file says in places of its own.
std::string text_of_data(const data::DataIdentity& identity) {
  nlohmann::json json = to_json(identity);
  for (const char* name : {"classes", "mean", "std"}) json.erase(name);
  return json.dump();
}

std::int64_t held_out_count(double valid, std::int64_t images) {
  return valid < 1 ? std::llround(valid * static_cast<double>(images)) : static_cast<std::int64_t>(valid);
}

}  // namespace

ResolvedRecipe resolve(const Recipe& recipe) {
  check_recipe(recipe);
  KnobSettings knobs = knob_settings(recipe);
  const OptimizerChoice optimizer = optimizer_choice(recipe, knobs, 1);
  ScheduleOptions schedule = schedule_options(recipe, optimizer);
  return {.recipe = recipe,
          .device = device_options(recipe),
          .open = {.limit_train = recipe.limit_train,
                   .limit_test = recipe.limit_test,
                   .image_size = recipe.image_size,
                   .skip_damaged = recipe.skip_damaged,
                   .max_pixels = recipe.max_pixels},
          .loader = loader_options(recipe),
          .net = net_options(recipe),
          .knobs = std::move(knobs),
          .optimizer = optimizer,
          .schedule = std::move(schedule),
          .init_weights = recipe.init_weights};
}

ResolvedRecipe resolve(const Recipe& recipe, const RunDirectory& run) {
  ResolvedRecipe resolved = resolve(recipe);
  // Earlier versions took a size for data that have their own, and left it aside.
  if (!data::reads_image_files(recipe.data)) resolved.open.image_size = 0;
  if (run.checkpoint_steps().empty()) return resolved;
  const nlohmann::json config = run.read_config();
  if (KnobSettings knobs = kept_knobs(recipe, config); !knobs.empty()) {
    resolved.knobs = std::move(knobs);
    resolved.optimizer = optimizer_choice(recipe, resolved.knobs, 1);
    resolved.schedule = schedule_options(recipe, resolved.optimizer);
  }
  if (!recipe.init_weights) return resolved;
  resolved.init_weights.reset();
  resolved.initial_weights =
      config.value(nlohmann::json::json_pointer("/resolved/initial_weights"), nlohmann::json());
  return resolved;
}

OptimizerChoice optimizer_of(const ResolvedRecipe& recipe, std::int64_t steps_per_epoch) {
  return optimizer_choice(recipe.recipe, recipe.knobs, steps_per_epoch);
}

TrainingData open_data(const ResolvedRecipe& recipe) {
  TrainingData data{.set = data::open(recipe.recipe.data, recipe.open), .valid = {}};
  if (recipe.recipe.valid == 0) return data;
  const std::int64_t images = data.set.train.size(), count = held_out_count(recipe.recipe.valid, images);
  if (count < 1 || count >= images) {
    fail_usage("{} {}: of {} training images {} would be held out; expected at least 1, and some to train on",
               option_name("valid"), recipe.recipe.valid, images, count);
  }
  data::HeldOut parted = data::hold_out(data.set.train, count);
  data.set.train = std::move(parted.rest);
  data.valid = std::move(parted.held_out);
  return data;
}

Setup make_setup(const ResolvedRecipe& recipe) {
  use_device(recipe.device);  // before the data: they may take long to open
  return make_setup(recipe, open_data(recipe));
}

Setup make_setup(const ResolvedRecipe& recipe, TrainingData data) {
  const Device device = use_device(recipe.device);
  for (data::Split* split : {&data.set.train, &data.valid, &data.set.test})
    if (split->size() > 0) split->images = place_images(split->images, device);
  data::Loader loader(data.set.train, recipe.loader);
  ResNetOptions net_options = recipe.net;
  net_options.classes = static_cast<int>(data.set.classes.size());
  net_options.channels = static_cast<int>(data.set.train.channels());
  net_options.device = device;
  auto net = std::make_unique<ResNet>(recipe.recipe.model, net_options);
  std::optional<InitialWeights> initial_weights;
  if (recipe.init_weights) initial_weights = load_initial_weights(*recipe.init_weights, *net);
  auto objective = std::make_unique<Classification>(
      *net,
      ClassificationOptions{.label_smoothing = recipe.recipe.label_smoothing, .mixup = recipe.recipe.mixup});
  for (const std::string& pattern : recipe.recipe.freeze) freeze(*net, pattern);
  auto optimizer = make_optimizer(optimizer_of(recipe, loader.batches()), net->parameters());
  ScheduleOptions schedule_options = recipe.schedule;
  schedule_options.steps_per_epoch = loader.batches();
  Schedule schedule(std::move(schedule_options));
  optimizer->set_schedule(schedule);
  WeightInfo info = model_info(*net);
  info.classes = data.set.classes;
  info.mean = data.set.mean();
  info.std = data.set.std();
  info.image_pixels = {static_cast<int>(data.set.train.height()), static_cast<int>(data.set.train.width())};
  info.image_size = recipe.open.image_size;
  info.data = text_of_data(data.set.identity);
  return {.recipe = recipe,
          .device = device,
          .data = std::move(data.set),
          .valid = std::move(data.valid),
          .loader = std::move(loader),
          .net = std::move(net),
          .objective = std::move(objective),
          .optimizer = std::move(optimizer),
          .schedule = std::move(schedule),
          .info = std::move(info),
          .initial_weights = std::move(initial_weights)};
}

Tensor place_images(const Tensor& images, Device device) {
  if (device.type == DeviceType::cpu) return images;
  try {
    const Tensor room = Tensor::empty({2, static_cast<std::int64_t>(images.bytes())}, {DType::u8, device});
  } catch (const OutOfMemory&) {
    return images;
  }
  return images.to(device);
}

nlohmann::json make_config(const Setup& setup, const std::string& command) {
  nlohmann::json knobs = nlohmann::json::object();
  for (const auto& [name, value] : setup.optimizer->knobs()) knobs[name] = value;
  const Preset& preset = *setup.recipe.optimizer.preset;
  nlohmann::json config{{"lamina", version()},
                        {"options", to_json(setup.recipe.recipe)},
                        {"resolved",
                         {{"model", setup.info.model},
                          {"stem", setup.info.stem},
                          {"shortcut", setup.info.shortcut},
                          {"classes", setup.info.classes},
                          {"mean", setup.info.mean},
                          {"std", setup.info.std},
                          {"data", to_json(setup.data.identity)},
                          {"train_images", setup.data.train.size()},
                          {"test_images", setup.data.test.size()},
                          {"steps_per_epoch", setup.loader.batches()},
                          {"optimizer", fmt::format("{}:{}", preset.optimizer, preset.name)},
                          {"knobs", knobs},
                          {"schedule", setup.schedule.str()}}}};
  if (!command.empty()) config["command"] = command;
  if (setup.valid.size() > 0) config["resolved"]["valid_images"] = setup.valid.size();
  const nlohmann::json& before = setup.recipe.initial_weights;
  if (setup.initial_weights) config["resolved"]["initial_weights"] = to_json(*setup.initial_weights);
  if (!before.is_null()) config["resolved"]["initial_weights"] = before;
  return config;
}

}  // namespace lamina::train
