#include "apps/watch.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string_view>

#include "core/base/text_columns.h"

namespace lamina::app {
namespace {

struct Quantity {
  const char* name;
  double (*value)(const LayerReport&);
};

constexpr std::array quantities{
    Quantity{"trust", [](const LayerReport& l) { return l.trust; }},
    Quantity{"||w||", [](const LayerReport& l) { return l.weight_norm; }},
    Quantity{"||grad||", [](const LayerReport& l) { return l.grad_norm; }},
    Quantity{"||update||", [](const LayerReport& l) { return l.update_norm; }},
};
static_assert(quantities.size() == std::tuple_size_v<WatchScales>);

constexpr std::size_t number_width = 7;  // "2.3e-03"
constexpr std::size_t least_bar = 10;
constexpr std::size_t gap = 2;

double value_of(const WatchedLayer& layer, std::size_t quantity, const StepReport& report) {
  if (quantity == 0 && !layer.adapts) return not_measured;
  return quantities[quantity].value(report.layers[layer.index]);
}

// How a line is divided: name, then for each quantity a bar and a number.
struct Columns {
  std::size_t name, quantities, bar;
};

Columns divide(std::span<const WatchedLayer> layers, std::size_t width) {
  std::size_t name = 5;  // "layer"
  for (const WatchedLayer& layer : layers) name = std::max(name, layer.name.size());
  name = std::min(name, std::max(width / 4, std::min<std::size_t>(width / 2, 14)));
  const std::size_t rest = width - std::min(width, name);
  const std::size_t least = gap + least_bar + 1 + number_width;
  const std::size_t count = std::clamp<std::size_t>(rest / least, 1, quantities.size());
  const std::size_t each = rest / count;
  const std::size_t other = gap + 1 + number_width;
  return {name, count, each > other ? each - other : 0};
}

// A name too long loses its beginning: "layer4.1.conv2" -> "..r4.1.conv2".
std::string fitted_name(const std::string& name, std::size_t width) {
  if (name.size() <= width) return fmt::format("{:<{}}", name, width);
  if (width <= 2) return std::string(width, '.');
  return ".." + name.substr(name.size() - (width - 2));
}

std::string number(double value) { return std::isnan(value) ? "-" : fmt::format("{:.1e}", value); }

// Both kinds of bar fill `width` columns.
std::string bar(double value, Decades scale, std::size_t width, bool unicode) {
  if (!(value > 0) || width == 0 || scale.low == scale.high) return std::string(width, ' ');
  const double share = (std::log10(value) - scale.low) / (scale.high - scale.low);
  const auto columns = static_cast<double>(width);
  if (!unicode) {
    const auto full = static_cast<std::size_t>(std::clamp(std::round(share * columns), 1.0, columns));
    return std::string(full, '#') + std::string(width - full, ' ');
  }
  constexpr std::array<const char*, 8> eighths{"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  const auto filled = static_cast<std::size_t>(std::clamp(std::round(share * columns * 8), 1.0, columns * 8));
  std::string text;
  for (std::size_t i = 0; i < filled / 8; ++i) text += "█";
  text += eighths[filled % 8];
  return text + std::string(width - (filled + 7) / 8, ' ');
}

// "trust 1e-3..1e0": what the bars below begin and end at.
std::string heading(const Columns& columns, const WatchScales& scales) {
  const std::size_t width = columns.bar + 1 + number_width;
  std::string text = fmt::format("{:<{}}", "layer", columns.name);
  for (std::size_t i = 0; i < columns.quantities; ++i) {
    std::string title = quantities[i].name;
    const std::string range = fmt::format(" 1e{}..1e{}", scales[i].low, scales[i].high);
    if (scales[i].low < scales[i].high && columns.bar > 0 && title.size() + range.size() <= width) {
      title += range;
    }
    text += fmt::format("{:{}}{:<{}}", "", gap, title, width);
  }
  return text;
}

std::string row(const WatchedLayer& layer, const StepReport& report, const Columns& columns,
                const WatchScales& scales, bool unicode) {
  std::string text = fitted_name(layer.name, columns.name);
  for (std::size_t i = 0; i < columns.quantities; ++i) {
    const double value = value_of(layer, i, report);
    text += fmt::format("{:{}}{} {:>{}}", "", gap, bar(value, scales[i], columns.bar, unicode), number(value),
                        number_width);
  }
  return text;
}

// No blanks at the end.
std::string cut(const std::string& text, std::size_t width) {
  const std::string kept = first_columns(text, width);
  return kept.substr(0, kept.find_last_not_of(' ') + 1);
}

// `count` of them, evenly spaced, with the first and the last.
std::vector<WatchedLayer> chosen(std::span<const WatchedLayer> layers, std::size_t count) {
  if (count >= layers.size()) return {layers.begin(), layers.end()};
  std::vector<WatchedLayer> some;
  for (std::size_t i = 0; i < count; ++i) {
    some.push_back(layers[count == 1 ? 0 : i * (layers.size() - 1) / (count - 1)]);
  }
  return some;
}

bool locale_is_utf8() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const char* value = std::getenv(name);
    if (value == nullptr || *value == '\0') continue;
    const std::string_view locale(value);
    return locale.find("UTF-8") != std::string_view::npos || locale.find("utf8") != std::string_view::npos;
  }
  return false;
}

}  // namespace

std::vector<WatchedLayer> watched_layers(std::span<const Segment> segments,
                                         std::span<const LayerSettings> settings) {
  constexpr std::string_view suffix = ".weight";
  std::vector<WatchedLayer> layers;
  for (std::size_t i = 0; i < segments.size(); ++i) {
    if (segments[i].kind != ParamKind::weight) continue;
    std::string name = segments[i].name;
    if (name.ends_with(suffix)) name.resize(name.size() - suffix.size());
    layers.push_back({std::move(name), i, settings[i].adapts});
  }
  return layers;
}

WatchScales widened(WatchScales scales, std::span<const WatchedLayer> layers, const StepReport& report) {
  for (std::size_t i = 0; i < scales.size(); ++i) {
    for (const WatchedLayer& layer : layers) {
      const double value = value_of(layer, i, report);
      if (!(value > 0) || !std::isfinite(value)) continue;
      const int low = static_cast<int>(std::floor(std::log10(value))), high = low + 1;
      const bool first = scales[i].low == scales[i].high;
      scales[i] =
          first ? Decades{low, high} : Decades{std::min(scales[i].low, low), std::max(scales[i].high, high)};
    }
  }
  return scales;
}

std::vector<std::string> draw_layers(std::span<const WatchedLayer> layers, const StepReport& report,
                                     const WatchScales& scales, const WatchFrame& frame) {
  constexpr std::size_t head = 2;
  const std::size_t room = frame.size.rows - std::min(frame.size.rows, head);
  const bool all = layers.size() <= room;
  const std::vector<WatchedLayer> shown = chosen(layers, all || room == 0 ? room : room - 1);
  const Columns columns = divide(layers, frame.size.columns);

  std::vector<std::string> lines{fmt::format("step {}  lr {:.4g}  phi {:.4g}  ||grad|| of the model {:.3g}",
                                             report.step, report.lr, report.phi, report.grad_norm),
                                 heading(columns, scales)};
  for (const WatchedLayer& layer : shown) lines.push_back(row(layer, report, columns, scales, frame.unicode));
  if (!all) lines.push_back(fmt::format("{} of {} layers", shown.size(), layers.size()));
  lines.resize(std::min(lines.size(), frame.size.rows));
  for (std::string& line : lines) line = cut(line, frame.size.columns);
  return lines;
}

Watch::Watch(const Optimizer& optimizer)
    : layers_(watched_layers(optimizer.segments(), optimizer.settings())), unicode_(locale_is_utf8()) {}

std::vector<std::string> Watch::draw(const StepReport& report, TerminalSize size) {
  scales_ = widened(scales_, layers_, report);
  return draw_layers(layers_, report, scales_, {.size = size, .unicode = unicode_});
}

}  // namespace lamina::app
