#include "compare/report/curvature_map.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "compare/report/html.h"
#include "core/base/error.h"
#include "core/base/file_kind.h"
#include "core/base/option_name.h"
#include "core/files/safetensors.h"

namespace lamina::compare {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view weight_ending = ".weight";

// [rows, layers] of the file.
std::vector<float> layer_values(const TensorFile& file, const char* name, std::int64_t rows,
                                std::size_t layers) {
  const Tensor& tensor = file.at(name);
  check(tensor.shape() == Shape{rows, static_cast<std::int64_t>(layers)},
        "{} is {}, expected {} measurements × {} layers", name, tensor.shape().str(), rows, layers);
  return tensor.to_vector<float>();
}

// An infinite value would leave the others no colours.
float finite_or_nan(float value) {
  return std::isfinite(value) ? value : std::numeric_limits<float>::quiet_NaN();
}

// The weights' columns; those of all where none is called a weight.
std::vector<std::size_t> chosen_layers(const std::vector<std::string>& names, bool all_layers) {
  std::vector<std::size_t> chosen, all;
  for (std::size_t k = 0; k < names.size(); ++k) {
    all.push_back(k);
    if (!all_layers && names[k].ends_with(weight_ending)) chosen.push_back(k);
  }
  return chosen.empty() ? all : chosen;
}

LayerMap read_layers(const fs::path& path, bool all_layers) {
  const TensorFile file = read_tensors(path);
  const std::vector<std::string> names = metadata_names(file.metadata, "layers");
  check(!names.empty(), "its metadata names no layers");
  const std::vector<std::int32_t> epochs = file.at("epoch").to_vector<std::int32_t>();
  check(!epochs.empty(), "it holds no measurements yet");
  const std::vector<float> norms = layer_values(file, "weight_norm", std::ssize(epochs), names.size()),
                           traces = layer_values(file, "trace", std::ssize(epochs), names.size());
  const bool has_eigenvalues = file.find("eigenvalue") != nullptr;
  const auto values_if_there = [&](const char* name) {
    return has_eigenvalues ? layer_values(file, name, std::ssize(epochs), names.size())
                           : std::vector<float>();
  };
  const std::vector<float> eigenvalues = values_if_there("eigenvalue"), rates = values_if_there("lr");
  LayerMap map;
  map.epochs.assign(epochs.begin(), epochs.end());
  map.columns = std::ssize(epochs);
  const std::vector<std::size_t> layers = chosen_layers(names, all_layers);
  map.weights_only = !all_layers && names[layers.front()].ends_with(weight_ending);
  map.values.resize(mapped_curvatures().size());
  for (const std::size_t k : layers) {
    map.layers.push_back(map.weights_only ? names[k].substr(0, names[k].size() - weight_ending.size())
                                          : names[k]);
    for (std::size_t row = 0; row < epochs.size(); ++row) {
      const std::size_t i = row * names.size() + k;
      map.values[0].push_back(finite_or_nan(norms[i] * norms[i] * traces[i]));
      map.values[1].push_back(finite_or_nan(traces[i]));
      if (!has_eigenvalues) continue;
      map.values[2].push_back(finite_or_nan(norms[i] * norms[i] * eigenvalues[i]));
      map.values[3].push_back(finite_or_nan(rates[i] * eigenvalues[i]));
    }
  }
  return map;
}

}  // namespace

const std::vector<Quantity>& mapped_curvatures() {
  static const std::vector<Quantity> quantities{
      {"scaled_layer_trace", "‖w‖² tr(H_kk)",
       "Trace of the layer’s block of the Hessian times the squared norm of its weights: a normalised layer "
       "has the same one however long its weights are, so that optimizers compare"},
      {"layer_trace", "tr(H_kk)",
       "Trace of the layer’s block of the Hessian: it falls as a normalised layer’s weights grow, though the "
       "network stays the same"},
      {"scaled_layer_eigenvalue", "‖w‖² λ₁(H_kk)",
       "Largest eigenvalue of the layer’s block of the Hessian times the squared norm of its weights"},
      {"layer_edge", "γ_k λ₁(H_kk)",
       "Largest eigenvalue of the layer’s block times the rate of the layer’s last step, its trust ratio "
       "included. Where steps go along the gradient with momentum m (SGD, LARS, TVLARS), descent in this "
       "layer "
       "alone is unstable beyond 2 (1 + m) (Cohen et al. 2021); LAMB and AdamW scale every element by "
       "itself, "
       "so that it tells little of them"}};
  return quantities;
}

LayerMap read_curvature_map(const Group& group, bool all_layers) {
  return map_in_file(group, "curvature.safetensors", "sharpness_every",
                     [&](const fs::path& path) { return read_layers(path, all_layers); });
}

std::string curvature_maps_introduction(const std::vector<LayerMap>& maps) {
  const bool weights_only =
      std::any_of(maps.begin(), maps.end(), [](const LayerMap& map) { return map.weights_only; });
  return fmt::format(
      "<p>Layer by layer: a row is a layer, the first at the top; a column is an epoch that was measured, "
      "equally wide however far these lie apart. Colours are logarithmic and the same for all contenders of "
      "a "
      "quantity; blank is an estimate that is negative or zero, or not finite. Shown is the first measured "
      "run of each contender. {}",
      weights_only ? fmt::format("Only weights are shown; <code>{}</code> adds biases and normalisation. ",
                                 escape_html(option_name("all_layers")))
                   : "");
}

}  // namespace lamina::compare
