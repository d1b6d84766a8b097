// How much the loss rises in a neighbourhood of the weights: what SAM minimises (Foret et al. 2021), and the
// average and the worst rise that Andriushchenko et al. (ICML 2023, "A Modern Look at the Relationship
// between Sharpness and Generalization") compare. Adaptive ones measure δ in units of |w|, so that scaling
// the weights of a normalised layer changes little.
#pragma once

#include <cstdint>
#include <functional>

#include "analysis/loss_surface.h"

namespace lamina::analysis {

struct PerturbationOptions {
  double rho = 0.05;      // ρ: the length of δ, or of δ/|w|; of the average each element's deviation
  bool adaptive = false;  // c = |w| instead of 1
  int draws = 20;         // δ of the average
  int steps = 20;         // of the ascent to the worst one
  std::uint64_t seed = 0;
  std::function<void(int done, int of)> progress = {};
};

struct AverageRise {
  double mean = 0, standard_error = 0;
};

// L(w + ρ g/‖g‖) − L(w); adaptive: δ = ρ w² g/‖|w| g‖ (Kwon et al. 2021). 0 where g is 0.
double one_step_rise(const LossSurface& surface, const PerturbationOptions& options = {});

// E L(w + δ) − L(w) with δᵢ ~ N(0, ρ² cᵢ²).
AverageRise average_rise(const LossSurface& surface, const PerturbationOptions& options = {});

// max L(w + δ) − L(w) over ‖δ/c‖₂ ≤ ρ: the best that projected gradient ascent finds, hence a lower bound.
double worst_rise(const LossSurface& surface, const PerturbationOptions& options = {});

}  // namespace lamina::analysis
