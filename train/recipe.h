// What a training run is told, supervised or self-supervised: one list of options that command lines,
// config.json, studies and the comparison at a resumption all go through.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data/images/image.h"
#include "train/device_options.h"
#include "train/recipe_options.h"
#include "train/sharpness_aware.h"

namespace lamina::train {

// Unset options take the model's, preset's or data set's own default; the run prints which.
struct Recipe {
  std::string data;
  std::string model = "resnet20";
  std::optional<std::string> stem, shortcut, init, init_weights;
  std::string optimizer = "tvlars";
  std::vector<std::string> set;  // "knob=value" of the optimizer
  std::optional<double> lr, momentum, weight_decay, clip_norm;
  double sam = 0;  // ρ of sharpness-aware minimisation (train/sharpness_aware.h); 0: none
  bool sam_adaptive = false;
  std::int64_t sam_m = 0;                  // samples with an ε of their own; 0: the batch has one
  std::vector<std::string> group, freeze;  // as parse_group_rule() and freeze() take them
  std::int64_t epochs = 20, batch = 128, micro_batch = 0;
  bool sync_batch_norm = false;
  std::string lr_scaling = "none";
  std::int64_t base_batch = 256;
  std::optional<std::string> schedule;
  double warmup_epochs = 0, lr_end = 0, poly_power = 2;
  std::vector<double> milestones;
  double label_smoothing = 0;
  std::string augment = "standard", normalise = "data";
  int cutout = 0;
  double mixup = 0;
  int image_size = 0;
  bool skip_damaged = false;
  std::int64_t max_pixels = data::max_pixels;
  std::int64_t limit_train = 0, limit_test = 0;
  double valid = 0;           // held out of the training images: below 1 a share of them, else their number
  std::string keep = "last";  // whose weights are final: the last epoch's, or the best's on those images
  double ema = 0;             // decay of an average of the weights, which is then what is tested; 0: none
  std::int64_t patience = 0;  // epochs without a better validation that end the run; 0: none do
  std::uint64_t seed = 1;
  std::string device = "cpu", precision = "f32";
  bool tf32 = false, deterministic = true;
  double memory_limit = 0;
  bool trace = false, noise_scale = false, eager = false;
  std::int64_t sharpness_every = 0;             // epochs; 0: never
  std::optional<std::int64_t> sharpness_limit;  // training images
  std::string sharpness_bn = "eval";
  bool sharpness_layers = false;
  std::int64_t eval_every = 1, checkpoint_every = 1, checkpoint_steps = 0, keep_checkpoints = 2;
  int threads = 0, workers = 2;
  // Self-supervised training (train/pretraining.h). With a method these count, and what is supervised does
  // not.
  std::optional<std::string> method, views;
  std::vector<int> projector;
  std::vector<std::string> set_loss;  // "name=value" of the method's loss
  std::int64_t bn_batch = 0, knn_every = 5;
  bool official_gradient = false, official_last_batch = false, official_bias_rate = false;
};

// A recipe of pretraining that says no more than that: the method is still to be given.
Recipe pretraining_recipe();

DeviceOptions device_options(const Recipe& recipe);
std::optional<SamOptions> sam_options(const Recipe& recipe);  // unset: none
// Images computed at once, by whichever option says so; 0: the whole batch.
std::int64_t part_size(const Recipe& recipe);

nlohmann::json to_json(const Recipe& recipe);      // unset ones as null
nlohmann::json all_options(const Recipe& recipe);  // of both kinds
nlohmann::json default_options();                  // the same of a recipe that gives none
// An option that is missing has its default: the version that wrote this did not know it. Throws Error naming
// a key of the wrong type, or if not even the data are named (`source`: where it was read).
Recipe recipe_from_json(const nlohmann::json& json, const std::string& source);

// Sets the option called `name`, as in config.json. Throws UsageError if there is none, with the nearest one,
// or if the value is of the wrong type.
void set_option(Recipe& recipe, const std::string& name, const nlohmann::json& value);

// Sets a knob of the optimizer, in place of an earlier setting of it.
void set_knob(Recipe& recipe, const std::string& knob, const std::string& value);

// One name for what can be set in two ways: "set.lr" for the option "lr" as for the knob "set.lr", and
// "set.max_grad_norm" for "clip_norm". Any other name is its own.
std::string setting_key(const std::string& name);
// Options that are knobs of the optimizer, too: each with that knob's name.
std::span<const std::pair<std::string_view, std::string_view>> knobs_of_options();

// "NAME" of "NAME:DIR"; of synthetic data the whole, whose sizes stand there.
std::string without_directory(const std::string& data);

// Makes the directory in "NAME:DIR" absolute: the run may be resumed from elsewhere.
void make_data_absolute(std::string& data);
// The same for every path in a recipe.
void make_paths_absolute(Recipe& recipe);

// Throws UsageError for values that make no sense with any data: numbers out of range, text that is not UTF-8
// and so could not be kept in config.json, options that contradict each other.
void check_recipe(const Recipe& recipe);

// Throws UsageError for what the recipe measures or perturbs, where batches do not come in the parts, or on
// the ranks, for that.
void check_parts(const Recipe& recipe, const data::LoaderOptions& loader);

// The options of a run to be continued: the saved ones, with those of `given` that may change. Throws
// UsageError listing every given option that differs and may not. Another number of epochs passes: the
// trainer refuses it where it would change the past.
Recipe resumed_recipe(const Recipe& saved, const Recipe& given, const std::set<std::string>& given_names,
                      const std::string& run);

// One line, "\n  lr: 1 here, 2 there", for every option in which the runs differ, but for those that a
// resumed run may change. Both are "options" of a config.json; what one lacks has its default there.
std::string list_differences(const nlohmann::json& here, const nlohmann::json& there);

}  // namespace lamina::train
