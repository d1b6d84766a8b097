// What a training run is told: one list of options that command lines, config.json, studies and the
// comparison at a resumption all go through.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <type_traits>
#include <vector>

#include "core/base/number.h"
#include "data/images/image.h"
#include "data/loader.h"
#include "train/device_options.h"

namespace lamina::train {

// Unset options take the model's, preset's or data set's own default; the run prints which.
struct Recipe {
  std::string data;
  std::string model = "resnet20";
  std::optional<std::string> stem, shortcut, init, init_weights;
  std::string optimizer = "tvlars";
  std::vector<std::string> set;  // "knob=value" of the optimizer
  std::optional<double> lr, momentum, weight_decay, clip_norm;
  std::vector<std::string> group, freeze;  // as parse_group_rule() and freeze() take them
  std::int64_t epochs = 20, batch = 128, micro_batch = 0;
  std::string lr_scaling = "none";
  std::int64_t base_batch = 256;
  std::optional<std::string> schedule;
  double warmup_epochs = 0, lr_end = 0, poly_power = 2;
  std::vector<double> milestones;
  double label_smoothing = 0;
  std::string augment = "standard";
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
  std::int64_t eval_every = 1, checkpoint_every = 1, checkpoint_steps = 0;
  int threads = 0, workers = 2;
};

// What one option is called, whether a resumed run may change it (because results do not depend on it), and
// the numbers it takes.
struct OptionInfo {
  const char* name;  // as in config.json
  const char* help;
  bool may_change = false;
  NumberRange range = {};

  constexpr OptionInfo within(const NumberRange& numbers) const { return {name, help, may_change, numbers}; }
};

// Whether an option's value is a number, maybe an unset one, or a list of numbers.
template <typename T>
constexpr bool is_numeric = std::is_arithmetic_v<T> && !std::is_same_v<T, bool>;
template <typename T>
constexpr bool is_numeric<std::optional<T>> = is_numeric<T>;
template <typename T>
constexpr bool is_numeric<std::vector<T>> = is_numeric<T>;

// Bounds beyond which nobody means a number: products of what is below them fit 64 bits.
inline constexpr double most_epochs = 1e6, most_samples = 1e9, most_pixels_a_side = 65536;

// The options of the model and of the optimizer.
template <typename Options, typename Visit>
void visit_model_options(Options& o, const Visit& visit) {
  visit(OptionInfo{"data", "NAME[:DIR]: cifar10, cifar100, fashion-mnist, tiny-imagenet, folder, synthetic",
                   true},
        o.data);
  visit(OptionInfo{"model", "resnet8|14|20|32|44|56|110, resnet18|34|50"}, o.model);
  visit(OptionInfo{"stem", "cifar or imagenet (resnet18|34|50); default: imagenet for those"}, o.stem);
  visit(OptionInfo{"shortcut", "A or B (He et al. 2016); default: B for resnet18|34|50, else A"}, o.shortcut);
  visit(OptionInfo{"init",
                   "kaiming_normal, kaiming_uniform, xavier_normal, xavier_uniform; default: PyTorch's"},
        o.init);
  visit(
      OptionInfo{"init_weights", "FILE or run directory: start from its weights, where names and shapes fit"},
      o.init_weights);
  visit(OptionInfo{"optimizer", "O[:PRESET]; lamina info --presets lists them"}, o.optimizer);
  visit(OptionInfo{"set", "KNOB=VALUE: override a knob of the preset; repeatable"}, o.set);
  visit(
      OptionInfo{"lr",
                 "learning rate before scaling; default: the preset's, or without one lamina info --presets"}
          .within(at_least(0)),
      o.lr);
  visit(OptionInfo{"momentum", "default: the preset's"}.within(share_below_1()), o.momentum);
  visit(OptionInfo{"weight_decay", "default: the preset's"}.within(at_least(0)), o.weight_decay);
  visit(OptionInfo{"clip_norm",
                   "scale the gradient of the whole model down to this norm; default: the preset's"}
            .within(at_least(0)),
        o.clip_norm);
  visit(OptionInfo{"group",
                   "PATTERN:SETTING,...: other settings for parameters of such names, * for any characters: "
                   "lr=FACTOR, decay=NUMBER, adapt=on|off, frozen; repeatable"},
        o.group);
  visit(OptionInfo{"freeze", "PATTERN: leave parameters of such names as they are; repeatable"}, o.freeze);
  visit(OptionInfo{"lr_scaling", "none, linear or sqrt in batch / base batch"}, o.lr_scaling);
  visit(OptionInfo{"base_batch", "of the scaled learning rate: the batch at which nothing is scaled"}.within(
            between(1, most_samples)),
        o.base_batch);
  visit(
      OptionInfo{
          "schedule",
          "constant, cosine, poly or step; default: constant for tvlars, whose phi decays, else cosine"},
      o.schedule);
  visit(OptionInfo{"warmup_epochs", "linear warm-up; fractions allowed"}.within(between(0, most_epochs)),
        o.warmup_epochs);
  visit(OptionInfo{"lr_end", "where cosine and poly end, as a share of the peak"}.within(between(0, 1)),
        o.lr_end);
  visit(OptionInfo{"poly_power", "of the poly schedule"}.within(
            {.least = 0, .most = 1000, .least_excluded = true}),
        o.poly_power);
  visit(OptionInfo{"milestones",
                   "N,N,...: the step schedule divides the learning rate by 10 once so many epochs have "
                   "passed; default: 1/2 "
                   "and 3/4 of them"}
            .within(between(0, most_epochs)),
        o.milestones);
}

// The options of what it is trained on, and how long.
template <typename Options, typename Visit>
void visit_training_options(Options& o, const Visit& visit) {
  visit(OptionInfo{"epochs", "passes over the training images"}.within(between(1, most_epochs)), o.epochs);
  visit(OptionInfo{"batch", "images per optimizer step"}.within(between(1, most_samples)), o.batch);
  visit(OptionInfo{"micro_batch", "images computed at once, to save memory; 0: the whole batch"}.within(
            between(0, most_samples)),
        o.micro_batch);
  visit(OptionInfo{"label_smoothing", "0 … 1 (Szegedy et al. 2016)"}.within(share_below_1()),
        o.label_smoothing);
  visit(OptionInfo{"augment", "none, or standard: pad 4, random crop, flip"}, o.augment);
  visit(OptionInfo{"cutout",
                   "side, in pixels, of a square cut out of each image (DeVries & Taylor 2017); 0: none"}
            .within(between(0, most_pixels_a_side)),
        o.cutout);
  visit(
      OptionInfo{
          "mixup",
          "alpha: images are mixed in pairs, by Beta(alpha, alpha) (Zhang et al. 2018); 0: none; CPU only"}
          .within(between(0, 1e6)),
      o.mixup);
  visit(OptionInfo{"image_size", "folders: resize and crop to a square; 0: keep"}.within(
            between(0, data::most_image_size)),
        o.image_size);
  visit(OptionInfo{"skip_damaged",
                   "folders: go on without images that cannot be decoded, and list them on standard error"},
        o.skip_damaged);
  visit(
      OptionInfo{"max_pixels", "folders: refuse images of more pixels, before memory is spent on them", true}
          .within(at_least(1)),
      o.max_pixels);
  visit(OptionInfo{"limit_train", "use only N training images; 0: all"}.within(at_least(0)), o.limit_train);
  visit(OptionInfo{"limit_test", "use only N test images; 0: all"}.within(at_least(0)), o.limit_test);
  visit(
      OptionInfo{"valid", "training images to hold out: below 1 a share of them, else their number; 0: none"}
          .within(between(0, most_samples)),
      o.valid);
  visit(OptionInfo{"keep", "which epoch's weights are the final ones: last, or best on the held-out images"},
        o.keep);
  visit(
      OptionInfo{"ema",
                 "test and keep an average of the weights over the steps, of which a step keeps this share, "
                 "such as 0.999; 0: the weights as they are"}
          .within(share_below_1()),
      o.ema);
  visit(OptionInfo{"patience",
                   "end after so many epochs without a better result on the held-out images; 0: never"}
            .within(at_least(0)),
        o.patience);
}

// The options of how it is computed and recorded.
template <typename Options, typename Visit>
void visit_running_options(Options& o, const Visit& visit) {
  visit(OptionInfo{"seed", "of weights, order and augmentation"}, o.seed);
  visit(OptionInfo{"device", "cpu, cuda or cuda:INDEX"}, o.device);
  visit(OptionInfo{"precision", "f32, or bf16 (CUDA only)"}, o.precision);
  visit(OptionInfo{"tf32",
                   "CUDA: round the inputs of f32 products to 10 bits of fraction; several times faster"},
        o.tf32);
  visit(OptionInfo{"deterministic", "CUDA: the same bits in every run, even where that takes longer"},
        o.deterministic);
  visit(OptionInfo{"memory_limit", "GiB of tensors that the device holds at any time; 0: no limit", true}
            .within(memory_limit_range),
        o.memory_limit);
  visit(OptionInfo{"trace", "record norms and trust ratios of every layer and step"}, o.trace);
  visit(OptionInfo{"noise_scale", "record the gradient noise scale of every step; needs micro-batches"},
        o.noise_scale);
  visit(OptionInfo{"eager", "CUDA: hand out every kernel by itself, not as a captured step; to debug", true},
        o.eager);
  visit(OptionInfo{"eval_every", "epochs between tests; 0: only after the last", true}.within(at_least(0)),
        o.eval_every);
  visit(OptionInfo{"checkpoint_every", "epochs between checkpoints; 0: only at the end", true}.within(
            at_least(0)),
        o.checkpoint_every);
  visit(OptionInfo{"checkpoint_steps", "also every N steps; 0: never", true}.within(at_least(0)),
        o.checkpoint_steps);
  visit(OptionInfo{"threads",
                   "of computation; 0: all cores that the process may use; does not change results", true}
            .within(thread_range),
        o.threads);
  visit(OptionInfo{"workers", "threads that prepare batches; does not change results", true}.within(
            between(0, data::most_workers)),
        o.workers);
}

// visit(OptionInfo, member) for every option.
template <typename Options, typename Visit>
void visit_options(Options& o, const Visit& visit) {
  visit_model_options(o, visit);
  visit_training_options(o, visit);
  visit_running_options(o, visit);
}

DeviceOptions device_options(const Recipe& recipe);

nlohmann::json to_json(const Recipe& recipe);  // unset ones as null
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

// Unsets the option and the knob of that name, by setting_key(): where what is given later is to replace
// both.
void unset(Recipe& recipe, const std::string& name);

// "NAME" of "NAME:DIR"; of synthetic data the whole, whose sizes stand there.
std::string without_directory(const std::string& data);

// Makes the directory in "NAME:DIR" absolute: the run may be resumed from elsewhere.
void make_data_absolute(std::string& data);
// The same for every path in a recipe.
void make_paths_absolute(Recipe& recipe);

// Throws UsageError for values that make no sense with any data: numbers out of range, text that is not UTF-8
// and so could not be kept in config.json, options that contradict each other.
void check_recipe(const Recipe& recipe);

// The options of a run to be continued: the saved ones, with those of `given` that may change. Throws
// UsageError listing every given option that differs and may not. Another number of epochs passes: the
// trainer refuses it where it would change the past.
Recipe resumed_recipe(const Recipe& saved, const Recipe& given, const std::set<std::string>& given_names,
                      const std::string& run);

// One line, "\n  lr: 1 here, 2 there", for every option in which the runs differ, but for those that a
// resumed run may change. Both are "options" of a config.json; what one lacks has its default there.
std::string list_differences(const nlohmann::json& here, const nlohmann::json& there);

}  // namespace lamina::train
