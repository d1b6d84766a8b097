#include "train/without_effect.h"

#include <algorithm>
#include <array>

#include "core/base/error.h"
#include "core/base/option_name.h"

namespace lamina::train {
namespace {

using Kind = ScheduleOptions::Kind;

// Presets and knobs may refer to the base batch: 0.001*B/B_base.
bool counts_base_batch(const ResolvedRecipe& recipe) {
  if (recipe.schedule.scaling != LrScaling::none) return true;
  Recipe other = recipe.recipe;
  const bool can_double = static_cast<double>(other.base_batch) <= most_samples / 2;
  other.base_batch = can_double ? 2 * other.base_batch : other.base_batch / 2;
  return resolve(other).optimizer.knobs() != recipe.optimizer.knobs();
}

struct Condition {
  const char* option;
  bool (*counts)(const ResolvedRecipe&);
  const char* other;  // the option that would make it count,
  const char* value;  // by having this value
};

constexpr std::array conditions{
    Condition{"milestones", [](const ResolvedRecipe& r) { return r.schedule.kind == Kind::step; }, "schedule",
              "step"},
    Condition{"poly_power", [](const ResolvedRecipe& r) { return r.schedule.kind == Kind::poly; }, "schedule",
              "poly"},
    Condition{"lr_end",
              [](const ResolvedRecipe& r) {
                return r.schedule.kind == Kind::cosine || r.schedule.kind == Kind::poly;
              },
              "schedule", "cosine or poly"},
    Condition{"base_batch", counts_base_batch, "lr_scaling", "linear or sqrt"},
    Condition{"sharpness_limit", [](const ResolvedRecipe& r) { return r.recipe.sharpness_every > 0; },
              "sharpness_every", "1"},
    Condition{"sharpness_bn", [](const ResolvedRecipe& r) { return r.recipe.sharpness_every > 0; },
              "sharpness_every", "1"},
    Condition{"sharpness_layers", [](const ResolvedRecipe& r) { return r.recipe.sharpness_every > 0; },
              "sharpness_every", "1"},
    Condition{"sam_adaptive", [](const ResolvedRecipe& r) { return r.recipe.sam > 0; }, "sam", "above 0"},
    Condition{"sam_m", [](const ResolvedRecipe& r) { return r.recipe.sam > 0; }, "sam", "above 0"},
    Condition{"official_bias_rate", [](const ResolvedRecipe& r) { return has_bias_rate(r.recipe); },
              "optimizer", "lars or tvlars"},
};

// What the first layers make of the images: an ImageNet stem quarters their sides, a CIFAR stem keeps them.
std::string note_on_size(const Setup& setup) {
  const data::Split& images = setup.data.train;
  const std::int64_t longer = std::max(images.height(), images.width());
  const std::string size = fmt::format("{}x{}", images.height(), images.width());
  if (setup.info.stem == "imagenet" && longer <= 64)
    return fmt::format(
        "images of {} behind an imagenet stem, which leaves a quarter of their sides to the blocks: for "
        "small images give {} cifar",
        size, option_name("stem"));
  if (setup.info.stem == "cifar" && longer > 128)
    return fmt::format(
        "images of {} behind a cifar stem, which computes the first blocks at that size: give resnet18, "
        "resnet34 or resnet50 with {} imagenet, or smaller images ({})",
        size, option_name("stem"), option_name("image_size"));
  return "";
}

std::string note_on_epochs(const char* option, std::int64_t every, const Recipe& recipe, const char* what) {
  if (every <= recipe.epochs) return "";
  return fmt::format("{} {}, of {} epochs: there is {} after the last one only", option_name(option), every,
                     recipe.epochs, what);
}

std::string note_on_features(const Setup& setup) {
  if (!setup.recipe.pretraining || setup.recipe.recipe.knn_every == 0 || measures_features(setup)) return "";
  return fmt::format("{} {}: nothing is measured, as there are no test images of several classes",
                     option_name("knn_every"), setup.recipe.recipe.knn_every);
}

std::string note_on_gpu_modes(const Recipe& recipe, Device device) {
  if (device.type != DeviceType::cpu || (recipe.deterministic && !recipe.eager)) return "";
  return recipe.eager
             ? fmt::format("{} does nothing on the CPU, which computes kernel by kernel anyhow",
                           option_name("eager"))
             : fmt::format("without {} the CPU computes the same as with it", option_name("deterministic"));
}

}  // namespace

std::string note_on_ranks(const Recipe& recipe, int ranks) {
  if (!recipe.sync_batch_norm || ranks > 1) return "";
  return fmt::format(
      "{} does nothing in one process, whose batch normalisation has the whole batch; it is for several that "
      "mpirun or srun starts",
      option_name("sync_batch_norm"));
}

std::string without_effect(const ResolvedRecipe& recipe, const std::set<std::string>& given) {
  const nlohmann::json values = to_json(recipe.recipe), defaults = default_options();
  std::string text;
  for (const Condition& condition : conditions) {
    const char* name = condition.option;
    if (!given.contains(name) || values[name] == defaults[name] || condition.counts(recipe)) continue;
    text +=
        fmt::format("{}{} does nothing without {} {}; leave it out or give that", text.empty() ? "" : "\n",
                    option_name(name), option_name(condition.other), condition.value);
  }
  const std::vector<double>& milestones = recipe.recipe.milestones;
  if (given.contains("milestones") && !milestones.empty() && milestones.back() >= recipe.schedule.epochs)
    text += fmt::format("{}{} {}: the run has {} epochs, so that it would never get there",
                        text.empty() ? "" : "\n", option_name("milestones"), milestones.back(),
                        recipe.schedule.epochs);
  return text;
}

void check_effects(const ResolvedRecipe& recipe, const std::set<std::string>& given) {
  const std::string text = without_effect(recipe, given);
  if (!text.empty()) fail_usage("{}", text);
}

std::vector<std::string> notes_on(const Setup& setup, int ranks) {
  const Recipe& recipe = setup.recipe.recipe;
  std::vector<std::string> notes{
      note_on_size(setup),
      note_on_epochs("eval_every", recipe.eval_every, recipe, "a test"),
      note_on_epochs("knn_every", recipe.method ? recipe.knn_every : 0, recipe, "a measurement"),
      note_on_epochs("sharpness_every", recipe.sharpness_every, recipe, "a measurement"),
      note_on_epochs("checkpoint_every", recipe.checkpoint_every, recipe, "a checkpoint"),
      note_on_features(setup),
      note_on_gpu_modes(recipe, setup.device),
      note_on_ranks(recipe, ranks)};
  std::erase(notes, "");
  return notes;
}

}  // namespace lamina::train
