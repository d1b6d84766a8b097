#include "train/recipe.h"

#include <array>
#include <cmath>
#include <concepts>
#include <filesystem>
#include <string_view>
#include <type_traits>
#include <utility>

#include "core/base/error.h"
#include "core/base/json_number.h"
#include "core/base/nearest.h"
#include "core/base/option_name.h"
#include "core/base/printable.h"
#include "core/base/user_directories.h"
#include "train/noise_scale.h"

namespace lamina::train {
namespace {

const Recipe default_recipe;

template <typename T>
nlohmann::json value_to_json(const T& value) {
  return value;
}
template <typename T>
nlohmann::json value_to_json(const std::optional<T>& value) {
  return value ? nlohmann::json(*value) : nlohmann::json(nullptr);
}

// Whether the value is of the member's type, which it then becomes. A whole number is a number, too.
bool assign(const nlohmann::json& json, bool& value) {
  return json.is_boolean() && (value = json.get<bool>(), true);
}
bool assign(const nlohmann::json& json, double& value) {
  return json.is_number() && (value = json.get<double>(), true);
}
bool assign(const nlohmann::json& json, std::string& value) {
  return json.is_string() && (value = json.get<std::string>(), true);
}
template <std::integral T>
bool assign(const nlohmann::json& json, T& value) {
  const std::optional<T> number = whole_number<T>(json);
  return number && (value = *number, true);
}
template <typename T>
bool assign(const nlohmann::json& json, std::vector<T>& value) {
  if (!json.is_array()) return false;
  std::vector<T> values(json.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!assign(json[i], values[i])) return false;
  }
  value = std::move(values);
  return true;
}
template <typename T>
bool assign(const nlohmann::json& json, std::optional<T>& value) {
  return assign(json, value.emplace());
}

template <typename T>
std::string expected(const OptionInfo& info, const T&) {
  if constexpr (std::is_same_v<T, bool>)
    return "true or false";
  else if constexpr (is_numeric<T>)
    return describe_range<T>(info.range);
  else
    return "text";
}
template <typename T>
std::string expected(const OptionInfo& info, const std::vector<T>&) {
  return "a list, each element of it " + expected(info, T());
}
template <typename T>
std::string expected(const OptionInfo& info, const std::optional<T>&) {
  return expected(info, T());
}

template <typename T>
constexpr bool is_optional = false;
template <typename T>
constexpr bool is_optional<std::optional<T>> = true;

// The options that a resumed run may change; of the data, the directory: they may have moved.
bool may_differ(const std::string& name, const nlohmann::json& a, const nlohmann::json& b) {
  if (name == "data" && a.is_string() && b.is_string())
    return without_directory(a.get<std::string>()) == without_directory(b.get<std::string>());
  bool may = false;
  visit_all_options(default_recipe, [&](const OptionInfo& info, const auto&) {
    if (name == info.name) may = info.may_change;
  });
  return may && name != "data";
}

constexpr std::array<std::pair<std::string_view, std::string_view>, 4> options_and_knobs{
    {{"lr", "lr"},
     {"momentum", "momentum"},
     {"weight_decay", "weight_decay"},
     {"clip_norm", "max_grad_norm"}}};

std::string show(const nlohmann::json& value) { return value.is_null() ? "unset" : value.dump(); }

// config.json, which is JSON, cannot hold other text.
void check_value(const OptionInfo& info, const std::string& value) {
  if (!is_utf8(value))
    fail_usage("{} {}: not UTF-8, and could not be kept in the run's files; rename it, or reach it by a link",
               option_name(info.name), printable(value));
}
void check_value(const OptionInfo&, bool) {}
template <typename T>
void check_value(const OptionInfo& info, const T& value) {
  check_number(option_name(info.name), value, info.range);
}
template <typename T>
void check_value(const OptionInfo& info, const std::optional<T>& value) {
  if (value) check_value(info, *value);
}
template <typename T>
void check_value(const OptionInfo& info, const std::vector<T>& values) {
  for (const T& value : values) check_value(info, value);
}

void check_validation(const Recipe& o) {
  if (o.valid > 1 && o.valid != std::floor(o.valid)) {
    fail_usage("{} {}: expected a share of the training images between 0 and 1, or their number",
               option_name("valid"), o.valid);
  }
  if (o.keep != "last" && o.keep != "best")
    fail_usage("{} {}: expected last or best", option_name("keep"), o.keep);
  const char* chooses = o.keep == "best" ? "keep" : o.patience > 0 ? "patience" : nullptr;
  if (chooses != nullptr && o.valid == 0) {
    fail_usage("{} chooses among epochs, which needs images held out of the training: give {} 0.1, say",
               option_name(chooses), option_name("valid"));
  }
}

}  // namespace

DeviceOptions device_options(const Recipe& o) {
  return {.device = o.device,
          .threads = o.threads,
          .precision = o.precision,
          .tf32 = o.tf32,
          .deterministic = o.deterministic,
          .memory_limit = o.memory_limit};
}

std::optional<SamOptions> sam_options(const Recipe& o) {
  if (o.sam == 0) return {};
  return SamOptions{.rho = o.sam, .adaptive = o.sam_adaptive, .m = o.sam_m};
}

std::int64_t part_size(const Recipe& o) { return o.sam != 0 && o.sam_m > 0 ? o.sam_m : o.micro_batch; }

Recipe pretraining_recipe() {
  Recipe recipe;
  recipe.method.emplace();
  return recipe;
}

nlohmann::json all_options(const Recipe& recipe) {
  nlohmann::json json = nlohmann::json::object();
  visit_all_options(
      recipe, [&](const OptionInfo& info, const auto& value) { json[info.name] = value_to_json(value); });
  return json;
}

nlohmann::json default_options() { return all_options(default_recipe); }

nlohmann::json to_json(const Recipe& options) {
  nlohmann::json json = nlohmann::json::object();
  visit_options(options,
                [&](const OptionInfo& info, const auto& value) { json[info.name] = value_to_json(value); });
  return json;
}

Recipe recipe_from_json(const nlohmann::json& json, const std::string& source) {
  check(json.contains("data"), "{}: no \"data\": not the options of a run, or damaged", source);
  Recipe options = json.contains("method") && !json["method"].is_null() ? pretraining_recipe() : Recipe();
  visit_options(options, [&](const OptionInfo& info, auto& member) {
    if (!json.contains(info.name)) return;
    const nlohmann::json& value = json[info.name];
    if (is_optional<std::decay_t<decltype(member)>> && value.is_null()) return;
    check(assign(value, member), "{}: \"{}\" is {}; expected {}", source, info.name, value.dump(),
          expected(info, member));
  });
  return options;
}

void set_option(Recipe& options, const std::string& name, const nlohmann::json& value) {
  bool found = false;
  std::vector<std::string> names;
  if (name == "method") options.method.emplace();
  visit_options(options, [&](const OptionInfo& info, auto& member) {
    names.emplace_back(info.name);
    if (name != info.name) return;
    found = true;
    if (!assign(value, member)) fail_usage("{}: {}; expected {}", name, value.dump(), expected(info, member));
    check_value(info, member);
  });
  if (!found && default_options().contains(name))
    fail_usage(
        "{}: an option of {}", name,
        options.method ? "supervised training, not of pretraining" : "pretraining; give its method first");
  if (!found) fail_usage("{}: no such option; did you mean {}?", name, nearest(name, names));
}

void set_knob(Recipe& options, const std::string& knob, const std::string& value) {
  std::erase_if(options.set, [&](const std::string& text) { return text.starts_with(knob + "="); });
  options.set.push_back(knob + "=" + value);
}

std::string setting_key(const std::string& name) {
  for (const auto& [option, knob] : options_and_knobs)
    if (name == option) return "set." + std::string(knob);
  return name;
}

std::span<const std::pair<std::string_view, std::string_view>> knobs_of_options() {
  return options_and_knobs;
}

std::string without_directory(const std::string& data) {
  return data.starts_with("synthetic:") ? data : data.substr(0, data.find(':'));
}

void make_data_absolute(std::string& data) {
  const std::size_t colon = data.find(':');
  if (colon != std::string::npos && colon + 1 < data.size() && data.substr(0, colon) != "synthetic") {
    const std::filesystem::path folder = expand_home(data.substr(colon + 1));
    data = data.substr(0, colon + 1) + std::filesystem::absolute(folder).lexically_normal().string();
  }
}

void make_paths_absolute(Recipe& recipe) {
  make_data_absolute(recipe.data);
  if (recipe.init_weights && !recipe.init_weights->empty())
    recipe.init_weights = std::filesystem::absolute(*recipe.init_weights).lexically_normal().string();
}

void check_recipe(const Recipe& o) {
  if (o.data.empty()) {
    fail_usage("{0} is missing: {0} cifar10:DIR, or {0} synthetic to try things out", option_name("data"));
  }
  visit_options(o, [](const OptionInfo& info, const auto& value) { check_value(info, value); });
  if (o.micro_batch > o.batch) {
    fail_usage("{} {} is larger than {} {}", option_name("micro_batch"), o.micro_batch, option_name("batch"),
               o.batch);
  }
  if (o.mixup > 0 && o.device != "cpu") {
    fail_usage("{} {} needs {} cpu: on a GPU a step is captured, with the numbers of one batch",
               option_name("mixup"), o.mixup, option_name("device"));
  }
  if (o.init_weights && o.init_weights->empty())
    fail_usage("{}: no name; expected a weight file or a run directory", option_name("init_weights"));
  if (o.sharpness_every > 0 && o.mixup > 0)
    fail_usage("{} {}: measures images as they are, and {} {} would mix them; leave one of them out",
               option_name("sharpness_every"), o.sharpness_every, option_name("mixup"), o.mixup);
  if (o.sharpness_bn != "eval" && o.sharpness_bn != "train")
    fail_usage("{} {}: expected eval or train", option_name("sharpness_bn"), o.sharpness_bn);
  if (const std::optional<SamOptions> sam = sam_options(o))
    check_sharpness_aware(*sam, {.batch = o.batch, .micro_batch = o.micro_batch}, o.method.has_value());
  if (!o.method) check_validation(o);
  check_options(device_options(o));
}

void check_parts(const Recipe& recipe, const data::LoaderOptions& loader) {
  if (const std::optional<SamOptions> sam = sam_options(recipe))
    check_sharpness_aware(*sam, loader, recipe.method.has_value());
  if (recipe.noise_scale) check_noise_scale(loader);
  if (loader.share.of > 1 && recipe.sync_batch_norm && recipe.sharpness_every > 0 &&
      recipe.sharpness_bn == "train")
    fail_usage(
        "{} train with {}: one rank measures while the others wait, and has no statistics of theirs; measure "
        "with {} eval",
        option_name("sharpness_bn"), option_name("sync_batch_norm"), option_name("sharpness_bn"));
}

Recipe resumed_recipe(const Recipe& saved, const Recipe& given, const std::set<std::string>& given_names,
                      const std::string& run) {
  const nlohmann::json all = to_json(given);
  nlohmann::json wanted = to_json(saved);
  for (const std::string& name : given_names) wanted[name] = all[name];
  nlohmann::json compared = wanted;
  compared["epochs"] = saved.epochs;  // whether it may have more depends on its schedule: train/longer_run.h
  const std::string differences = list_differences(compared, to_json(saved));
  if (!differences.empty()) {
    fail_usage(
        "{}: the run was started with other options:{}\nLeave these out, or start a new run in another "
        "directory",
        run, differences);
  }
  return recipe_from_json(wanted, run);
}

std::string list_differences(const nlohmann::json& here, const nlohmann::json& there) {
  static const nlohmann::json defaults = [] {
    nlohmann::json json = default_options();
    json["transform"] = false;  // of runs whose program did not say so
    return json;
  }();
  nlohmann::json names = defaults;
  names.update(here);
  names.update(there);
  const auto value = [&](const nlohmann::json& options, const std::string& name) {
    return options.contains(name) ? options[name] : defaults.value(name, nlohmann::json());
  };
  std::string text;
  for (const auto& [name, unused] : names.items()) {
    const nlohmann::json ours = value(here, name), theirs = value(there, name);
    if (ours == theirs || may_differ(name, ours, theirs)) continue;
    text += fmt::format("\n  {}: {} here, {} there", option_name(name), show(ours), show(theirs));
  }
  return text;
}

}  // namespace lamina::train
