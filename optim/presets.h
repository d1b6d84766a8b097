// Optimizers by name. A preset is data: settings of a rule's knobs that give the arithmetic of one paper or
// public implementation; `lamina info --presets` lists them.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "optim/optimizer.h"

namespace lamina {

struct Preset {
  const char* optimizer;    // "lars"
  const char* name;         // "paper"
  const char* settings;     // "trust_coefficient=0.001 ..."; knobs not named keep their default
  const char* description;  // one line
  const char* source;       // paper and equation, or package or repository, file and commit
};

std::string full_name(const Preset& preset);  // "lars:paper"

std::span<const Preset> presets();  // an optimizer's first is its default
std::vector<std::string> optimizer_names();

// "lars" (its default preset) or "lars:barlowtwins". Throws UsageError listing the valid names.
const Preset& find_preset(std::string_view name);

// The facts of a run that settings may refer to: a multiple of the batch, gamma_min=0.001*B/B_base or
// lr=0.005*sqrt(B/B_base), of its E epochs, delay_epochs=0.4*E, or a part for each of its T steps,
// lambda=5/T; several of these are multiplied, lambda=0.1*E/T.
struct RunFacts {
  std::int64_t batch = 256;
  std::int64_t base_batch = 256;
  std::int64_t steps_per_epoch = 0;  // 0: unknown; knobs in epochs are then refused
  double epochs = 0;                 // 0: unknown; settings with E or T are then refused
};

// Knob settings as text: {"trust_coefficient", "0.02"}. Later ones win.
using KnobSettings = std::vector<std::pair<std::string, std::string>>;
KnobSettings parse_settings(std::string_view text);  // "a=1 b=2"; throws UsageError

// What is to differ from the preset; empty: nothing.
struct KnobOverrides {
  std::optional<double> lr = {}, momentum = {}, weight_decay = {}, max_grad_norm = {};
  std::vector<GroupRule> groups = {};
  KnobSettings set = {};  // comes last and wins
};

using OptimizerOptions = std::variant<SgdOptions, AdamWOptions, LarsOptions, LambOptions, TvLarsOptions>;

// An optimizer whose every knob is known, before there are parameters for it.
struct OptimizerChoice {
  const Preset* preset;  // one of presets()
  OptimizerOptions options;

  double lr() const;                                               // the peak, where a schedule follows
  std::string name() const;                                        // "tvlars"
  std::vector<std::pair<std::string, std::string>> knobs() const;  // as Optimizer::knobs()
};

// Throws UsageError for an unknown optimizer, preset or knob (listing the valid ones), a value that is not
// one, and for knobs that contradict each other.
OptimizerChoice resolve_optimizer(std::string_view name, const KnobOverrides& overrides = {},
                                  const RunFacts& facts = {});
std::unique_ptr<Optimizer> make_optimizer(const OptimizerChoice& choice, const ParamList& params);

// Both in one, with what both throw.
std::unique_ptr<Optimizer> make_optimizer(std::string_view name, const ParamList& params,
                                          const KnobSettings& set = {}, const RunFacts& facts = {});

// Name, value under the preset, meaning: for help and documentation.
struct KnobHelp {
  std::string name, value, meaning;
};
std::vector<KnobHelp> knob_help(std::string_view name);

// Tables for people: every preset with its settings and source, and every knob of a preset.
std::string preset_table();
std::string knob_table(std::string_view name);

}  // namespace lamina
