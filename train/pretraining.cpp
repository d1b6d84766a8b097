#include "train/pretraining.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/json_number.h"
#include "core/base/nearest.h"
#include "core/base/option_name.h"
#include "core/base/rounding.h"
#include "data/view_recipes.h"
#include "train/knn.h"

namespace lamina::train {
namespace {

using LossOptions = decltype(Pretraining::loss);

struct MethodRow {
  const char* name;
  ProjectorOptions projector;
  LossOptions loss;
};

const std::vector<MethodRow>& method_table() {
  static const std::vector<MethodRow> rows{
      {"barlow-twins", {.widths = {2048, 2048, 2048}}, BarlowTwinsOptions{}},
      {"simclr",
       {.widths = {2048, 256}, .hidden_bias = true, .last_bias = true, .hidden_batch_norm = false},
       SimClrOptions{}},
      {"vicreg", {.widths = {2048, 2048, 2048}, .hidden_bias = true}, VicRegOptions{}},
  };
  return rows;
}

const MethodRow& find_method(const std::string& name) {
  const std::vector<std::string> methods = pretraining_methods();
  if (name.empty())
    fail_usage("{} is missing; expected one of {}", option_name("method"), fmt::join(methods, ", "));
  for (const MethodRow& row : method_table())
    if (name == row.name) return row;
  fail_usage("{} {}: unknown; did you mean {}? Expected one of {}", option_name("method"), name,
             nearest(name, methods), fmt::join(methods, ", "));
}

// visit(name, member, range) for every option of a loss.
template <typename Visit>
void visit_loss(BarlowTwinsOptions& o, const Visit& visit) {
  visit("lambda", o.lambda, at_least(0));
  visit("scale", o.scale, above(0));
  visit("eps", o.eps, above(0));
}
template <typename Visit>
void visit_loss(SimClrOptions& o, const Visit& visit) {
  visit("temperature", o.temperature, above(0));
  visit("scale", o.scale, above(0));
}
template <typename Visit>
void visit_loss(VicRegOptions& o, const Visit& visit) {
  visit("invariance_weight", o.invariance_weight, at_least(0));
  visit("variance_weight", o.variance_weight, at_least(0));
  visit("covariance_weight", o.covariance_weight, at_least(0));
  visit("gamma", o.gamma, above(0));
  visit("eps", o.eps, above(0));
  visit("sum_variances", o.sum_variances, NumberRange{});
}

void assign(const std::string& name, double& member, const std::string& value, const NumberRange& range) {
  member = parse_number<double>(name, value, range);
}
void assign(const std::string& name, bool& member, const std::string& value, const NumberRange&) {
  if (value != "true" && value != "false") fail_usage("{} {}: expected true or false", name, value);
  member = value == "true";
}

void set_loss_option(LossOptions& loss, const std::string& method, const std::string& name,
                     const std::string& value) {
  std::vector<std::string> names;
  bool found = false;
  const auto set = [&](const char* option, auto& member, const NumberRange& range) {
    names.emplace_back(option);
    if (name != option) return;
    found = true;
    assign(fmt::format("{} {}:", option_name("set_loss"), name), member, value, range);
  };
  std::visit([&](auto& options) { visit_loss(options, set); }, loss);
  if (!found)
    fail_usage("{} {}: no such option of the loss of {}; did you mean {}? Expected one of {}",
               option_name("set_loss"), name, method, nearest(name, names), fmt::join(names, ", "));
}

// Those that are properties of one code, of one method.
void take_official(const Recipe& recipe, Pretraining& pretraining) {
  auto* const barlow_twins = std::get_if<BarlowTwinsOptions>(&pretraining.loss);
  for (const auto& [name, on] : {std::pair("official_gradient", recipe.official_gradient),
                                 std::pair("official_last_batch", recipe.official_last_batch),
                                 std::pair("official_bias_rate", recipe.official_bias_rate)})
    if (on && barlow_twins == nullptr)
      fail_usage("{}: the official TVLARS code trains barlow-twins alone, not {}", option_name(name),
                 pretraining.method);
  constexpr double official_processes = 4;
  if (recipe.official_gradient) pretraining.two_views.gradient_scale = 1 / official_processes;
  if (recipe.official_last_batch) barlow_twins->nominal_batch = recipe.batch;
}

std::unique_ptr<TwoViewObjective> objective_of(const BarlowTwinsOptions& loss, const TwoViewOptions& views,
                                               Module& net) {
  return std::make_unique<BarlowTwins>(net, loss, views);
}
std::unique_ptr<TwoViewObjective> objective_of(const SimClrOptions& loss, const TwoViewOptions& views,
                                               Module& net) {
  return std::make_unique<SimClr>(net, loss, views);
}
std::unique_ptr<TwoViewObjective> objective_of(const VicRegOptions& loss, const TwoViewOptions& views,
                                               Module& net) {
  return std::make_unique<VicReg>(net, loss, views);
}

}  // namespace

std::vector<std::string> pretraining_methods() {
  std::vector<std::string> names;
  for (const MethodRow& row : method_table()) names.emplace_back(row.name);
  return names;
}

Pretraining resolve_pretraining(const Recipe& recipe) {
  const MethodRow& method = find_method(*recipe.method);
  Pretraining pretraining{.method = method.name,
                          .views = {},
                          .projector = method.projector,
                          .loss = method.loss,
                          .two_views = {.bn_batch = recipe.bn_batch}};
  if (recipe.views) pretraining.views = data::find_view_recipe(*recipe.views);
  if (!recipe.projector.empty()) pretraining.projector.widths = recipe.projector;
  for (const std::string& text : recipe.set_loss)
    for (const auto& [name, value] : parse_settings(text))
      set_loss_option(pretraining.loss, pretraining.method, name, value);
  take_official(recipe, pretraining);
  return pretraining;
}

std::unique_ptr<TwoViewObjective> make_objective(const Pretraining& pretraining, Module& net) {
  return std::visit([&](const auto& loss) { return objective_of(loss, pretraining.two_views, net); },
                    pretraining.loss);
}

nlohmann::json to_json(const Pretraining& pretraining) {
  nlohmann::json loss = nlohmann::json::object();
  LossOptions options = pretraining.loss;
  std::visit(
      [&](auto& of) { visit_loss(of, [&](const char* name, auto& value, auto&&) { loss[name] = value; }); },
      options);
  nlohmann::json json{{"method", pretraining.method},
                      {"projector", pretraining.projector.widths},
                      {"loss", loss},
                      {"gradient_scale", pretraining.two_views.gradient_scale}};
  if (pretraining.views) json["views"] = pretraining.views->name;
  return json;
}

Recipe with_resolved(Recipe recipe, const nlohmann::json& resolved) {
  if (!recipe.method || !resolved.is_object()) return recipe;
  if (const auto views = resolved.value("views", nlohmann::json()); views.is_string())
    recipe.views = views.get<std::string>();
  if (const auto widths = resolved.value("projector", nlohmann::json()); widths.is_array()) {
    recipe.projector.clear();
    for (const nlohmann::json& width : widths) recipe.projector.push_back(whole_number_from_json<int>(width));
  }
  const nlohmann::json loss = resolved.value("loss", nlohmann::json::object());
  if (loss.empty()) return recipe;
  recipe.set_loss.clear();
  for (const auto& [name, value] : loss.items())
    recipe.set_loss.push_back(fmt::format("{}={}", name, value.dump()));
  return recipe;
}

std::vector<std::string> pretraining_differences(const nlohmann::json& resolved, const Recipe& recipe,
                                                 std::int64_t height) {
  std::vector<std::string> found;
  if (!recipe.method || !resolved.is_object()) return found;
  Pretraining pretraining = resolve_pretraining(recipe);
  if (!pretraining.views && height > 0)
    pretraining.views = data::default_view_recipe(pretraining.method, height);
  const nlohmann::json here = to_json(pretraining);
  const auto compare = [&](const std::string& name, const nlohmann::json& theirs,
                           const nlohmann::json& ours) {
    if (theirs.is_null() || ours.is_null() || theirs == ours) return;
    found.push_back(fmt::format("{}: {} there, {} here", name, theirs.dump(), ours.dump()));
  };
  for (const char* name : {"views", "projector"})
    compare(name, resolved.value(name, nlohmann::json()), here.value(name, nlohmann::json()));
  const nlohmann::json loss = resolved.value("loss", nlohmann::json());
  for (const auto& [name, value] : here["loss"].items())
    if (loss.is_object()) compare("loss " + name, loss.value(name, nlohmann::json()), value);
  return found;
}

std::int64_t normalised_together(const Recipe& recipe, int ranks) {
  const std::int64_t share =
      recipe.sync_batch_norm ? recipe.batch : ceil_div<std::int64_t>(recipe.batch, ranks);
  if (recipe.bn_batch > 0) return std::min(recipe.bn_batch, share);
  return part_size(recipe) > 0 ? std::min(part_size(recipe), share) : share;
}

nlohmann::json describe_online_knn(std::int64_t bank) {
  const KnnOptions options;
  return {{"k", std::min(options.k, bank)},
          {"temperature", options.temperature},
          {"distance", "cosine"},
          {"bank", bank},
          {"images", "as in tests, features of evaluation mode"}};
}

bool has_bias_rate(const Recipe& recipe) {
  const std::string optimizer = recipe.optimizer.substr(0, recipe.optimizer.find(':'));
  return recipe.method == "barlow-twins" && (optimizer == "lars" || optimizer == "tvlars");
}

KnobSettings bias_rate(const Recipe& recipe) {
  if (!has_bias_rate(recipe)) return {};
  return {{"excluded_lr_scale", recipe.official_bias_rate ? "1" : "0.024"}};
}

}  // namespace lamina::train
