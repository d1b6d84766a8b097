#include "optim/presets.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <sstream>

#include "optim/knobs.h"

namespace lamina {

namespace {

constexpr std::array preset_rows{
    Preset{"sgd", "pytorch", "momentum=0.9 decay=all", "heavy-ball momentum, L2 decay of every parameter",
           "PyTorch torch/optim/sgd.py"},
    Preset{"sgd", "paper", "momentum=0.9 nesterov=true momentum_lr=inside decay=all",
           "Nesterov momentum, learning rate inside the velocity", "Sutskever et al. 2013, eq. 3-4"},
    Preset{"sgd", "goyal", "momentum=0.9 nesterov=true weight_decay=1e-4 decay=weights",
           "Nesterov momentum, no decay of biases and normalisation", "Goyal et al. 2017, sec. 5.1"},

    Preset{"adamw", "pytorch", "decay_scale=lr decay=all", "decay multiplied by the learning rate",
           "PyTorch torch/optim/adamw.py"},
    Preset{"adamw", "paper", "decay_scale=schedule decay=all", "decay multiplied by the schedule only",
           "Loshchilov & Hutter 2019, Alg. 2"},

    Preset{"lars", "paper", "denominator=split momentum_lr=inside", "learning rate inside the momentum",
           "You, Gitman & Ginsburg 2017, Alg. 1"},
    Preset{"lars", "barlowtwins", "denominator=joint momentum_lr=outside",
           "norm of gradient and decay together, learning rate outside; also VICReg, MAE and the TVLARS "
           "authors' LARS",
           "facebookresearch/barlowtwins main.py"},
    Preset{"lars", "timm", "denominator=split ratio_eps=1e-8 momentum_lr=outside adapt=decayed",
           "only decaying tensors adapt, learning rate outside",
           "huggingface/pytorch-image-models timm/optim/lars.py"},

    Preset{"lamb", "paper", "bias_correction=moments eps=1e-6",
           "bias correction in the moments, weights adapt",
           "You et al. 2020, Alg. 2; exclusions as in the authors' TensorFlow code"},
    Preset{"lamb", "official",
           "bias_correction=none eps=1e-6 weight_norm_max=10 weight_decay=5e-4 decay=all adapt=all",
           "no bias correction, weight norm at most 10, every tensor decays and adapts",
           "KhoiDOO/tvlars opt/lamb.py, as jettify/pytorch-optimizer lamb.py"},
    Preset{"lamb", "official-ssl",
           "bias_correction=none eps=1e-6 weight_decay=5e-4 decay=all adapt=all use_trust_ratio=false",
           "as official with the ratio forced to 1, which the self-supervised script does: no LAMB at all",
           "KhoiDOO/tvlars self_sl.py (adam=True)"},
    Preset{"lamb", "timm", "bias_correction=moments eps=1e-6 max_grad_norm=1 adapt=decayed",
           "global gradient norm at most 1, only decaying tensors adapt",
           "huggingface/pytorch-image-models timm/optim/lamb.py"},

    Preset{
        "tvlars", "paper",
        "alpha=1 lambda=1e-3 delay_epochs=10 gamma_min=0.001*B/B_base denominator=joint momentum_lr=inside "
        "nesterov=true",
        "phi with delay and floor; alpha and the delay are ours, the paper's are not published with its code",
        "Do et al. 2024, eq. 5 and Alg. 1"},
    Preset{"tvlars", "official",
           "alpha=0.1 delay_epochs=0 gamma_min=0 first_time=1 denominator=joint momentum_lr=outside "
           "nesterov=false "
           "weight_norm_max=10 update_norm_max=10",
           "no delay, no floor, norms at most 10", "KhoiDOO/tvlars opt/tvlars.py at 89c3291"},
    Preset{"tvlars", "official-aug17",
           "alpha=0.1 delay_epochs=0 gamma_min=0 first_time=1 hard_delay_epochs=10 denominator=joint "
           "momentum_lr=outside nesterov=false weight_norm_max=10 update_norm_max=10",
           "as official, but phi is 1 for ten epochs", "KhoiDOO/tvlars opt/tvlars.py at 10bcfd2"},
    Preset{
        "tvlars", "official-exp",
        "phi_form=exponential delay_epochs=0 gamma_min=0 first_time=1 denominator=joint momentum_lr=outside "
        "nesterov=false weight_norm_max=10 update_norm_max=10",
        "phi = exp(-lambda t), norms at most 10", "KhoiDOO/tvlars opt/tvlars.py at f0d0428"},
};

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

std::span<const Preset> presets() { return preset_rows; }

std::vector<std::string> optimizer_names() {
  std::vector<std::string> names(families.size());
  std::transform(families.begin(), families.end(), names.begin(), [](const Family& f) { return f.name; });
  return names;
}

const Preset& find_preset(std::string_view name) {
  const std::size_t colon = name.find(':');
  const std::string_view optimizer = name.substr(0, colon);
  std::vector<std::string> names;
  for (const Preset& preset : preset_rows) {
    if (optimizer != preset.optimizer) continue;
    if (colon == std::string_view::npos || name.substr(colon + 1) == preset.name) return preset;
    names.emplace_back(preset.name);
  }
  if (names.empty())
    fail_usage("optimizer '{}' does not exist; valid: {}", optimizer, fmt::join(optimizer_names(), ", "));
  fail_usage("{} has no preset '{}'; valid: {}", optimizer, name.substr(colon + 1), fmt::join(names, ", "));
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

std::string preset_table() {
  std::string table;
  for (const Preset& preset : preset_rows)
    table += fmt::format("{:<22} {}\n{:<22}   {}\n{:<22}   {}\n",
                         fmt::format("{}:{}", preset.optimizer, preset.name), preset.description, "",
                         preset.settings, "", preset.source);
  return table;
}

}  // namespace lamina
