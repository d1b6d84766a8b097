#include "train/longer_run.h"

#include <fmt/ranges.h>

#include <cstdint>
#include <optional>
#include <string>

#include "core/base/error.h"
#include "core/base/json_number.h"
#include "core/base/option_name.h"
#include "train/run_config.h"

namespace lamina::train {
namespace {

std::optional<std::int64_t> epochs_of(const nlohmann::json& config) {
  const nlohmann::json epochs =
      config.value(nlohmann::json::json_pointer("/options/epochs"), nlohmann::json());
  return whole_number<std::int64_t>(epochs);
}

// Of a recipe, what the run made of the option; of a program of one's own the option itself says all. Empty:
// unknown.
std::string schedule_of(const nlohmann::json& config) {
  const nlohmann::json resolved =
      config.value(nlohmann::json::json_pointer("/resolved/schedule"), nlohmann::json());
  const nlohmann::json own =
      config.value(nlohmann::json::json_pointer("/options/schedule"), nlohmann::json());
  return resolved.is_string() ? resolved.get<std::string>() : own.is_string() ? own.get<std::string>() : "";
}

// Schedule::str() of one whose learning rates do not depend on its length, without that.
std::string without_length(const std::string& schedule) {
  const bool is_open = schedule.starts_with("constant") || schedule.starts_with("step (");
  return is_open && schedule.ends_with(" steps") ? schedule.substr(0, schedule.rfind(", ")) : schedule;
}

void check_schedule(const nlohmann::json& saved, const nlohmann::json& config, const std::string& longer) {
  const std::string was = schedule_of(saved), is = schedule_of(config);
  if (!was.empty() && without_length(was) == without_length(is)) return;
  fail_usage(
      "{}: its learning rates would have been others from the start, or are not known\n  now:  {}\n  then: "
      "{}\nLonger runs need a constant schedule, or one in steps with given {}. Start a new run, if need be "
      "from these weights ({})",
      longer, is, was.empty() ? "unknown" : was, option_name("milestones"), option_name("init_weights"));
}

// lambda=5/T is another number in a longer run.
void check_knobs(const nlohmann::json& saved, const nlohmann::json& config, const std::string& longer) {
  const std::vector<std::string> differences = knob_differences(knobs_of_run(saved), knobs_of_run(config));
  if (differences.empty()) return;
  fail_usage(
      "{}: knobs of its optimizer would have been others from the start\n  {}\nLonger runs need knobs that "
      "do not depend on their length: given as numbers ({}), or of a preset. Start a new run, if need be "
      "from these weights ({})",
      longer, fmt::join(differences, "\n  "), option_name("set"), option_name("init_weights"));
}

bool is_recipe(const nlohmann::json& config) {
  return config.contains(nlohmann::json::json_pointer("/resolved/schedule"));
}

}  // namespace

nlohmann::json with_epochs_of(const nlohmann::json& saved, nlohmann::json config) {
  if (!epochs_of(saved) || !epochs_of(config) || epochs_of(saved) == epochs_of(config)) return config;
  config["options"]["epochs"] = *epochs_of(saved);
  if (!is_recipe(config))
    config["options"]["schedule"] = saved["options"].value("schedule", nlohmann::json());
  return config;
}

bool check_longer(const nlohmann::json& saved, const nlohmann::json& config,
                  const std::filesystem::path& run) {
  const std::optional<std::int64_t> before = epochs_of(saved), now = epochs_of(config);
  if (!before || !now || *before == *now) return false;
  const std::string epochs = option_name("epochs");
  if (*now < *before) {
    fail_usage("{}: a run of {} {}, which can be trained longer, but not shorter ({} {})", run.string(),
               epochs, *before, epochs, *now);
  }
  const std::string longer =
      fmt::format("{}: a run of {} {}, which cannot be trained for {}", run.string(), epochs, *before, *now);
  check_schedule(saved, config, longer);
  check_knobs(saved, config, longer);
  return true;
}

}  // namespace lamina::train
