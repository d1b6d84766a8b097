#include "analysis/sharpness.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "analysis/product_journal.h"
#include "analysis/vectors.h"

namespace lamina::analysis {
namespace {

// One measurement: the surface, and where its products come from.
class Measurement {
 public:
  Measurement(const LossSurface& surface, const SharpnessOptions& options)
      : surface_(surface), options_(options) {
    if (!options.journal.empty()) journal_.emplace(options.journal, function_digest(surface));
    products_ = [this](std::span<BlockProduct> blocks) {
      const auto compute = [this](std::span<BlockProduct> rest) { surface_.products(rest); };
      journal_ ? journal_->products(blocks, compute) : compute(blocks);
    };
    hessian_ = [this, whole = hessian_of(surface, products_)](std::span<const Tensor> vectors) {
      found_.products += std::ssize(vectors);
      return whole(vectors);
    };
  }

  Sharpness run() {
    const Tensor gradient = Tensor::zeros({surface_.size()}, {.dtype = surface_.dtype()});
    found_.batch_norm = surface_.batch_norm();
    found_.samples = surface_.samples();
    found_.loss = surface_.gradient(gradient);
    found_.gradient_norm = length(gradient);
    find_eigenvalues();
    if (options_.layers || options_.trace) find_layers();
    if (options_.density) find_density();
    if (options_.perturbation) find_rises();
    if (journal_) journal_->remove();
    return std::move(found_);
  }

 private:
  template <typename... Args>
  void tell(fmt::format_string<Args...> text, Args&&... args) const {
    if (options_.progress) options_.progress(fmt::format(text, std::forward<Args>(args)...));
  }

  void find_eigenvalues() {
    EigenOptions options = options_.eigenvalues;
    options.progress = [this](int steps, double largest, double residual) {
      tell("eigenvalues: {} products, the largest {:.4g} with residual {:.2g}", steps, largest, residual);
    };
    found_.eigenvalues = extreme_eigenvalues(hessian_, surface_.size(), surface_.dtype(), options);
  }

  void find_layers() {
    const std::vector<Layer> layers = layers_of(surface_);
    std::vector<ParameterRange> ranges;
    for (const Layer& layer : layers) {
      ranges.push_back(layer.range);
      const Tensor w = surface_.position().flat(layer.range.first, {layer.range.size});
      found_.layers.push_back({.name = layer.range.name, .weight_norm = length(w)});
    }
    if (options_.trace) find_traces(ranges);
    if (options_.layers) find_layer_eigenvalues(layers);
  }

  void find_traces(const std::vector<ParameterRange>& ranges) {
    TraceOptions options = *options_.trace;
    options.values = found_.eigenvalues.values;
    options.vectors = found_.eigenvalues.vectors;
    options.progress = [this](int probes, double mean, double standard_error) {
      tell("trace: {} probes, {:.4g} ± {:.2g}", probes, mean, standard_error);
    };
    found_.trace = estimate_trace(hessian_, ranges, surface_.dtype(), options);
    for (std::size_t k = 0; k < ranges.size(); ++k) found_.layers[k].trace = found_.trace->ranges[k];
  }

  void find_layer_eigenvalues(const std::vector<Layer>& layers) {
    LayerOptions options = *options_.layers;
    options.progress = [this](int done, int of) { tell("layers: {} of {} done", done, of); };
    const std::vector<LayerEigenvalue> found = layer_eigenvalues(surface_, layers, options, products_);
    for (std::size_t k = 0; k < layers.size(); ++k) {
      found_.layers[k].eigenvalue = found[k].eigenvalue;
      found_.layers[k].residual = found[k].residual;
    }
  }

  void find_density() {
    DensityOptions options = *options_.density;
    options.progress = [this](int steps, int of) { tell("density: step {} of {}", steps, of); };
    found_.density = spectral_density(hessian_, surface_.size(), surface_.dtype(), options);
  }

  void find_rises() {
    PerturbationOptions options = *options_.perturbation;
    options.progress = [this](int done, int of) { tell("perturbation: {} of {}", done, of); };
    found_.rises = {.one_step = one_step_rise(surface_, options),
                    .average = average_rise(surface_, options),
                    .worst = worst_rise(surface_, options),
                    .rho = options.rho,
                    .adaptive = options.adaptive};
  }

  const LossSurface& surface_;
  const SharpnessOptions& options_;
  std::optional<ProductJournal> journal_;
  Products products_;
  Operator hessian_;
  Sharpness found_;
};

nlohmann::json to_json(const LayerCurvature& layer) {
  nlohmann::json json{{"name", layer.name}, {"weight_norm", layer.weight_norm}};
  if (layer.eigenvalue) json["eigenvalue"] = *layer.eigenvalue;
  if (layer.residual) json["residual"] = *layer.residual;
  if (layer.trace) {
    json["trace"] = layer.trace->mean;
    json["trace_stderr"] = layer.trace->standard_error;
  }
  return json;
}

nlohmann::json to_json(const Rises& rises) {
  return {{"rho", rises.rho},
          {"adaptive", rises.adaptive},
          {"one_step", rises.one_step},
          {"average", rises.average.mean},
          {"average_stderr", rises.average.standard_error},
          {"worst", rises.worst}};
}

}  // namespace

Sharpness measure_sharpness(const LossSurface& surface, const SharpnessOptions& options) {
  return Measurement(surface, options).run();
}

nlohmann::json to_json(const Sharpness& sharpness) {
  const EigenResult& eigen = sharpness.eigenvalues;
  nlohmann::json json{{"bn", name_of(sharpness.batch_norm)},
                      {"samples", sharpness.samples},
                      {"loss", sharpness.loss},
                      {"grad_norm", sharpness.gradient_norm},
                      {"eigenvalues", eigen.values},
                      {"residuals", eigen.residuals},
                      {"smallest", eigen.smallest},
                      {"smallest_residual", eigen.smallest_residual},
                      {"converged", eigen.converged},
                      {"products", sharpness.products}};
  if (sharpness.trace) {
    json["trace"] = {{"mean", sharpness.trace->trace.mean},
                     {"stderr", sharpness.trace->trace.standard_error},
                     {"probes", sharpness.trace->probes}};
    json["frobenius"] = sharpness.trace->frobenius;
  }
  for (const LayerCurvature& layer : sharpness.layers) json["layers"].push_back(to_json(layer));
  for (const DensityNode& node : sharpness.density)
    json["density"].push_back(nlohmann::json::array({node.value, node.weight}));
  if (sharpness.rises) json["perturbation"] = to_json(*sharpness.rises);
  return json;
}

}  // namespace lamina::analysis
