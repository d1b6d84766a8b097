#include "optim/groups.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include <fmt/ranges.h>

#include "core/base/error.h"
#include "core/base/name_pattern.h"

namespace lamina {

namespace {

bool covers(AppliesTo which, ParamKind kind, double weight_decay) {
  switch (which) {
    case AppliesTo::none:
      return false;
    case AppliesTo::weights:
      return kind == ParamKind::weight;
    case AppliesTo::all:
      return true;
    case AppliesTo::decayed:
      return weight_decay != 0;
  }
  return false;
}

double parse_group_number(std::string_view text, std::string_view setting) {
  const std::string_view number = setting.substr(setting.find('=') + 1);
  double value = 0;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value);
  if (error != std::errc{} || end != number.data() + number.size())
    fail_usage("group {}: {}: expected a number, such as 0.1", text, setting);
  return value;
}

void parse_group_setting(std::string_view text, std::string_view setting, GroupRule& rule) {
  if (setting == "frozen") {
    rule.frozen = true;
  } else if (setting.starts_with("lr=")) {
    rule.lr_scale = parse_group_number(text, setting);
  } else if (setting.starts_with("decay=")) {
    rule.weight_decay = parse_group_number(text, setting);
  } else if (setting == "adapt=on" || setting == "adapt=off") {
    rule.adapt = setting == "adapt=on";
  } else {
    fail_usage("group {}: '{}': expected lr=FACTOR, decay=NUMBER, adapt=on, adapt=off or frozen", text,
               setting);
  }
}

void check_rule(const GroupRule& rule) {
  const auto check_number = [&](const char* what, double value) {
    if (!(value >= 0 && std::isfinite(value)))
      fail_usage("group {}: {} is {}; expected a finite number of at least 0", rule.pattern, what, value);
  };
  check_number("the factor of the learning rate", rule.lr_scale);
  check_number("the weight decay", rule.weight_decay.value_or(0));
  if (rule.frozen && (rule.lr_scale != 1 || rule.weight_decay || rule.adapt))
    fail_usage("group {}: frozen, and other settings as well; what is frozen has none", rule.pattern);
}

const GroupRule* find_rule(const std::string& name, const Groups& groups) {
  const auto found = std::find_if(groups.rules.begin(), groups.rules.end(),
                                  [&](const GroupRule& rule) { return matches(name, rule.pattern); });
  return found == groups.rules.end() ? nullptr : &*found;
}

bool same_settings(const LayerSettings& a, const LayerSettings& b) {
  return a.weight_decay == b.weight_decay && a.lr_scale == b.lr_scale && a.adapts == b.adapts;
}

}  // namespace

GroupRule parse_group_rule(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0)
    fail_usage("group {}: expected PATTERN:SETTING,SETTING…, such as layer4.*:lr=0.1,decay=0", text);
  GroupRule rule{.pattern = std::string(text.substr(0, colon))};
  std::vector<std::string_view> seen;
  for (std::string_view rest = text.substr(colon + 1);;) {
    const std::size_t comma = rest.find(',');
    const std::string_view setting = rest.substr(0, comma), name = setting.substr(0, setting.find('='));
    if (std::find(seen.begin(), seen.end(), name) != seen.end())
      fail_usage("group {}: {} is given twice", text, name);
    seen.push_back(name);
    parse_group_setting(text, setting, rule);
    if (comma == std::string_view::npos) break;
    rest.remove_prefix(comma + 1);
  }
  check_rule(rule);
  return rule;
}

std::string group_rule_text(const GroupRule& rule) {
  std::vector<std::string> settings;
  if (rule.frozen) settings.emplace_back("frozen");
  if (rule.lr_scale != 1) settings.push_back(fmt::format("lr={}", rule.lr_scale));
  if (rule.weight_decay) settings.push_back(fmt::format("decay={}", *rule.weight_decay));
  if (rule.adapt) settings.emplace_back(*rule.adapt ? "adapt=on" : "adapt=off");
  if (settings.empty()) settings.emplace_back("lr=1");
  return fmt::format("{}:{}", rule.pattern, fmt::join(settings, ","));
}

std::string group_rules_text(const Groups& groups) {
  std::string text;
  for (const GroupRule& rule : groups.rules) text += (text.empty() ? "" : " ") + group_rule_text(rule);
  return text;
}

void apply_freezing(const ParamList& params, const Groups& groups) {
  std::vector<const GroupRule*> rule_of(params.size());
  std::vector<std::string> names;
  for (const auto& param : params)
    if (param->trainable()) names.push_back(param->name);
  for (const GroupRule& rule : groups.rules) {
    check_rule(rule);
    bool found = false;
    for (std::size_t i = 0; i < params.size(); ++i) {
      if (params[i]->kind == ParamKind::buffer || !matches(params[i]->name, rule.pattern)) continue;
      if (rule_of[i] != nullptr)
        fail_usage("group {}: {} is in group {} as well; a parameter can be in one only", rule.pattern,
                   params[i]->name, rule_of[i]->pattern);
      rule_of[i] = &rule;
      found = found || rule.frozen || params[i]->trainable();
    }
    if (!found)
      fail_usage("group {}: no trainable parameter has such a name; near: {}", rule.pattern,
                 fmt::join(nearest_matches(rule.pattern, names, 3), ", "));
  }
  for (std::size_t i = 0; i < params.size(); ++i)
    if (rule_of[i] != nullptr && rule_of[i]->frozen) params[i]->set_frozen(true);
}

std::vector<LayerSettings> settings_for(std::span<const Segment> segments, const Groups& groups,
                                        double weight_decay, bool layerwise) {
  std::vector<LayerSettings> settings;
  for (const Segment& segment : segments) {
    const GroupRule* rule = find_rule(segment.name, groups);
    LayerSettings layer;
    layer.weight_decay = covers(groups.decay, segment.kind, weight_decay) ? weight_decay : 0;
    if (rule != nullptr && rule->weight_decay) layer.weight_decay = *rule->weight_decay;
    layer.adapts = layerwise && covers(groups.adapt, segment.kind, layer.weight_decay);
    if (rule != nullptr && rule->adapt) {
      if (*rule->adapt && !layerwise)
        fail_usage("group {}: adapt is on, but this optimizer has no trust ratio; leave it out",
                   rule->pattern);
      layer.adapts = *rule->adapt;
    }
    layer.lr_scale = layerwise && !layer.adapts ? groups.excluded_lr_scale : 1;
    if (rule != nullptr) layer.lr_scale *= rule->lr_scale;
    settings.push_back(layer);
  }
  return settings;
}

std::string group_table(std::span<const Segment> segments, std::span<const LayerSettings> settings) {
  std::string table = fmt::format("{:<8} {:>7} {:>12} {:>12} {:>11} {:>8}\n", "kind", "tensors", "elements",
                                  "weight decay", "trust ratio", "lr scale");
  for (const ParamKind kind : {ParamKind::weight, ParamKind::bias, ParamKind::norm}) {
    std::vector<LayerSettings> distinct;
    for (std::size_t i = 0; i < segments.size(); ++i) {
      const auto same = [&](const LayerSettings& other) { return same_settings(settings[i], other); };
      if (segments[i].kind == kind && std::none_of(distinct.begin(), distinct.end(), same))
        distinct.push_back(settings[i]);
    }
    for (const LayerSettings& layer : distinct) {
      std::int64_t tensors = 0, elements = 0;
      for (std::size_t i = 0; i < segments.size(); ++i) {
        if (segments[i].kind != kind || !same_settings(settings[i], layer)) continue;
        ++tensors;
        elements += segments[i].elements;
      }
      table += fmt::format("{:<8} {:>7} {:>12} {:>12} {:>11} {:>8}\n", name_of(kind), tensors, elements,
                           layer.weight_decay, layer.adapts ? "yes" : "no", layer.lr_scale);
    }
  }
  return table;
}

}  // namespace lamina
