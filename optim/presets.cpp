#include "optim/presets.h"
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <sstream>

#include "optim/knobs.h"

namespace lamina {

namespace {

// 0.5, 1e-3, inf, or a multiple of the batch: 0.001*B/B_base.
double parse_double(const std::string& knob, std::string_view text, const RunFacts& facts) {
  constexpr std::string_view ratio = "*B/B_base";
  double factor = 1;
  std::string_view number = text;
  if (number.ends_with(ratio)) {
    number.remove_suffix(ratio.size());
    factor = static_cast<double>(facts.batch) / static_cast<double>(facts.base_batch);
  }
  double value = 0;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value);
  if (error != std::errc{} || end != number.data() + number.size())
    fail_usage("--set {}={}: expected a number, such as 0.02, 1e-3 or 0.001*B/B_base", knob, text);
  return value * factor;
}

void parse_knob(const std::string& knob, const std::string& text, const RunFacts& facts, double& value) {
  value = parse_double(knob, text, facts);
}

void parse_knob(const std::string& knob, const std::string& text, const RunFacts&, std::int64_t& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size())
    fail_usage("--set {}={}: expected a whole number", knob, text);
}

void parse_knob(const std::string& knob, const std::string& text, const RunFacts&, bool& value) {
  if (text != "true" && text != "false") fail_usage("--set {}={}: expected true or false", knob, text);
  value = text == "true";
}

template <typename Enum>
void parse_knob(const std::string& knob, const std::string& text, const RunFacts&, Enum& value) {
  constexpr auto names = names_of(Enum{});
  const auto found = std::find(names.begin(), names.end(), std::string_view(text));
  if (found == names.end()) fail_usage("--set {}={}: expected one of {}", knob, text, fmt::join(names, ", "));
  value = static_cast<Enum>(found - names.begin());
}

template <typename Options>
void set_knob(Options& options, const char* optimizer, const std::string& knob, const std::string& text,
              const RunFacts& facts) {
  bool found = false;
  std::vector<std::string> names;
  visit_knobs(options, [&](const char* name, auto& member, const char*) {
    names.emplace_back(name);
    if (knob != name) return;
    parse_knob(knob, text, facts, member);
    found = true;
  });
  if (!found) fail_usage("{} has no knob '{}'; its knobs: {}", optimizer, knob, fmt::join(names, ", "));
}

template <template <typename> class Rule>
typename Rule<float>::Options options_for(const Preset& preset, const KnobSettings& overrides,
                                          const RunFacts& facts) {
  typename Rule<float>::Options options;
  if constexpr (requires { options.steps_per_epoch; }) options.steps_per_epoch = facts.steps_per_epoch;
  for (const auto& [knob, text] : parse_settings(preset.settings))
    set_knob(options, preset.optimizer, knob, text, facts);
  for (const auto& [knob, text] : overrides) set_knob(options, preset.optimizer, knob, text, facts);
  return options;
}

template <template <typename> class Rule>
std::unique_ptr<Optimizer> make(const ParamList& params, const Preset& preset, const KnobSettings& overrides,
                                const RunFacts& facts) {
  return std::make_unique<OptimizerOf<Rule>>(params, options_for<Rule>(preset, overrides, facts));
}

template <template <typename> class Rule>
std::vector<KnobHelp> help(const Preset& preset) {
  std::vector<KnobHelp> rows;
  auto options = options_for<Rule>(preset, {}, {});
  visit_knobs(options, [&](const char* name, auto& member, const char* meaning) {
    rows.push_back({name, knob_text(member), meaning});
  });
  return rows;
}

struct Family {
  const char* name;
  std::unique_ptr<Optimizer> (*make)(const ParamList&, const Preset&, const KnobSettings&, const RunFacts&);
  std::vector<KnobHelp> (*help)(const Preset&);
};

template <template <typename> class Rule>
constexpr Family family() {
  return {Rule<float>::name, &make<Rule>, &help<Rule>};
}

constexpr std::array families{family<rules::Sgd>(), family<rules::AdamW>(), family<rules::Lars>(),
                              family<rules::Lamb>(), family<rules::TvLars>()};

const Family& family_of(const Preset& preset) {
  return *std::find_if(families.begin(), families.end(),
                       [&](const Family& f) { return std::string_view(f.name) == preset.optimizer; });
}

}  // namespace

std::vector<std::string> optimizer_names() {
  std::vector<std::string> names(families.size());
  std::transform(families.begin(), families.end(), names.begin(), [](const Family& f) { return f.name; });
  return names;
}

const Preset& find_preset(std::string_view name) {
  const std::size_t colon = name.find(':');
  const std::string_view optimizer = name.substr(0, colon);
  const std::string_view wanted = colon == std::string_view::npos ? "" : name.substr(colon + 1);
  std::vector<std::string> names, elsewhere;
  for (const Preset& preset : presets()) {
    const bool ours = optimizer == preset.optimizer;
    if (ours && (colon == std::string_view::npos || wanted == preset.name)) return preset;
    if (ours) names.emplace_back(preset.name);
    if (!ours && wanted == preset.name) elsewhere.push_back(fmt::format("{}:{}", preset.optimizer, wanted));
  }
  if (names.empty())
    fail_usage("optimizer '{}' does not exist; valid: {}", optimizer, fmt::join(optimizer_names(), ", "));
  fail_usage("{} has no preset '{}'{}; valid: {}", optimizer, wanted,
             elsewhere.empty() ? "" : fmt::format(" (there is {})", fmt::join(elsewhere, ", ")),
             fmt::join(names, ", "));
}

KnobSettings parse_settings(std::string_view text) {
  KnobSettings settings;
  std::istringstream words{std::string(text)};
  for (std::string word; words >> word;) {
    const std::size_t equals = word.find('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == word.size())
      fail_usage("--set {}: expected NAME=VALUE, such as trust_coefficient=0.02", word);
    settings.emplace_back(word.substr(0, equals), word.substr(equals + 1));
  }
  return settings;
}

std::unique_ptr<Optimizer> make_optimizer(std::string_view name, const ParamList& params,
                                          const KnobSettings& overrides, const RunFacts& facts) {
  const Preset& preset = find_preset(name);
  return family_of(preset).make(params, preset, overrides, facts);
}

std::vector<KnobHelp> knob_help(std::string_view name) {
  const Preset& preset = find_preset(name);
  return family_of(preset).help(preset);
}

}  // namespace lamina
