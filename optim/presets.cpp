#include "optim/presets.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <sstream>

#include "core/base/table.h"
#include "optim/knobs.h"

namespace lamina {

namespace {

// What may stand behind a number, and the factor that it is; NaN where the run is not known.
struct RunFactor {
  std::string_view text;
  double (*value)(const RunFacts&);
};

double batch_ratio(const RunFacts& facts) { return double(facts.batch) / double(facts.base_batch); }
double known(double fact) { return fact > 0 ? fact : std::numeric_limits<double>::quiet_NaN(); }

constexpr std::array run_factors{
    RunFactor{"*B/B_base", batch_ratio},
    RunFactor{"*sqrt(B/B_base)", [](const RunFacts& f) { return std::sqrt(batch_ratio(f)); }},
    RunFactor{"*E", [](const RunFacts& f) { return known(f.epochs); }},
    RunFactor{"/T", [](const RunFacts& f) { return 1 / known(f.epochs * double(f.steps_per_epoch)); }},
};

const RunFactor* factor_behind(std::string_view number) {
  const auto found = std::find_if(run_factors.begin(), run_factors.end(),
                                  [&](const RunFactor& factor) { return number.ends_with(factor.text); });
  return found == run_factors.end() ? nullptr : &*found;
}

// 0.5, 1e-3, inf, or a multiple of what the run is: 0.001*B/B_base, 0.4*E, 5/T, 0.1*E/T.
double parse_double(const std::string& knob, std::string_view text, const RunFacts& facts) {
  double factor = 1;
  std::string_view number = text;
  while (const RunFactor* of_run = factor_behind(number)) {
    number.remove_suffix(of_run->text.size());
    factor *= of_run->value(facts);
  }
  if (std::isnan(factor))
    fail_usage("knob {}={}: how long the run is, is not known here; give a number", knob, text);
  double value = 0;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value);
  if (error != std::errc{} || end != number.data() + number.size())
    fail_usage("knob {}={}: expected a number, such as 0.02, 1e-3, 0.001*B/B_base or 0.4*E", knob, text);
  return value * factor;
}

void parse_knob(const std::string& knob, const std::string& text, const RunFacts& facts, double& value) {
  value = parse_double(knob, text, facts);
}

void parse_knob(const std::string& knob, const std::string& text, const RunFacts&, std::int64_t& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size())
    fail_usage("knob {}={}: expected a whole number", knob, text);
}

void parse_knob(const std::string& knob, const std::string& text, const RunFacts&, bool& value) {
  if (text != "true" && text != "false") fail_usage("knob {}={}: expected true or false", knob, text);
  value = text == "true";
}

template <typename Enum>
void parse_knob(const std::string& knob, const std::string& text, const RunFacts&, Enum& value) {
  constexpr auto names = names_of(Enum{});
  const auto found = std::find(names.begin(), names.end(), std::string_view(text));
  if (found == names.end()) fail_usage("knob {}={}: expected one of {}", knob, text, fmt::join(names, ", "));
  value = static_cast<Enum>(found - names.begin());
}

template <typename Options>
[[noreturn]] void fail_no_knob(Options& options, const Preset& preset, std::string_view knob) {
  std::vector<std::string> names;
  visit_knobs(options, [&](const char* name, auto&, const char*) { names.emplace_back(name); });
  fail_usage("{} has no knob '{}'; its knobs: {}", preset.optimizer, knob, fmt::join(names, ", "));
}

template <typename Options>
void set_knobs(Options& options, const Preset& preset, const KnobSettings& settings, const RunFacts& facts) {
  for (const auto& [knob, text] : settings) {
    bool found = false;
    visit_knobs(options, [&, &wanted = knob, &value = text](const char* name, auto& member, const char*) {
      if (wanted != name) return;
      parse_knob(wanted, value, facts, member);
      found = true;
    });
    if (!found) fail_no_knob(options, preset, knob);
  }
}

template <typename Options>
void set_numbers(Options& options, const Preset& preset, const KnobOverrides& overrides) {
  if (overrides.max_grad_norm) options.max_grad_norm = *overrides.max_grad_norm;
  options.groups.rules = overrides.groups;
  if (overrides.lr) options.lr = *overrides.lr;
  if (overrides.weight_decay) options.weight_decay = *overrides.weight_decay;
  if (!overrides.momentum) return;
  if constexpr (requires { options.momentum; })
    options.momentum = *overrides.momentum;
  else
    fail_no_knob(options, preset, "momentum");
}

using Made = std::unique_ptr<Optimizer>;
Made make(const ParamList& params, const SgdOptions& o) { return std::make_unique<Sgd>(params, o); }
Made make(const ParamList& params, const AdamWOptions& o) { return std::make_unique<AdamW>(params, o); }
Made make(const ParamList& params, const LarsOptions& o) { return std::make_unique<Lars>(params, o); }
Made make(const ParamList& params, const LambOptions& o) { return std::make_unique<Lamb>(params, o); }
Made make(const ParamList& params, const TvLarsOptions& o) { return std::make_unique<TvLars>(params, o); }

struct Family {
  std::string_view name;
  OptimizerOptions defaults;
};

const std::array families{
    Family{rules::Sgd<float>::name, SgdOptions{}}, Family{rules::AdamW<float>::name, AdamWOptions{}},
    Family{rules::Lars<float>::name, LarsOptions{}}, Family{rules::Lamb<float>::name, LambOptions{}},
    Family{rules::TvLars<float>::name, TvLarsOptions{}}};

OptimizerOptions defaults_of(const Preset& preset) {
  return std::find_if(families.begin(), families.end(),
                      [&](const Family& family) { return family.name == preset.optimizer; })
      ->defaults;
}

// Not yet checked: a preset alone may need facts of a run.
OptimizerChoice unchecked(const Preset& preset, const KnobOverrides& overrides, const RunFacts& facts) {
  OptimizerChoice choice{&preset, defaults_of(preset)};
  std::visit(
      [&](auto& options) {
        if constexpr (requires { options.steps_per_epoch; }) options.steps_per_epoch = facts.steps_per_epoch;
        set_knobs(options, preset, parse_settings(preset.settings), facts);
        set_numbers(options, preset, overrides);
        set_knobs(options, preset, overrides.set, facts);
      },
      choice.options);
  return choice;
}

}  // namespace

std::vector<std::string> optimizer_names() {
  std::vector<std::string> names(families.size());
  std::transform(families.begin(), families.end(), names.begin(),
                 [](const Family& family) { return std::string(family.name); });
  return names;
}

std::string full_name(const Preset& preset) { return fmt::format("{}:{}", preset.optimizer, preset.name); }

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
      fail_usage("knob setting {}: expected NAME=VALUE, such as trust_coefficient=0.02", word);
    settings.emplace_back(word.substr(0, equals), word.substr(equals + 1));
  }
  return settings;
}

double OptimizerChoice::lr() const {
  return std::visit([](const auto& o) { return o.lr; }, options);
}

std::string OptimizerChoice::name() const { return preset->optimizer; }

std::vector<std::pair<std::string, std::string>> OptimizerChoice::knobs() const {
  return std::visit([](const auto& o) { return all_knobs(o); }, options);
}

OptimizerChoice resolve_optimizer(std::string_view name, const KnobOverrides& overrides,
                                  const RunFacts& facts) {
  OptimizerChoice choice = unchecked(find_preset(name), overrides, facts);
  std::visit([](const auto& options) { check_options(options); }, choice.options);
  return choice;
}

std::unique_ptr<Optimizer> make_optimizer(const OptimizerChoice& choice, const ParamList& params) {
  return std::visit([&](const auto& options) { return make(params, options); }, choice.options);
}

std::unique_ptr<Optimizer> make_optimizer(std::string_view name, const ParamList& params,
                                          const KnobSettings& set, const RunFacts& facts) {
  return make_optimizer(resolve_optimizer(name, {.set = set}, facts), params);
}

std::vector<KnobHelp> knob_help(std::string_view name) {
  std::vector<KnobHelp> rows;
  OptimizerChoice choice = unchecked(find_preset(name), {}, {});
  std::visit(
      [&](auto& options) {
        visit_knobs(options, [&](const char* knob, auto& member, const char* meaning) {
          rows.push_back({knob, knob_text(member), meaning});
        });
      },
      choice.options);
  return rows;
}

std::string knob_table(std::string_view name) {
  Table table({"knob", "value", "meaning"});
  for (const KnobHelp& knob : knob_help(name)) table.add({knob.name, knob.value, knob.meaning});
  return table.str();
}

}  // namespace lamina
