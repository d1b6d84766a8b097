// The density of a Hessian's eigenvalues by stochastic Lanczos quadrature (Ghorbani et al. 2019): from a
// random z of length 1, m steps give nodes θᵢ and weights τᵢ with Σ τ p(θ) = zᵀp(H)z for polynomials up to
// degree 2m − 1; the mean over many z is that over all eigenvalues. What is kept are nodes and weights: how
// wide they are drawn is a matter of drawing.
#pragma once

#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "analysis/eigenvalues.h"

namespace lamina::analysis {

struct DensityOptions {
  int steps = 80;  // m, of each start
  int starts = 4;  // they share the backward passes; all bases are in memory
  std::uint64_t seed = 0;
  std::function<void(int steps, int of)> progress = {};
};

struct DensityNode {
  double value = 0, weight = 0;  // θ, and τ / starts
};

// All starts' nodes by rising value; the weights add up to 1. Throws UsageError for options out of range, and
// Error if the bases do not fit into memory.
std::vector<DensityNode> spectral_density(const Operator& h, std::int64_t n, DType dtype,
                                          const DensityOptions& options = {});

}  // namespace lamina::analysis
