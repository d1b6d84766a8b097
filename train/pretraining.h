// Self-supervised training by a recipe: what its method is trained with, and what is minimised.
//
//   method        views up to 64 pixels a side  projector's widths  biases: hidden, last  batch norm
//   barlow-twins  solo-learn-barlow             2048, 2048, 2048    no, no                hidden layers
//   simclr        solo-learn-simclr             2048, 256           yes, yes              none
//   vicreg        solo-learn-vicreg             2048, 2048, 2048    yes, no               hidden layers
//
// Widths are those of vturrisi/solo-learn@9187ea3 on CIFAR. Biases and normalisation are the authors' own in
// Barlow Twins (facebookresearch/barlowtwins@8e8d284) and VICReg (facebookresearch/vicreg@4e12602),
// solo-learn's in SimCLR. Views of larger images: data::default_view_recipe().
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "data/views.h"
#include "layers/projector.h"
#include "optim/presets.h"
#include "train/objectives/barlow_twins.h"
#include "train/objectives/simclr.h"
#include "train/objectives/vicreg.h"
#include "train/recipe.h"

namespace lamina::train {

std::vector<std::string> pretraining_methods();

// With every name looked up and every number checked.
struct Pretraining {
  std::string method;
  std::optional<data::ViewRecipe> views;  // unset: the method's for the images' size
  ProjectorOptions projector;
  std::variant<BarlowTwinsOptions, SimClrOptions, VicRegOptions> loss;
  TwoViewOptions two_views;
};

// Of a recipe that has a method. Throws UsageError for a method, views or an option of the loss that does not
// exist (with the nearest that does), and for what the method has no use for.
Pretraining resolve_pretraining(const Recipe& recipe);

// Throws UsageError for batch statistics over a single sample.
std::unique_ptr<TwoViewObjective> make_objective(const Pretraining& pretraining, Module& net);

// "resolved" of a config.json: views, projector and loss by name and value, so that a run goes on with those
// that it started with though defaults have become others.
nlohmann::json to_json(const Pretraining& pretraining);
// `recipe` with those of them that a run's "resolved" names and the recipe leaves to the defaults. Throws
// Error for widths that are no whole numbers.
Recipe with_resolved(Recipe recipe, const nlohmann::json& resolved);

// In words, "views: tvlars there, solo-learn-barlow here", where a run's "resolved" has other views, another
// projector or loss than the recipe gives now on its images, of `height` pixels (0: unknown). What the run
// does not name is unknown, and no difference.
std::vector<std::string> pretraining_differences(const nlohmann::json& resolved, const Recipe& recipe,
                                                 std::int64_t height);

// Over how many samples batch normalisation takes its statistics: bn_batch, or all that are computed at once,
// by one of so many ranks.
std::int64_t normalised_together(const Recipe& recipe, int ranks = 1);

// How OnlineKnn measures by default, with a bank of so many images, for config.json.
nlohmann::json describe_online_knn(std::int64_t bank);

// Whether biases and normalisation have a learning rate of their own: Barlow Twins', which lars and tvlars
// give no trust ratio, learn at 0.0048 / 0.2 of the weights' rate (facebookresearch/barlowtwins@8e8d284
// main.py:
// --learning-rate-biases, --learning-rate-weights), or with official_bias_rate at that rate.
bool has_bias_rate(const Recipe& recipe);
KnobSettings bias_rate(const Recipe& recipe);  // which is a knob; nothing where there is none

}  // namespace lamina::train
