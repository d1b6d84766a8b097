#include "compare/report/maps.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "compare/report/gnuplot.h"
#include "core/base/error.h"
#include "core/base/file_kind.h"
#include "core/base/option_name.h"
#include "core/base/regular_file.h"
#include "core/base/rounding.h"
#include "core/files/safetensors.h"

namespace lamina::compare {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t most_columns = 300;
constexpr std::size_t most_epoch_tics = 10, most_separate_epochs = 32;
constexpr int width = 460, character_width = 7;
constexpr std::size_t most_layer_characters = 30;  // beside a map

struct Layers {
  std::vector<std::string> names;
  std::vector<std::int64_t> indices;  // their columns in the trace
  bool weights_only = false;
};

bool ends_with_weight(const std::string& name) { return name.ends_with(".weight"); }

// Traces that do not tell the kinds of parameters are shown whole.
Layers choose_layers(const TensorFile& trace, bool all_layers) {
  const std::vector<std::string> names = metadata_names(trace.metadata, "layers"),
                                 kinds = metadata_names(trace.metadata, "kinds");
  check(!names.empty(), "its metadata names no layers");
  Layers layers;
  layers.weights_only = !all_layers && kinds.size() == names.size() &&
                        std::find(kinds.begin(), kinds.end(), "weight") != kinds.end();
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (layers.weights_only && kinds[i] != "weight") continue;
    const bool shorten = layers.weights_only && ends_with_weight(names[i]);
    layers.names.push_back(shorten ? names[i].substr(0, names[i].size() - 7) : names[i]);
    layers.indices.push_back(static_cast<std::int64_t>(i));
  }
  return layers;
}

// [layers, columns]: means over the finite values of the steps that share a column.
std::vector<float> average_columns(const Tensor& tensor, const std::vector<std::int64_t>& layers,
                                   std::int64_t columns) {
  const std::vector<float> values = tensor.to_vector<float>();
  const std::int64_t steps = tensor.size(0), stride = tensor.size(1);
  std::vector<float> means;
  for (const std::int64_t layer : layers) {
    for (std::int64_t column = 0; column < columns; ++column) {
      double sum = 0;
      int count = 0;
      for (std::int64_t t = column * steps / columns; t < (column + 1) * steps / columns; ++t) {
        const float value = values[static_cast<std::size_t>(t * stride + layer)];
        if (!std::isfinite(value)) continue;
        sum += value;
        ++count;
      }
      means.push_back(count > 0 ? static_cast<float>(sum / count) : std::numeric_limits<float>::quiet_NaN());
    }
  }
  return means;
}

bool is_one_or_blank(const std::vector<float>& values) {
  return std::all_of(values.begin(), values.end(), [](float v) { return v == 1 || !std::isfinite(v); });
}

LayerMap read_trace(const fs::path& path, bool all_layers) {
  const TensorFile trace = read_tensors(path);
  const Layers layers = choose_layers(trace, all_layers);
  const std::vector<std::int32_t> steps = trace.at("step").to_vector<std::int32_t>();
  check(!steps.empty(), "it holds no steps yet");
  LayerMap map;
  map.layers = layers.names;
  map.weights_only = layers.weights_only;
  map.first_step = steps.front();
  map.last_step = steps.back();
  const auto rows = static_cast<std::int64_t>(steps.size());
  map.columns = std::min(rows, most_columns);
  const auto traced = static_cast<std::int64_t>(metadata_names(trace.metadata, "layers").size());
  for (const Quantity& quantity : traced_quantities()) {
    const Tensor& tensor = trace.at(quantity.tensor);
    check(tensor.shape() == Shape{rows, traced}, "{} is {}, expected {} steps × {} layers", quantity.tensor,
          tensor.shape().str(), rows, traced);
    map.values.push_back(average_columns(tensor, layers.indices, map.columns));
    if (quantity.tensor == std::string("trust") && is_one_or_blank(map.values.back()))
      map.values.back().clear();
  }
  return map;
}

// The step in the middle of a column, or its epoch.
double step_of(const LayerMap& map, std::int64_t column) {
  if (!map.epochs.empty()) return static_cast<double>(map.epochs[static_cast<std::size_t>(column)]);
  const auto steps = static_cast<double>(map.last_step - map.first_step + 1);
  return static_cast<double>(map.first_step) - 0.5 +
         (static_cast<double>(column) + 0.5) * steps / static_cast<double>(map.columns);
}

std::string csv(const LayerMap& map, std::size_t quantity) {
  std::string text = "layer";
  for (std::int64_t column = 0; column < map.columns; ++column) {
    text += fmt::format(",{:.6g}", step_of(map, column));
  }
  auto value = map.values[quantity].begin();
  for (const std::string& layer : map.layers) {
    text += "\n" + csv_text(layer);
    for (std::int64_t column = 0; column < map.columns; ++column, ++value) {
      text += std::isfinite(*value) && *value > 0 ? fmt::format(",{:.5g}", *value) : ",";
    }
  }
  return text + "\n";
}

// Rows are 3 to 16 points high: a ResNet-110 still fits a screen, and a ResNet-8 does not look stretched.
double row_height(const LayerMap& map) {
  return std::clamp(440.0 / static_cast<double>(map.layers.size()), 3.0, 16.0);
}

// Every layer's name where there is room, else every second, third, …
std::string layer_tics(const LayerMap& map) {
  const auto stride = static_cast<std::size_t>(std::ceil(12 / row_height(map)));
  std::string tics;
  for (std::size_t i = 0; i < map.layers.size(); i += stride) {
    tics += fmt::format("{}{} {}", tics.empty() ? "" : ", \\\n  ",
                        gnuplot_tic_label(shortened(map.layers[i], most_layer_characters)), i);
  }
  return "set ytics scale 0 font \",10\" (" + tics + ")\n";
}

// Columns of epochs are equally wide, however far the epochs lie apart; about ten have their number below.
std::string column_axis(const LayerMap& map) {
  if (map.epochs.empty()) {
    const auto steps = static_cast<double>(map.last_step - map.first_step + 1);
    return fmt::format(
        "first = {} - 0.5; step = {}\nset xlabel \"step\" offset 0, 0.4\n"
        "set xrange [first : {} + 0.5]\nset xtics {}\n",
        map.first_step, steps / static_cast<double>(map.columns), map.last_step, tic_step(steps));
  }
  std::string tics;
  for (std::size_t i = 0; i < map.epochs.size(); i += ceil_div(map.epochs.size(), most_epoch_tics))
    tics += fmt::format("{}\"{}\" {}", tics.empty() ? "" : ", ", map.epochs[i], i);
  return fmt::format(
      "first = -0.5; step = 1\nset xlabel \"epoch\" offset 0, 0.4\nset xrange [first : {} - 0.5]\n"
      "set xtics ({})\n",
      map.epochs.size(), tics);
}

// An image is small, but needs two rows and two columns, and viewers blur it where its cells are large: few
// cells are drawn one by one.
const char* plot_columns(const LayerMap& map) {
  const bool few = !map.epochs.empty() && map.epochs.size() <= most_separate_epochs;
  return few || map.columns < 2 || map.layers.size() < 2
             ? "(0.5 * step):(0.5):3 with boxxyerror lc palette fs solid noborder"
             : "3 with image";
}

int left_margin(const LayerMap& map) {
  std::size_t longest = 0;
  for (const std::string& layer : map.layers) longest = std::max(longest, layer.size());
  return static_cast<int>(std::min(longest, most_layer_characters)) * character_width + 14;
}

}  // namespace

const std::vector<Quantity>& traced_quantities() {
  static const std::vector<Quantity> quantities{
      {"weight_norm", "‖w‖", "Norm of the layer’s weights before the step"},
      {"grad_norm", "‖∇L‖", "Norm of the loss’s gradient, as the backward pass left it"},
      {"ratio", "‖w‖ / ‖∇L‖", "The ratio that layer-wise adaptation starts from"},
      {"update_norm", "‖Δw‖", "Norm of the change that the step made"},
      {"trust", "trust ratio",
       "The factor by which the optimizer scaled the layer’s update; 1 where it does not adapt. Contenders "
       "that adapt no layer have no map"}};
  return quantities;
}

std::vector<std::string> metadata_names(const std::map<std::string, std::string>& metadata,
                                        const std::string& key) {
  const auto found = metadata.find(key);
  if (found == metadata.end()) return {};
  const nlohmann::json list = nlohmann::json::parse(found->second, nullptr, /*allow_exceptions=*/false);
  check(list.is_array() && std::all_of(list.begin(), list.end(), [](const auto& s) { return s.is_string(); }),
        "its metadata's \"{}\" is not a list of names", key);
  return list.get<std::vector<std::string>>();
}

LayerMap map_in_file(const Group& group, const std::string& file, const std::string& option,
                     const std::function<LayerMap(const fs::path&)>& read) {
  LayerMap map;
  const RunResult* run = group.first_with(file);
  if (run == nullptr) {
    map.problem =
        fmt::format("trained without {}, or stopped before the first checkpoint", option_name(option));
    return map;
  }
  const fs::path path = run->path / file;
  try {  // what is wrong with the bytes is told on the page; a disk that fails ends the report
    return read(path);
  } catch (const ReadError&) {
    throw;
  } catch (const Error& error) {
    map.problem = fmt::format("{}: {}", path.string(), error.what());
    return map;
  }
}

LayerMap read_layer_map(const Group& group, bool all_layers) {
  return map_in_file(group, "trace.safetensors", "trace",
                     [&](const fs::path& path) { return read_trace(path, all_layers); });
}

ColourRange colour_range(const std::vector<LayerMap>& maps, std::size_t quantity) {
  ColourRange range{std::numeric_limits<double>::infinity(), 0};
  for (const LayerMap& map : maps) {
    if (!map.shows(quantity)) continue;
    for (const double value : map.values[quantity]) {
      if (!(value > 0)) continue;
      range.low = std::min(range.low, value);
      range.high = std::max(range.high, value);
    }
  }
  if (range.low == range.high) range = {range.low / 2, range.high * 2};  // gnuplot needs an extent
  return range;
}

std::string write_map(const LayerMap& map, std::size_t quantity, const Quantity& q, const ColourRange& range,
                      std::size_t contender, const std::string& label, const ReportFolder& folder) {
  std::string name = fmt::format("{}-{}", q.tensor, contender + 1);
  std::replace(name.begin(), name.end(), '_', '-');
  const auto rows = static_cast<double>(map.layers.size());
  const int height = static_cast<int>(rows * row_height(map)) + 64, left = left_margin(map);
  folder.write(name + ".csv", csv(map, quantity));
  folder.write(
      name + ".gp",
      script_head(name,
                  fmt::format("{} of {}, layer × {}", q.symbol, label, map.epochs.empty() ? "step" : "epoch"),
                  width, height) +
          fmt::format(R"(unset grid
unset key
set margins at screen {left}, at screen {right}, at screen {bottom}, at screen {top}
{columns}set cblabel {title} offset 0.5, 0
set yrange [{rows} - 0.5 : -0.5]
set logscale cb
set cbrange [{low} : {high}]
set cbtics font ",11" scale 0.4 ({cbtics})
set colorbox user origin {right} + 0.014, {bottom} size 0.03, {top} - {bottom} noborder
{palette}
{tics}
plot '{name}.csv' matrix every 1:1:1:1 using (first + ($1 - 0.5) * step):($2 - 1):{with} notitle
unset output
)",
                      fmt::arg("left", static_cast<double>(left) / width),
                      fmt::arg("right", 1 - 100.0 / width), fmt::arg("bottom", 56.0 / height),
                      fmt::arg("top", 1 - 8.0 / height), fmt::arg("title", gnuplot_string(q.symbol)),
                      fmt::arg("columns", column_axis(map)), fmt::arg("rows", map.layers.size()),
                      fmt::arg("cbtics", logarithmic_tics(range.low, range.high)),
                      fmt::arg("palette", palette(1)), fmt::arg("low", range.low),
                      fmt::arg("high", range.high), fmt::arg("tics", layer_tics(map)),
                      fmt::arg("with", plot_columns(map)), fmt::arg("name", name)));
  return name;
}

}  // namespace lamina::compare
