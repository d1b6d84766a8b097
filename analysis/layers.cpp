#include "analysis/layers.h"

#include <algorithm>
#include <cmath>

#include "analysis/eigenvalues.h"
#include "analysis/lanczos.h"
#include "analysis/vectors.h"
#include "core/base/error.h"

namespace lamina::analysis {
namespace {

std::string module_of(const std::string& parameter) { return parameter.substr(0, parameter.rfind('.')); }

class LayerSearch {
 public:
  LayerSearch(const LossSurface& surface, const Layer& layer, const LayerOptions& options, std::uint32_t draw)
      : layer_(layer),
        options_(options),
        lanczos_(Tensor::randn({layer.range.size},
                               {.dtype = surface.dtype(), .seed = options.seed, .draw = draw})) {}

  bool done() const { return done_; }
  BlockProduct wanted() const {
    return {.parameters = layer_.parameters, .vector = lanczos_.vector(), .product = {}};
  }
  void take(const Tensor& product) {
    lanczos_.advance(product);
    const RitzPairs pairs = lanczos_.ritz();
    found_.eigenvalue = pairs.values.back();
    found_.residual = pairs.residuals.back();
    found_.steps = lanczos_.steps();
    const double largest = std::max(std::abs(pairs.values.front()), std::abs(pairs.values.back()));
    done_ = lanczos_.complete() || found_.steps >= options_.max_steps ||
            (found_.steps > 1 && found_.residual <= options_.tolerance * largest);
  }
  const LayerEigenvalue& found() const { return found_; }

 private:
  const Layer& layer_;
  const LayerOptions& options_;
  Lanczos lanczos_;
  LayerEigenvalue found_;
  bool done_ = false;
};

}  // namespace

std::vector<Layer> layers_of(const LossSurface& surface) {
  std::vector<Layer> layers;
  for (std::size_t i = 0; i < surface.parameters().size(); ++i) {
    ParameterRange range = surface.parameters()[i];
    if (range.kind == ParamKind::norm) range.name = module_of(range.name);
    if (!layers.empty() && layers.back().range.name == range.name) {
      layers.back().parameters.push_back(i);
      layers.back().range.size += range.size;
    } else {
      layers.push_back({.range = range, .parameters = {i}});
    }
  }
  return layers;
}

std::vector<LayerEigenvalue> layer_eigenvalues(const LossSurface& surface, const std::vector<Layer>& layers,
                                               const LayerOptions& options, Products products) {
  if (!products) products = [&surface](std::span<BlockProduct> blocks) { surface.products(blocks); };
  if (options.max_steps < 1 || options.at_once < 0 || !(options.tolerance > 0))
    fail_usage("layers: {} steps, {} at once, tolerance {}; expected 1 or more, 0 or more, and more than 0",
               options.max_steps, options.at_once, options.tolerance);
  const std::size_t at_once = options.at_once > 0 ? static_cast<std::size_t>(options.at_once) : layers.size();
  check_basis_fits("layers", surface.size(), surface.dtype(), options.max_steps, "Take fewer steps");
  std::vector<LayerEigenvalue> found;
  for (std::size_t first = 0; first < layers.size(); first += at_once) {
    std::vector<LayerSearch> searches;
    for (std::size_t k = first; k < std::min(first + at_once, layers.size()); ++k)
      searches.emplace_back(surface, layers[k], options, static_cast<std::uint32_t>(k));
    for (;;) {
      std::vector<LayerSearch*> going;
      std::vector<BlockProduct> blocks;
      for (LayerSearch& search : searches)
        if (!search.done()) {
          going.push_back(&search);
          blocks.push_back(search.wanted());
        }
      if (options.progress)
        options.progress(static_cast<int>(first + searches.size() - going.size()),
                         static_cast<int>(layers.size()));
      if (going.empty()) break;
      products(blocks);
      for (std::size_t i = 0; i < going.size(); ++i) going[i]->take(blocks[i].product);
    }
    for (const LayerSearch& search : searches) found.push_back(search.found());
  }
  const Tensor w = surface.position();
  for (std::size_t k = 0; k < layers.size(); ++k)
    found[k].weight_norm = length(w.flat(layers[k].range.first, {layers[k].range.size}));
  return found;
}

}  // namespace lamina::analysis
