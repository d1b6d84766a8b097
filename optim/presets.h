// Optimizers by name. A preset is data: settings of a rule's knobs that give the arithmetic of one paper or
// public implementation; `lamina info --presets` lists them.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "optim/optimizer.h"

namespace lamina {

struct Preset {
  const char* optimizer;  // "lars"
  const char* name;       // "paper"
  const char*
      settings;  // "trust_coefficient=0.001 denominator=split ..."; knobs not named keep their default
  const char* description;  // one line
  const char* source;       // paper and equation, or package or repository, file and commit
};

std::span<const Preset> presets();  // an optimizer's first is its default
std::vector<std::string> optimizer_names();

// "lars" (its default preset) or "lars:barlowtwins". Throws UsageError listing the valid names.
const Preset& find_preset(std::string_view name);

// The facts of a run that settings may refer to: `gamma_min=0.001*B/B_base`, and delays in epochs.
struct RunFacts {
  std::int64_t batch = 256;
  std::int64_t base_batch = 256;
  std::int64_t steps_per_epoch = 0;  // 0: unknown; knobs in epochs are then refused
};

// Knob settings as from the command line: {"trust_coefficient", "0.02"}. Later ones win.
using KnobSettings = std::vector<std::pair<std::string, std::string>>;
KnobSettings parse_settings(std::string_view text);  // "a=1 b=2"; throws UsageError

// Throws UsageError for an unknown optimizer, preset or knob (listing the valid ones), a value that is not
// one, and for knobs that contradict each other.
std::unique_ptr<Optimizer> make_optimizer(std::string_view name, const ParamList& params,
                                          const KnobSettings& overrides = {}, const RunFacts& facts = {});

// Name, value under the preset, meaning: for help and documentation.
struct KnobHelp {
  std::string name, value, meaning;
};
std::vector<KnobHelp> knob_help(std::string_view name);

// The table that `lamina info --presets` prints.
std::string preset_table();

}  // namespace lamina
