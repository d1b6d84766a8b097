// The trace of a Hessian, and of each parameter's block of it, by random signs (Hutchinson 1990):
// tr H = E zᵀHz for independent zᵢ = ±1. The same products give all of it:
//   tr H_kk = E Σ_{i in k} zᵢ (Hz)ᵢ        ‖H‖²_F = E ‖Hz‖²
//
// Known eigenpairs (θ, q) take away variance, exactly: zᵀHz − Σ θ (q·z)² + Σ θ has the same mean, since
// E (q·z)² = ‖q‖² = 1, whatever θ and q are.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "analysis/eigenvalues.h"
#include "analysis/loss_surface.h"

namespace lamina::analysis {

struct TraceOptions {
  double relative_error = 0.05;  // done when the standard error is this part of the mean
  int least_probes = 20, most_probes = 100;
  int at_once = 4;  // probes that share a backward pass, and memory
  std::uint64_t seed = 0;
  std::vector<double> values = {};   // known eigenvalues
  std::vector<Tensor> vectors = {};  // and their vectors, of length 1
  std::function<void(int probes, double mean, double standard_error)> progress = {};
};

struct Estimate {
  double mean = 0, standard_error = 0;
};

struct TraceResult {
  Estimate trace;
  std::vector<Estimate> ranges;  // of each
  double frobenius = 0;          // ‖H‖_F
  int probes = 0;
};

// `ranges`: all of the operator's parameters in turn, such as layers. Throws UsageError for options out of
// range.
TraceResult estimate_trace(const Operator& h, const std::vector<ParameterRange>& ranges, DType dtype,
                           const TraceOptions& options = {});

}  // namespace lamina::analysis
