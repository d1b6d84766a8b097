// Which parameters decay, which get a layer-wise ratio, and at what share of the learning rate the others
// move. This is the one place that decides it.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "optim/arena.h"

namespace lamina {

enum class AppliesTo {
  none,
  weights,  // weights of convolution and linear layers
  all,      // biases and normalisation parameters as well
  decayed,  // those whose weight decay is not zero; for `adapt` only
};

// What parameters of some names have in place of what their kind has.
struct GroupRule {
  std::string pattern;                      // of Param::name, * for any characters: "layer4.*", "*.bias"
  double lr_scale = 1;                      // multiplies the learning rate
  std::optional<double> weight_decay = {};  // unset: as its kind
  std::optional<bool> adapt = {};           // layer-wise rules only; unset: as its kind
  bool frozen = false;                      // as by freeze() (layers/freeze.h)
};

struct Groups {
  AppliesTo decay = AppliesTo::weights;
  AppliesTo adapt = AppliesTo::weights;  // read by layer-wise rules only
  double excluded_lr_scale = 1;  // of the learning rate, for parameters that a layer-wise rule does not adapt
  std::vector<GroupRule> rules = {};  // by name
};

// "PATTERN:SETTING,SETTING…" with the settings lr=FACTOR, decay=NUMBER, adapt=on|off and frozen:
// "layer4.*:lr=0.1,decay=0". Throws UsageError for anything else.
GroupRule parse_group_rule(std::string_view text);
std::string group_rule_text(const GroupRule& rule);  // what parse_group_rule() reads back
std::string group_rules_text(const Groups& groups);  // of all of them, with spaces between

// Freezes what the rules say. Throws UsageError for a factor or decay that is negative or not finite, a
// pattern that no trainable parameter has, and a parameter that two patterns have.
void apply_freezing(const ParamList& params, const Groups& groups);

// What the groups mean for one segment.
struct LayerSettings {
  double weight_decay = 0;
  double lr_scale = 1;
  bool adapts = false;
};

// Throws UsageError for a rule that asks for a ratio where there is none.
std::vector<LayerSettings> settings_for(std::span<const Segment> segments, const Groups& groups,
                                        double weight_decay, bool layerwise);

// A table for the start of a run: per kind, and per settings that tensors of a kind have, the number of
// tensors and elements, weight decay, whether the ratio applies, and the learning-rate scale.
std::string group_table(std::span<const Segment> segments, std::span<const LayerSettings> settings);

}  // namespace lamina
