#include "apps/training_setup.h"
#include <fmt/format.h>

#include <algorithm>

#include "apps/device_options.h"
#include "apps/knob_options.h"
#include "apps/table.h"
#include "apps/version.h"
#include "core/allocator.h"
#include "core/backend.h"
#include "core/error.h"
#include "layers/summary.h"
#include "optim/presets.h"

namespace lamina {
namespace {

void check_names(const TrainOptions& options) {
  const std::vector<std::string> models = resnet_names();
  if (std::find(models.begin(), models.end(), options.model) == models.end()) {
    fail_usage("--model {}: unknown; expected one of {}", options.model, fmt::join(models, ", "));
  }
  find_preset(options.optimizer);
  if (options.stem) parse_stem(*options.stem);
  if (options.shortcut) parse_shortcut(*options.shortcut);
  if (options.init) parse_init(*options.init);
  if (options.schedule) parse_schedule(*options.schedule);
  parse_lr_scaling(options.lr_scaling);
  data::augment_named(options.augment);
}

ResNetOptions net_options(const TrainOptions& options, const data::Dataset& data, Device device) {
  ResNetOptions net{.classes = static_cast<int>(data.classes.size()),
                    .channels = static_cast<int>(data.train.channels()),
                    .device = device,
                    .activations = activations_of(device_options(options)),
                    .seed = options.seed};
  if (options.stem) net.stem = parse_stem(*options.stem);
  if (options.shortcut) net.shortcut = parse_shortcut(*options.shortcut);
  if (options.init) net.init = parse_init(*options.init);
  return net;
}

ScheduleOptions schedule_options(const TrainOptions& options, const std::string& optimizer, double lr,
                                 std::int64_t steps_per_epoch) {
  const auto epochs = static_cast<double>(options.epochs);
  const std::string kind = options.schedule.value_or(optimizer == "tvlars" ? "constant" : "cosine");
  ScheduleOptions schedule{.kind = parse_schedule(kind),
                           .lr = lr,
                           .scaling = parse_lr_scaling(options.lr_scaling),
                           .batch = options.batch,
                           .base_batch = options.base_batch,
                           .epochs = epochs,
                           .steps_per_epoch = steps_per_epoch,
                           .warmup_epochs = options.warmup_epochs,
                           .end = options.lr_end,
                           .power = options.poly_power,
                           .milestones = options.milestones};
  if (schedule.kind == ScheduleOptions::Kind::step && schedule.milestones.empty()) {
    schedule.milestones = {epochs / 2, epochs * 3 / 4};
  }
  return schedule;
}

std::unique_ptr<Optimizer> make_optimizer(const TrainOptions& options, const ParamList& params,
                                          std::int64_t steps_per_epoch) {
  return make_optimizer(
      options.optimizer, params, knob_settings(options),
      {.batch = options.batch, .base_batch = options.base_batch, .steps_per_epoch = steps_per_epoch});
}

std::string shape_of(const data::Split& split) {
  return fmt::format("{}x{}x{}", split.height(), split.width(), split.channels());
}

// "name=value name=value …" in lines of at most 100 columns, under one another.
std::string describe_knobs(const Optimizer& optimizer, const std::string& indent) {
  std::string text;
  std::size_t column = 0;
  for (const auto& [name, value] : optimizer.knobs()) {
    const std::string knob = fmt::format("{}={}", name, value);
    if (column > 0 && column + knob.size() > 100 - indent.size()) {
      text.append("\n").append(indent);
      column = 0;
    }
    if (column > 0) text += " ";
    text += knob;
    column += knob.size() + 1;
  }
  return text;
}

std::string describe_batch(const TrainOptions& options, const TrainingSetup& setup) {
  std::string text = format_count(options.batch);
  if (options.micro_batch > 0 && options.micro_batch < options.batch) {
    text +=
        fmt::format(" in parts of {}, each normalised with its own batch statistics", options.micro_batch);
  }
  text += fmt::format("; {} steps an epoch", format_count(setup.loader.batches()));
  const std::int64_t left_out = setup.loader.split().size() - setup.loader.samples();
  if (left_out > 0) text += fmt::format(", leaving out {} images, other ones each time", left_out);
  return text;
}

}  // namespace

void check_setup(const TrainOptions& options) {
  check_options(options);
  check_names(options);
  const auto param = std::make_shared<Param>(Param{"weight", ParamKind::weight, Tensor::zeros({1, 1})});
  const auto optimizer = make_optimizer(options, {param}, 1);
  const Schedule checked(schedule_options(options, optimizer->name(), optimizer->lr(), 1));
}

data::Dataset open_data(const TrainOptions& options) {
  return data::open(options.data, {.limit_train = options.limit_train,
                                   .limit_test = options.limit_test,
                                   .image_size = options.image_size});
}

data::Loader make_loader(const TrainOptions& options, const data::Dataset& data) {
  return data::Loader(data.train, {.batch = options.batch,
                                   .micro_batch = options.micro_batch,
                                   .augment = data::augment_named(options.augment),
                                   .drop_last = true,
                                   .workers = options.workers,
                                   .seed = options.seed});
}

TrainingSetup make_training_setup(const TrainOptions& options) {
  check_setup(options);
  use_device(device_options(options));  // before the data: they may take long to open
  return make_training_setup(options, open_data(options));
}

TrainingSetup make_training_setup(const TrainOptions& options, data::Dataset data) {
  check_setup(options);
  const Device device = use_device(device_options(options));
  for (data::Split* split : {&data.train, &data.test})
    if (split->size() > 0) split->images = place_images(split->images, device);
  data::Loader loader = make_loader(options, data);
  ResNet net(options.model, net_options(options, data, device));
  auto optimizer = make_optimizer(options, net.parameters(), loader.batches());
  Schedule schedule(schedule_options(options, optimizer->name(), optimizer->lr(), loader.batches()));
  optimizer->set_schedule(schedule);
  optimizer->set_tracing(options.trace);
  WeightInfo info{.model = net.model(),
                  .stem = name_of(*net.options().stem),
                  .shortcut = name_of(*net.options().shortcut),
                  .classes = data.classes,
                  .mean = data.mean(),
                  .std = data.std()};
  return {.device = device,
          .data = std::move(data),
          .loader = std::move(loader),
          .net = std::move(net),
          .optimizer = std::move(optimizer),
          .schedule = std::move(schedule),
          .info = std::move(info)};
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

nlohmann::json make_config(const TrainOptions& options, const TrainingSetup& setup) {
  nlohmann::json knobs = nlohmann::json::object();
  for (const auto& [name, value] : setup.optimizer->knobs()) knobs[name] = value;
  const Preset& preset = find_preset(options.optimizer);
  return {{"lamina", version()},
          {"command", command_line(options)},
          {"options", to_json(options)},
          {"resolved",
           {{"model", setup.info.model},
            {"stem", setup.info.stem},
            {"shortcut", setup.info.shortcut},
            {"classes", setup.info.classes},
            {"mean", setup.info.mean},
            {"std", setup.info.std},
            {"train_images", setup.data.train.size()},
            {"test_images", setup.data.test.size()},
            {"steps_per_epoch", setup.loader.batches()},
            {"optimizer", fmt::format("{}:{}", preset.optimizer, preset.name)},
            {"knobs", knobs},
            {"schedule", setup.schedule.str()}}}};
}

std::string describe(const TrainOptions& options, TrainingSetup& setup) {
  const data::Split& train = setup.data.train;
  const ModelSummary model = summary(setup.net, {1, train.height(), train.width(), train.channels()});
  const Preset& preset = find_preset(options.optimizer);
  std::string text;
  const auto line = [&](const char* name, const std::string& what) {
    text += fmt::format("{:<10} {}\n", name, what);
  };
  line("data",
       fmt::format("{}: {} training and {} test images of {}, {} classes; augmentation: {}{}",
                   setup.data.name, format_count(train.size()), format_count(setup.data.test.size()),
                   shape_of(train), setup.data.classes.size(), options.augment,
                   train.images.device() == setup.device ? "" : ", by the CPU: too many for the GPU"));
  line("model", fmt::format("{}, {} stem, shortcut {}: {} parameters, {:.1f} M multiply-adds an image",
                            setup.info.model, setup.info.stem, setup.info.shortcut,
                            format_count(model.parameters), static_cast<double>(model.multiply_adds) * 1e-6));
  line("batch", describe_batch(options, setup));
  line("optimizer", fmt::format("{}:{} ({})", preset.optimizer, preset.name, preset.source));
  line("", describe_knobs(*setup.optimizer, std::string(11, ' ')));
  line("schedule", setup.schedule.str());
  line("device", fmt::format("{}, {} threads, {}{}; seed {}", setup.device.str(), threads(),
                             options.precision, options.tf32 ? ", products in TF32" : "", options.seed));
  return text + "\n" + setup.optimizer->group_table();
}

}  // namespace lamina
