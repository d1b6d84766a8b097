// The options of a Recipe (train/recipe.h), one by one: their names, their help and what they take.
#pragma once

#include <optional>
#include <type_traits>
#include <vector>

#include "core/base/number.h"
#include "data/images/image.h"
#include "data/loader.h"
#include "train/device_options.h"

namespace lamina::train {

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
inline constexpr double most_epochs = 1e6, most_samples = 1e9, most_pixels_a_side = 65536,
                        most_projector_width = 65536;

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
  visit(OptionInfo{"optimizer", "O[:PRESET]"}, o.optimizer);
  visit(OptionInfo{"set", "KNOB=VALUE: override a knob of the preset; repeatable"}, o.set);
  visit(
      OptionInfo{
          "lr",
          "learning rate before scaling; default: the preset's, or one for short runs where none is named"}
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

// The options of the gradients that the optimizer gets.
template <typename Options, typename Visit>
void visit_gradient_options(Options& o, const Visit& visit) {
  visit(OptionInfo{"sam",
                   "RHO: sharpness-aware minimisation, gradients a step of this length uphill (Foret et al. "
                   "2021); 0: none"}
            .within(between(0, 1e6)),
        o.sam);
  visit(OptionInfo{"sam_adaptive", "with a step that scales with the weights, ASAM (Kwon et al. 2021)"},
        o.sam_adaptive);
  visit(OptionInfo{"sam_m",
                   "m-sharpness: parts of this many images, each with a step uphill of its own; 0: one step "
                   "for the whole batch"}
            .within(between(0, most_samples)),
        o.sam_m);
}

// The options of what it is trained on, and how long.
template <typename Options, typename Visit>
void visit_training_options(Options& o, const Visit& visit) {
  visit(OptionInfo{"epochs", "passes over the training images"}.within(between(1, most_epochs)), o.epochs);
  visit(OptionInfo{"batch", "images per optimizer step"}.within(between(1, most_samples)), o.batch);
  visit(OptionInfo{"micro_batch", "images computed at once, to save memory; 0: the whole batch"}.within(
            between(0, most_samples)),
        o.micro_batch);
  visit(
      OptionInfo{
          "sync_batch_norm",
          "several ranks (mpirun): batch norm by the statistics of the whole batch, not of each share"},
      o.sync_batch_norm);
  visit(OptionInfo{"normalise",
                   "by whose mean and deviation: data (of the training images), cifar10 or imagenet"},
        o.normalise);
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
}

// The options of learning from labels.
template <typename Options, typename Visit>
void visit_supervised_options(Options& o, const Visit& visit) {
  visit(OptionInfo{"augment", "none, standard (pad 4, random crop, flip), or a recipe of views"}, o.augment);
  visit(OptionInfo{"label_smoothing", "0 … 1 (Szegedy et al. 2016)"}.within(share_below_1()),
        o.label_smoothing);
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
  visit(OptionInfo{"noise_scale",
                   "record the gradient noise scale of every step; needs micro-batches or several ranks"},
        o.noise_scale);
  visit(OptionInfo{"eval_every", "epochs between tests; 0: only after the last", true}.within(at_least(0)),
        o.eval_every);
}

// The options of learning without them.
template <typename Options, typename Visit>
void visit_pretraining_options(Options& o, const Visit& visit) {
  visit(OptionInfo{"method", "barlow-twins, simclr or vicreg"}, o.method);
  visit(OptionInfo{"views", "a recipe; default: the method's, for images of that size"}, o.views);
  visit(OptionInfo{"projector",
                   "N,N,...: widths of the projector's layers; default: 2048,2048,2048, of simclr 2048,256"}
            .within(between(1, most_projector_width)),
        o.projector);
  visit(
      OptionInfo{"set_loss",
                 "NAME=VALUE: an option of the method's loss; repeatable. barlow-twins: lambda, scale, eps; "
                 "simclr: temperature, scale; vicreg: invariance_weight, variance_weight, covariance_weight, "
                 "gamma, eps, sum_variances"},
      o.set_loss);
  visit(
      OptionInfo{"bn_batch", "samples whose views are normalised together; 0: all that are computed at once"}
          .within(between(0, most_samples)),
      o.bn_batch);
  visit(
      OptionInfo{
          "knn_every",
          "epochs between measurements of the features by their nearest neighbours on the test images, "
          "and after the last; 0: none"}
          .within(at_least(0)),
      o.knn_every);
  visit(OptionInfo{"official_gradient",
                   "barlow-twins: a quarter of the gradient, as the official TVLARS code has on 4 processes"},
        o.official_gradient);
  visit(
      OptionInfo{
          "official_last_batch",
          "barlow-twins: the short last batch of an epoch counts, its correlations divided by the whole "
          "batch's size, as in the official TVLARS code"},
      o.official_last_batch);
  visit(
      OptionInfo{
          "official_bias_rate",
          "barlow-twins with lars or tvlars: biases and normalisation learn at the weights' rate, as in "
          "the official TVLARS code, not at 0.024 of it"},
      o.official_bias_rate);
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
  visit(
      OptionInfo{"sharpness_every", "epochs between measurements of the curvature, in curvature.csv; 0: none"}
          .within(between(0, most_epochs)),
      o.sharpness_every);
  visit(
      OptionInfo{"sharpness_limit",
                 "sharpness_every: of so many training images, the same ones; 0: all; default: 1024, or all"}
          .within(between(0, most_samples)),
      o.sharpness_limit);
  visit(
      OptionInfo{
          "sharpness_bn",
          "sharpness_every: batch norm by running statistics (eval) or by those of 256 images (train)"},
      o.sharpness_bn);
  visit(
      OptionInfo{"sharpness_layers",
                 "sharpness_every: the largest eigenvalue of each layer's block, too; about twice the time"},
      o.sharpness_layers);
  visit(OptionInfo{"eager", "CUDA: hand out every kernel by itself, not as a captured step; to debug", true},
        o.eager);
  visit(OptionInfo{"checkpoint_every", "epochs between checkpoints; 0: only at the end", true}.within(
            at_least(0)),
        o.checkpoint_every);
  visit(OptionInfo{"checkpoint_steps", "also every N steps; 0: never", true}.within(at_least(0)),
        o.checkpoint_steps);
  visit(OptionInfo{"keep_checkpoints", "the newest ones stay, so many of them", true}.within(at_least(2)),
        o.keep_checkpoints);
  visit(OptionInfo{"threads",
                   "of computation; 0: all cores that the process may use; does not change results", true}
            .within(thread_range),
        o.threads);
  visit(OptionInfo{"workers", "threads that prepare batches; does not change results", true}.within(
            between(0, data::most_workers)),
        o.workers);
}

// visit(OptionInfo, member) for every option that a recipe of this kind has.
template <typename Options, typename Visit>
void visit_options(Options& o, const Visit& visit) {
  visit_model_options(o, visit);
  visit_gradient_options(o, visit);
  visit_training_options(o, visit);
  if (o.method)
    visit_pretraining_options(o, visit);
  else
    visit_supervised_options(o, visit);
  visit_running_options(o, visit);
}

// For every option of either kind.
template <typename Options, typename Visit>
void visit_all_options(Options& o, const Visit& visit) {
  visit_model_options(o, visit);
  visit_gradient_options(o, visit);
  visit_training_options(o, visit);
  visit_supervised_options(o, visit);
  visit_pretraining_options(o, visit);
  visit_running_options(o, visit);
}

}  // namespace lamina::train
