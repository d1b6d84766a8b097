#include "train/setup.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "core/base/nearest.h"
#include "core/base/option_name.h"
#include "core/base/version.h"
#include "core/memory/allocator.h"
#include "data/view_recipes.h"
#include "layers/freeze.h"
#include "optim/run_defaults.h"
#include "train/host_data.h"
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

// What is trained without labels has a projector in place of a last layer.
ResNetOptions with_projector(ResNetOptions net, const Pretraining& pretraining) {
  net.head = false;
  net.projector = pretraining.projector;
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
  if (recipe.official_bias_rate && sets_knob(given, "excluded_lr_scale"))
    fail_usage("{} and {} excluded_lr_scale: give one of them", option_name("official_bias_rate"),
               option_name("set"));
  const KnobSettings of_method = bias_rate(recipe);
  settings.insert(settings.end(), of_method.begin(), of_method.end());
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

// One of the two simple augmentations, or views of a recipe.
void set_augmentation(const std::string& name, data::LoaderOptions& loader) {
  std::vector<std::string> names{"none", "standard"};
  for (const data::ViewRecipe& recipe : data::view_recipes()) names.push_back(recipe.name);
  const auto place = std::find(names.begin(), names.end(), name);
  if (place == names.end()) {
    fail_usage("{} {}: unknown; did you mean {}? Expected one of {}", option_name("augment"), name,
               nearest(name, names), fmt::join(names, ", "));
  }
  if (place - names.begin() < 2) {
    loader.augment = data::augment_named(name);
  } else {
    loader.recipe = data::find_view_recipe(name);
  }
}

data::LoaderOptions loader_options(const Recipe& recipe) {
  data::LoaderOptions loader{.batch = recipe.batch,
                             .micro_batch = part_size(recipe),
                             .drop_last = true,
                             .workers = recipe.workers,
                             .seed = recipe.seed};
  set_augmentation(recipe.augment, loader);
  loader.augment.cutout = recipe.cutout;
  return loader;
}

// What its views are drawn from may depend on the images, and is set once these are there.
data::LoaderOptions view_loader_options(const Recipe& recipe) {
  return {.batch = recipe.batch,
          .micro_batch = part_size(recipe),
          .views = 2,
          .drop_last = !recipe.official_last_batch,
          .workers = recipe.workers,
          .seed = recipe.seed};
}

// Without what a weight file says in places of its own.
std::string text_of_data(const data::DataIdentity& identity) {
  nlohmann::json json = to_json(identity);
  for (const char* name : {"classes", "mean", "std"}) json.erase(name);
  return json.dump();
}

void set_pretraining(ResolvedRecipe& resolved, Pretraining pretraining) {
  resolved.net = with_projector(resolved.net, pretraining);
  resolved.loader = view_loader_options(resolved.recipe);
  resolved.pretraining = std::move(pretraining);
}

std::int64_t held_out_count(double valid, std::int64_t images) {
  return valid < 1 ? std::llround(valid * static_cast<double>(images)) : static_cast<std::int64_t>(valid);
}

// Those that the method has for images of this size, where nobody says.
void complete_views(ResolvedRecipe& recipe, const data::Split& images) {
  if (!recipe.pretraining->views)
    recipe.pretraining->views = data::default_view_recipe(recipe.pretraining->method, images.height());
  recipe.loader.recipe = recipe.pretraining->views;
}

std::unique_ptr<ResNet> make_net(const ResolvedRecipe& recipe, const data::Dataset& data, Device device) {
  ResNetOptions options = recipe.net;
  options.classes = static_cast<int>(data.classes.size());
  options.channels = static_cast<int>(data.train.channels());
  options.device = device;
  return std::make_unique<ResNet>(recipe.recipe.model, options);
}

std::unique_ptr<Objective> make_objective(const ResolvedRecipe& recipe, ResNet& net) {
  if (recipe.pretraining) return make_objective(*recipe.pretraining, net);
  return std::make_unique<Classification>(
      net,
      ClassificationOptions{.label_smoothing = recipe.recipe.label_smoothing, .mixup = recipe.recipe.mixup});
}

WeightInfo weight_info(const ResolvedRecipe& recipe, const ResNet& net, const data::Dataset& data) {
  WeightInfo info = model_info(net);
  if (!recipe.pretraining) info.classes = data.classes;  // else the output is no class
  info.mean = data.mean();
  info.std = data.std();
  info.image_pixels = {static_cast<int>(data.train.height()), static_cast<int>(data.train.width())};
  info.image_size = recipe.open.image_size;
  info.data = text_of_data(data.identity);
  return info;
}

}  // namespace

ResolvedRecipe resolve(const Recipe& recipe) {
  check_recipe(recipe);
  data::find_image_statistics(recipe.normalise);  // throws for an unknown name
  KnobSettings knobs = knob_settings(recipe);
  const OptimizerChoice optimizer = optimizer_choice(recipe, knobs, 1);
  ScheduleOptions schedule = schedule_options(recipe, optimizer);
  ResolvedRecipe resolved{.recipe = recipe,
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
  if (recipe.method) set_pretraining(resolved, resolve_pretraining(recipe));
  return resolved;
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
  const nlohmann::json saved = config.value("resolved", nlohmann::json::object());
  if (recipe.method) set_pretraining(resolved, resolve_pretraining(with_resolved(recipe, saved)));
  if (!recipe.init_weights) return resolved;
  resolved.init_weights.reset();
  resolved.initial_weights = saved.value("initial_weights", nlohmann::json());
  return resolved;
}

OptimizerChoice optimizer_of(const ResolvedRecipe& recipe, std::int64_t steps_per_epoch) {
  return optimizer_choice(recipe.recipe, recipe.knobs, steps_per_epoch);
}

TrainingData open_data(const ResolvedRecipe& recipe) {
  TrainingData data{.set = data::open(recipe.recipe.data, recipe.open), .valid = {}};
  data::use_statistics(data.set, recipe.recipe.normalise);
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

Setup make_setup(const ResolvedRecipe& recipe, Collective* ranks) {
  use_device(recipe.device);  // before the data: they may take long to open
  return make_setup(recipe, open_on_host(recipe, ranks, [&] { return open_data(recipe); }));
}

Setup make_setup(ResolvedRecipe recipe, TrainingData data) {
  const Device device = use_device(recipe.device);
  for (data::Split* split : {&data.set.train, &data.valid, &data.set.test})
    if (split->size() > 0) split->images = place_images(split->images, device);
  if (recipe.pretraining) complete_views(recipe, data.set.train);
  data::Loader loader(data.set.train, recipe.loader);
  auto net = make_net(recipe, data.set, device);
  std::optional<InitialWeights> initial_weights;
  if (recipe.init_weights) initial_weights = load_initial_weights(*recipe.init_weights, *net);
  auto objective = make_objective(recipe, *net);
  objective->check_loader(loader);
  for (const std::string& pattern : recipe.recipe.freeze) freeze(*net, pattern);
  auto optimizer = make_optimizer(optimizer_of(recipe, loader.batches()), net->parameters());
  ScheduleOptions schedule_options = recipe.schedule;
  schedule_options.steps_per_epoch = loader.batches();
  Schedule schedule(std::move(schedule_options));
  optimizer->set_schedule(schedule);
  WeightInfo info = weight_info(recipe, *net, data.set);
  return {.recipe = std::move(recipe),
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

bool measures_features(const Setup& setup) {
  return setup.recipe.pretraining && setup.recipe.recipe.knn_every > 0 && setup.data.test.size() > 0 &&
         setup.data.classes.size() > 1;
}

nlohmann::json make_config(const Setup& setup, const std::string& command, int ranks) {
  nlohmann::json knobs = nlohmann::json::object();
  for (const auto& [name, value] : setup.optimizer->knobs()) knobs[name] = value;
  nlohmann::json config{{"lamina", version()},
                        {"options", to_json(setup.recipe.recipe)},
                        {"resolved",
                         {{"model", setup.info.model},
                          {"stem", setup.info.stem},
                          {"shortcut", setup.info.shortcut},
                          {"classes", setup.data.classes},
                          {"mean", setup.info.mean},
                          {"std", setup.info.std},
                          {"data", to_json(setup.data.identity)},
                          {"train_images", setup.data.train.size()},
                          {"test_images", setup.data.test.size()},
                          {"steps_per_epoch", setup.loader.batches()},
                          {"optimizer", full_name(*setup.recipe.optimizer.preset)},
                          {"kernels", kernels_on(setup.device)},
                          {"knobs", knobs},
                          {"schedule", setup.schedule.str()}}}};
  if (!command.empty()) config["command"] = command;
  if (setup.recipe.pretraining) {
    config["resolved"].update(to_json(*setup.recipe.pretraining));
    config["resolved"]["bn_batch"] = normalised_together(setup.recipe.recipe, ranks);
    if (measures_features(setup)) config["resolved"]["knn"] = describe_online_knn(setup.data.train.size());
  }
  if (setup.valid.size() > 0) config["resolved"]["valid_images"] = setup.valid.size();
  if (const auto sam = sam_options(setup.recipe.recipe)) config["resolved"]["gradients"] = describe(*sam);
  if (setup.initial_weights) config["resolved"]["initial_weights"] = to_json(*setup.initial_weights);
  if (const nlohmann::json& before = setup.recipe.initial_weights; !before.is_null())
    config["resolved"]["initial_weights"] = before;
  return config;
}

}  // namespace lamina::train
