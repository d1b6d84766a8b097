#include "train/frozen_options.h"

#include <optional>
#include <type_traits>

#include "core/base/error.h"
#include "core/base/json_number.h"
#include "core/base/nearest.h"
#include "core/base/number.h"

namespace lamina::train {
namespace {

// visit(name, member, range) for every option that the result depends on.
template <typename Visit>
void visit_frozen(KnnOptions& o, const Visit& visit) {
  visit("k", o.k, between(1, 1e9));
  visit("temperature", o.temperature, above(0));
}
template <typename Visit>
void visit_frozen(LinearProbeOptions& o, const Visit& visit) {
  visit("l2", o.l2, above(0));
  visit("seed", o.seed, at_least(0));
  visit("gradient_bound", o.gradient_bound, above(0));
  visit("max_iterations", o.max_iterations, between(1, 1e9));
}
template <typename Visit>
void visit_frozen(OfficialProbeOptions& o, const Visit& visit) {
  visit("training_mode", o.training_mode, NumberRange{});
  visit("test_crops", o.test_crops, NumberRange{});
  visit("cosine_by_iteration", o.cosine_by_iteration, NumberRange{});
  visit("one_shard", o.one_shard, NumberRange{});
  visit("epochs", o.epochs, between(1, 1e6));
  visit("batch", o.batch, between(2, 1e9));
  visit("lr", o.lr, above(0));
  visit("momentum", o.momentum, share_below_1());
  visit("weight_decay", o.weight_decay, at_least(0));
  visit("seed", o.seed, at_least(0));
}

void assign_value(const std::string& name, bool& member, const nlohmann::json& value, const NumberRange&) {
  if (!value.is_boolean()) fail_usage("{}: {}; expected true or false", name, value.dump());
  member = value.get<bool>();
}
template <typename T>
void assign_value(const std::string& name, T& member, const nlohmann::json& value, const NumberRange& range) {
  if (!value.is_number()) fail_usage("{}: {}; expected {}", name, value.dump(), describe_range<T>(range));
  member = parse_number<T>(name, value.dump(), range);
}
template <typename T>
void assign_value(const std::string& name, std::optional<T>& member, const nlohmann::json& value,
                  const NumberRange& range) {
  assign_value(name, member.emplace(), value, range);
}

template <typename T>
nlohmann::json setting_json(const T& value) {
  return value;
}
nlohmann::json setting_json(const std::optional<double>& value) {
  return value ? nlohmann::json(*value) : nlohmann::json();
}

}  // namespace

const std::vector<FrozenEvaluation>& frozen_evaluations() {
  static const std::vector<FrozenEvaluation> all{
      {"knn", "kNN", "accuracy", "knn.json", KnnOptions{}},
      {"linear", "linear", "top1", "linear.json", LinearProbeOptions{}},
      {"linear_as_official", "linear as official", "top1", "linear-as-official.json",
       OfficialProbeOptions{}}};
  return all;
}

void set_option(FrozenEvaluation& evaluation, const std::string& name, const nlohmann::json& value) {
  std::vector<std::string> names;
  bool found = false;
  const auto set = [&](const char* option, auto& member, const NumberRange& range) {
    names.emplace_back(option);
    if (name != option) return;
    found = true;
    assign_value(name, member, value, range);
  };
  std::visit([&](auto& options) { visit_frozen(options, set); }, evaluation.options);
  if (!found)
    fail_usage("{}: no such option of {}; did you mean {}?", name, evaluation.name, nearest(name, names));
}

nlohmann::json settings_of(const FrozenOptions& options) {
  nlohmann::json settings = nlohmann::json::object();
  FrozenOptions visited = options;
  std::visit(
      [&](auto& of) {
        visit_frozen(
            of, [&](const char* name, const auto& value, auto&&) { settings[name] = setting_json(value); });
      },
      visited);
  return settings;
}

}  // namespace lamina::train
