// The lines at the start of a run.
#include <fmt/ranges.h>

#include <utility>

#include "core/backend.h"
#include "core/base/option_name.h"
#include "core/base/table.h"
#include "core/instruction_set.h"
#include "layers/summary.h"
#include "train/setup.h"

namespace lamina::train {
namespace {

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

std::string describe_batch(const Setup& setup, int ranks) {
  const Recipe& recipe = setup.recipe.recipe;
  const std::int64_t together = normalised_together(recipe, ranks);
  std::string text = format_count(recipe.batch);
  if (ranks > 1) text += fmt::format(" on {} ranks", ranks);
  if (part_size(recipe) > 0 && part_size(recipe) < recipe.batch)
    text += fmt::format(" in parts of {}", part_size(recipe));
  if (together < recipe.batch)
    text += fmt::format(", every {} normalised with batch statistics of their own", together);
  text += fmt::format("; {} steps an epoch", format_count(setup.loader.batches()));
  const std::int64_t left_out = setup.loader.split().size() - setup.loader.samples();
  if (left_out > 0) text += fmt::format(", leaving out {} images, other ones each time", left_out);
  return text;
}

std::string describe_augmentation(const Setup& setup) {
  const Recipe& recipe = setup.recipe.recipe;
  const auto& pretraining = setup.recipe.pretraining;
  std::string text = pretraining ? fmt::format("two views of {}", pretraining->views->name) : recipe.augment;
  if (recipe.cutout > 0) text += fmt::format(", a cutout of {} pixels", recipe.cutout);
  if (recipe.normalise != "data") text += fmt::format(", normalised as {}", recipe.normalise);
  if (recipe.mixup > 0) text += fmt::format(", mixup with alpha {}", recipe.mixup);
  return text;
}

std::string describe_data(const Setup& setup) {
  const data::Split& train = setup.data.train;
  const std::string held_out = setup.valid.size() > 0 ? fmt::format(", {} held out of them for validation,",
                                                                    format_count(setup.valid.size()))
                                                      : "";
  const std::string notes =
      setup.data.notes.empty() ? "" : fmt::format("; {}", fmt::join(setup.data.notes, "; "));
  return fmt::format("{}: {} training{} and {} test images of {}, {} classes{}; augmentation: {}{}",
                     setup.data.name, format_count(train.size()), held_out,
                     format_count(setup.data.test.size()), shape_of(train), setup.data.classes.size(), notes,
                     describe_augmentation(setup),
                     train.images.device() == setup.device ? "" : ", by the CPU: too many for the GPU");
}

// "barlow-twins, projector 2048-2048-2048; lambda 0.005, scale 1, …"
std::string describe_method(const Setup& setup) {
  const Pretraining& pretraining = *setup.recipe.pretraining;
  std::string text =
      fmt::format("{}, projector {}", pretraining.method, fmt::join(pretraining.projector.widths, "-"));
  const char* separator = "; ";
  for (const auto& [name, value] : setup.objective->options()) {
    if (name == "bn_batch") continue;  // on a line of its own
    text += fmt::format("{}{} {}", std::exchange(separator, ", "), name, value);
  }
  const Recipe& recipe = setup.recipe.recipe;
  for (const auto& [name, on] : {std::pair("official_gradient", recipe.official_gradient),
                                 std::pair("official_last_batch", recipe.official_last_batch),
                                 std::pair("official_bias_rate", recipe.official_bias_rate)})
    if (on) text += fmt::format("; {}", option_name(name));
  return text;
}

// A row below those of group_table().
std::string describe_frozen(const Module& net) {
  std::int64_t tensors = 0, elements = 0;
  for (const auto& param : net.parameters()) {
    if (!param->frozen) continue;
    ++tensors;
    elements += param->value.elements();
  }
  return tensors > 0 ? fmt::format("{:<8} {:>7} {:>12}\n", "frozen", tensors, elements) : "";
}

}  // namespace

std::string describe(Setup& setup, int ranks) {
  const Recipe& recipe = setup.recipe.recipe;
  const Preset& preset = *setup.recipe.optimizer.preset;
  const data::Split& train = setup.data.train;
  const ModelSummary model = summary(*setup.net, {1, train.height(), train.width(), train.channels()});
  std::string text;
  const auto line = [&](const char* name, const std::string& what) {
    text += fmt::format("{:<10} {}\n", name, what);
  };
  line("data", describe_data(setup));
  line("model", fmt::format("{}, {} stem, shortcut {}: {} parameters, {:.1f} M multiply-adds an image",
                            setup.info.model, setup.info.stem, setup.info.shortcut,
                            format_count(model.parameters), static_cast<double>(model.multiply_adds) * 1e-6));
  if (setup.recipe.pretraining) line("method", describe_method(setup));
  if (setup.initial_weights)
    line("weights", describe(*setup.initial_weights, setup.info, std::string(11, ' ')));
  if (const nlohmann::json& before = setup.recipe.initial_weights; before.is_object())
    line("weights", fmt::format("started from {}; now from a checkpoint",
                                before.value("file", "a file that is not named")));
  line("batch", describe_batch(setup, ranks));
  line("optimizer", fmt::format("{} ({})", full_name(preset), preset.source));
  line("", describe_knobs(*setup.optimizer, std::string(11, ' ')));
  if (const auto sam = sam_options(recipe))
    line("gradients", fmt::format("{}: two for each step", describe(*sam)));
  line("schedule", setup.schedule.str());
  const bool cpu = setup.device.type == DeviceType::cpu;
  line("device", fmt::format("{}{}, {} threads, {}{}; seed {}", setup.device.str(),
                             cpu ? fmt::format(" ({} kernels)", instruction_set()) : "", threads(),
                             recipe.precision, recipe.tf32 ? ", products in TF32" : "", recipe.seed));
  return text + "\n" + group_table(setup.optimizer->segments(), setup.optimizer->settings()) +
         describe_frozen(*setup.net);
}

}  // namespace lamina::train
