// What --lr, --momentum, --weight-decay and --set say about an optimizer's knobs.
#pragma once

#include <string>
#include <utility>

#include "optim/presets.h"

namespace lamina {

// `options` has lr, momentum and weight_decay (optional) and set ("KNOB=VALUE" each), which comes last and so
// wins. Throws UsageError for a setting that is not KNOB=VALUE.
template <typename Options>
KnobSettings knob_settings(const Options& options) {
  KnobSettings settings;
  const auto add = [&](const char* knob, const auto& value) {
    if (value) settings.emplace_back(knob, fmt::format("{}", *value));
  };
  add("lr", options.lr);
  add("momentum", options.momentum);
  add("weight_decay", options.weight_decay);
  for (const std::string& text : options.set) {
    for (auto& setting : parse_settings(text)) settings.push_back(std::move(setting));
  }
  return settings;
}

}  // namespace lamina
