#include "compare/settled_options.h"

#include <algorithm>
#include <filesystem>

#include "train/recipe.h"

namespace lamina::compare {
namespace {

namespace fs = std::filesystem;

// How many parts the two have in common, counted from `a` and `b` on.
template <typename Iterator>
std::size_t common_parts(Iterator a, Iterator a_end, Iterator b, Iterator b_end) {
  return static_cast<std::size_t>(std::mismatch(a, a_end, b, b_end).first - a);
}

// Whether the knobs are all there: of those that were set ("lambda=0.02") none is missing.
bool tells_all_of(const nlohmann::json& knobs, const nlohmann::json& set) {
  return !knobs.empty() && std::all_of(set.begin(), set.end(), [&](const nlohmann::json& knob) {
    if (!knob.is_string()) return false;
    const std::string text = knob.get<std::string>();
    return knobs.contains(text.substr(0, text.find('=')));
  });
}

}  // namespace

nlohmann::json settled_options(const nlohmann::json& config, nlohmann::json options) {
  const auto object_in = [](const nlohmann::json& in, const char* name) {
    const nlohmann::json found = in.value(name, nlohmann::json());
    return found.is_object() ? found : nlohmann::json::object();
  };
  const nlohmann::json resolved = object_in(config, "resolved"), knobs = object_in(resolved, "knobs");
  for (const char* name : {"optimizer", "stem", "shortcut", "schedule", "views", "projector", "bn_batch"})
    if (resolved.contains(name)) options[name] = resolved[name];
  for (const auto& [option, knob] : train::knobs_of_options())
    if (knobs.contains(knob)) options[std::string(option)] = knobs[std::string(knob)];
  if (tells_all_of(knobs, options["set"])) options["set"] = knobs;
  if (resolved.contains("loss")) options["set_loss"] = resolved["loss"];
  return options;
}

std::string distinct_part(const std::string& path, const std::vector<std::string>& others) {
  const auto parts_of = [](const fs::path& of) { return std::vector<fs::path>(of.begin(), of.end()); };
  const std::vector<fs::path> parts = parts_of(path);
  std::size_t front = parts.size(), back = parts.size();  // parts that all share
  for (const std::string& other : others) {
    if (other == path) continue;
    const std::vector<fs::path> theirs = parts_of(other);
    front = std::min(front, common_parts(parts.begin(), parts.end(), theirs.begin(), theirs.end()));
    back = std::min(back, common_parts(parts.rbegin(), parts.rend(), theirs.rbegin(), theirs.rend()));
  }
  if (front + back >= parts.size()) return parts.empty() ? path : parts.back().string();
  fs::path distinct;
  for (std::size_t i = front; i < parts.size() - back; ++i) distinct /= parts[i];
  return distinct.string();
}

}  // namespace lamina::compare
