// What is known of the curvature at one point, as far as it is asked for: what `lamina sharpness` prints.
#pragma once

#include <filesystem>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "analysis/density.h"
#include "analysis/eigenvalues.h"
#include "analysis/layers.h"
#include "analysis/loss_surface.h"
#include "analysis/perturbation.h"
#include "analysis/trace_estimate.h"

namespace lamina::analysis {

struct SharpnessOptions {
  EigenOptions eigenvalues;
  std::optional<TraceOptions> trace = {};  // its variance lowered by the eigenvalues found
  std::optional<DensityOptions> density = {};
  std::optional<LayerOptions> layers = {};
  std::optional<PerturbationOptions> perturbation = {};
  std::filesystem::path journal = {};  // products are kept in this file until all is done; empty: nowhere
  std::function<void(const std::string& line)> progress = {};  // "eigenvalues: 10 products, 12.3 ± 0.1"
};

struct LayerCurvature {
  std::string name;
  double weight_norm = 0;
  std::optional<double> eigenvalue = {}, residual = {};  // λ₁(H_kk)
  std::optional<Estimate> trace = {};                    // tr(H_kk)
};

struct Rises {
  double one_step = 0;  // (perturbation.h)
  AverageRise average;
  double worst = 0;
  double rho = 0;
  bool adaptive = false;
};

struct Sharpness {
  BatchNormMode batch_norm = BatchNormMode::eval;
  std::int64_t samples = 0;
  double loss = 0, gradient_norm = 0;
  EigenResult eigenvalues;
  std::optional<TraceResult> trace;
  std::vector<DensityNode> density;    // empty unless asked for
  std::vector<LayerCurvature> layers;  // with the eigenvalues of layers, or the trace, or both
  std::optional<Rises> rises;
  std::int64_t products = 0;  // of the whole Hessian, in all
};

Sharpness measure_sharpness(const LossSurface& surface, const SharpnessOptions& options = {});

// {"bn", "samples", "loss", "grad_norm", "eigenvalues", "residuals", "smallest", …}; what was not asked for
// is missing.
nlohmann::json to_json(const Sharpness& sharpness);

}  // namespace lamina::analysis
