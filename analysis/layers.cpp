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

std::int64_t elements_of(const LossSurface& surface, const Layer& layer) {
  std::int64_t elements = 0;
  for (const std::size_t i : layer.parameters) elements += surface.parameters()[i].size;
  return elements;
}

class LayerSearch {
 public:
  LayerSearch(const LossSurface& surface, const Layer& layer, const LayerOptions& options, std::uint32_t draw)
      : layer_(layer),
        options_(options),
        lanczos_(Tensor::randn({elements_of(surface, layer)},
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
    const ParameterRange& parameter = surface.parameters()[i];
    const bool norm = parameter.kind == ParamKind::norm;
    const std::string name = norm ? module_of(parameter.name) : parameter.name;
    if (norm && !layers.empty() && layers.back().name == name)
      layers.back().parameters.push_back(i);
    else
      layers.push_back({.name = name, .parameters = {i}});
  }
  return layers;
}

std::vector<LayerEigenvalue> layer_eigenvalues(const LossSurface& surface, const std::vector<Layer>& layers,
                                               const LayerOptions& options) {
  if (options.max_steps < 1 || options.at_once < 0 || !(options.tolerance > 0))
    fail_usage("layers: {} steps, {} at once, tolerance {}; expected 1 or more, 0 or more, and more than 0",
               options.max_steps, options.at_once, options.tolerance);
  const std::size_t at_once = options.at_once > 0 ? static_cast<std::size_t>(options.at_once) : layers.size();
  check_basis_fits("layers", surface.size(), surface.dtype(), options.max_steps);
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
      surface.products(blocks);
      for (std::size_t i = 0; i < going.size(); ++i) going[i]->take(blocks[i].product);
    }
    for (const LayerSearch& search : searches) found.push_back(search.found());
  }
  const Tensor w = surface.position();
  for (std::size_t k = 0; k < layers.size(); ++k) {
    double squares = 0;
    for (const std::size_t i : layers[k].parameters) {
      const Tensor parameter = w.flat(surface.parameters()[i].first, {surface.parameters()[i].size});
      squares += inner_product(parameter, parameter);
    }
    found[k].weight_norm = std::sqrt(squares);
  }
  return found;
}

}  // namespace lamina::analysis
