#include "apps/train_options.h"

#include <algorithm>
#include <concepts>
#include <type_traits>
#include <utility>

#include "apps/nearest.h"
#include "core/error.h"

namespace lamina {
namespace {

const TrainOptions default_options;

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
  if (!json.is_number_integer()) return false;
  const bool fits = json.is_number_unsigned() ? std::in_range<T>(json.get<std::uint64_t>())
                                              : std::in_range<T>(json.get<std::int64_t>());
  return fits && (value = json.get<T>(), true);
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
std::string type_name(const T&) {
  if constexpr (std::is_same_v<T, bool>)
    return "true or false";
  else if constexpr (std::is_integral_v<T>)
    return "a whole number";
  else if constexpr (std::is_floating_point_v<T>)
    return "a number";
  else
    return "text";
}
template <typename T>
std::string type_name(const std::vector<T>&) {
  return "a list, each element of it " + type_name(T());
}
template <typename T>
std::string type_name(const std::optional<T>&) {
  return type_name(T());
}

template <typename T>
constexpr bool is_optional = false;
template <typename T>
constexpr bool is_optional<std::optional<T>> = true;

std::string flag_of(std::string name) {
  std::replace(name.begin(), name.end(), '_', '-');
  return "--" + name;
}

// Without its directory; behind "synthetic:" stand the images' sizes.
std::string data_name(const std::string& data) {
  return data.starts_with("synthetic:") ? data : data.substr(0, data.find(':'));
}

bool may_differ(const OptionInfo& info, const nlohmann::json& saved, const nlohmann::json& given) {
  if (std::string_view(info.name) == "data") {  // the directory may have moved
    return data_name(saved.get<std::string>()) == data_name(given.get<std::string>());
  }
  return info.may_change;
}

std::string show(const nlohmann::json& value) { return value.is_null() ? "unset" : value.dump(); }

// One line for every option that may not differ but does.
std::string list_differences(const nlohmann::json& ours, const nlohmann::json& theirs) {
  std::string text;
  visit_options(default_options, [&](const OptionInfo& info, const auto&) {
    const nlohmann::json &our = ours.at(info.name), &their = theirs.at(info.name);
    if (our == their || may_differ(info, our, their)) return;
    text += fmt::format("\n  {}: {} here, {} there", flag_of(info.name), show(our), show(their));
  });
  return text;
}

void at_least(const char* flag, double value, double minimum) {
  if (!(value >= minimum)) fail_usage("{} {}: expected at least {}", flag, value, minimum);
}

}  // namespace

void add_options(const Command& command, TrainOptions& options) {
  visit_options(options, [&](const OptionInfo& info, auto& member) {
    command.option(flag_of(info.name), member, info.help);
  });
}

DeviceOptions device_options(const TrainOptions& o) {
  return {.device = o.device,
          .threads = o.threads,
          .precision = o.precision,
          .tf32 = o.tf32,
          .deterministic = o.deterministic,
          .memory_limit = o.memory_limit};
}

std::string command_line(const TrainOptions& options) {
  const nlohmann::json defaults = to_json(default_options);
  std::string text = "lamina train";
  visit_options(options, [&](const OptionInfo& info, const auto& member) {
    const nlohmann::json value = value_to_json(member);
    if (value == defaults[info.name]) return;
    if (value.is_boolean()) {
      text += " " + flag_of(value.get<bool>() ? info.name : fmt::format("no-{}", info.name));
      return;
    }
    for (const nlohmann::json& one : value.is_array() ? value : nlohmann::json::array({value})) {
      text += " " + flag_of(info.name);
      text += " " + (one.is_string() ? one.get<std::string>() : one.dump());
    }
  });
  return text;
}

std::set<std::string> given_options(const Command& command) {
  std::set<std::string> names;
  visit_options(default_options, [&](const OptionInfo& info, const auto&) {
    if (command.given(flag_of(info.name))) names.insert(info.name);
  });
  return names;
}

nlohmann::json to_json(const TrainOptions& options) {
  nlohmann::json json = nlohmann::json::object();
  visit_options(options,
                [&](const OptionInfo& info, const auto& value) { json[info.name] = value_to_json(value); });
  return json;
}

TrainOptions train_options_from_json(const nlohmann::json& json, const std::string& source) {
  check(json.contains("data"), "{}: no \"data\": not the options of a run, or damaged", source);
  TrainOptions options;
  visit_options(options, [&](const OptionInfo& info, auto& member) {
    if (!json.contains(info.name)) return;
    const nlohmann::json& value = json[info.name];
    if (is_optional<std::decay_t<decltype(member)>> && value.is_null()) return;
    check(assign(value, member), "{}: \"{}\" is {}; expected {}", source, info.name, value.dump(),
          type_name(member));
  });
  return options;
}

void set_option(TrainOptions& options, const std::string& name, const nlohmann::json& value) {
  bool found = false;
  std::vector<std::string> names;
  visit_options(options, [&](const OptionInfo& info, auto& member) {
    names.emplace_back(info.name);
    if (name != info.name) return;
    found = true;
    if (!assign(value, member)) fail_usage("{}: {}; expected {}", name, value.dump(), type_name(member));
  });
  if (!found) fail_usage("{}: no such option; did you mean {}?", name, nearest(name, names));
}

void set_knob(TrainOptions& options, const std::string& knob, const std::string& value) {
  const std::string setting = knob + "=";
  std::erase_if(options.set, [&](const std::string& text) { return text.starts_with(setting); });
  options.set.push_back(setting + value);
}

void check_options(const TrainOptions& o) {
  if (o.data.empty())
    fail_usage("--data is missing: --data cifar10:DIR, or --data synthetic to try things out");
  at_least("--epochs", static_cast<double>(o.epochs), 1);
  at_least("--batch", static_cast<double>(o.batch), 1);
  at_least("--micro-batch", static_cast<double>(o.micro_batch), 0);
  at_least("--base-batch", static_cast<double>(o.base_batch), 1);
  at_least("--warmup-epochs", o.warmup_epochs, 0);
  at_least("--image-size", o.image_size, 0);
  at_least("--limit-train", static_cast<double>(o.limit_train), 0);
  at_least("--limit-test", static_cast<double>(o.limit_test), 0);
  at_least("--eval-every", static_cast<double>(o.eval_every), 0);
  at_least("--checkpoint-every", static_cast<double>(o.checkpoint_every), 0);
  at_least("--checkpoint-steps", static_cast<double>(o.checkpoint_steps), 0);
  at_least("--workers", o.workers, 0);
  if (!(o.label_smoothing >= 0 && o.label_smoothing < 1)) {
    fail_usage("--label-smoothing {}: expected 0 or more, and less than 1", o.label_smoothing);
  }
  if (o.micro_batch > o.batch) {
    fail_usage("--micro-batch {} is larger than --batch {}", o.micro_batch, o.batch);
  }
  if (o.noise_scale && (o.micro_batch == 0 || o.micro_batch >= o.batch)) {
    fail_usage("--noise-scale compares the parts of a batch: give a --micro-batch smaller than --batch {}",
               o.batch);
  }
  check_options(device_options(o));
}

TrainOptions resume_options(const TrainOptions& saved, const TrainOptions& given,
                            const std::set<std::string>& given_names, const std::string& run) {
  const nlohmann::json all = to_json(given);
  nlohmann::json wanted = to_json(saved);
  for (const std::string& name : given_names) wanted[name] = all[name];
  const std::string differences = list_differences(wanted, to_json(saved));
  if (!differences.empty()) {
    fail_usage(
        "--resume {}: the run was started with other options:{}\nLeave these out, or start a new run with "
        "another --out",
        run, differences);
  }
  return train_options_from_json(wanted, run);
}

std::string list_differences(const TrainOptions& here, const TrainOptions& there) {
  return list_differences(to_json(here), to_json(there));
}

void check_same_run(const TrainOptions& theirs, const TrainOptions& ours, const std::string& source) {
  const std::string differences = list_differences(ours, theirs);
  check(differences.empty(),
        "{}: a checkpoint of another run:{}\nRemove it, and --resume goes on from the one before it", source,
        differences);
}

}  // namespace lamina
