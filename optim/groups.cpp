#include "optim/groups.h"

#include <array>

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

}  // namespace

std::vector<LayerSettings> settings_for(std::span<const Segment> segments, const Groups& groups,
                                        double weight_decay, bool layerwise) {
  std::vector<LayerSettings> settings;
  for (const Segment& segment : segments) {
    LayerSettings layer;
    layer.weight_decay = covers(groups.decay, segment.kind, weight_decay) ? weight_decay : 0;
    layer.adapts = layerwise && covers(groups.adapt, segment.kind, layer.weight_decay);
    layer.lr_scale = layerwise && !layer.adapts ? groups.excluded_lr_scale : 1;
    settings.push_back(layer);
  }
  return settings;
}

std::string group_table(std::span<const Segment> segments, std::span<const LayerSettings> settings) {
  std::string table = fmt::format("{:<8} {:>7} {:>12} {:>12} {:>11} {:>8}\n", "kind", "tensors", "elements",
                                  "weight decay", "trust ratio", "lr scale");
  for (const ParamKind kind : {ParamKind::weight, ParamKind::bias, ParamKind::norm}) {
    std::int64_t tensors = 0, elements = 0;
    LayerSettings layer;  // all tensors of a kind have the same settings
    for (std::size_t i = 0; i < segments.size(); ++i) {
      if (segments[i].kind != kind) continue;
      ++tensors;
      elements += segments[i].elements;
      layer = settings[i];
    }
    if (tensors == 0) continue;
    table += fmt::format("{:<8} {:>7} {:>12} {:>12} {:>11} {:>8}\n", name_of(kind), tensors, elements,
                         layer.weight_decay, layer.adapts ? "yes" : "no", layer.lr_scale);
  }
  return table;
}

}  // namespace lamina
