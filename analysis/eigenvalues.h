// Both ends of a Hessian's spectrum, with residuals: a symmetric matrix has an eigenvalue within ‖Hy − θy‖ of
// θ for every y of length 1. Power iteration finds the eigenvalue of the largest absolute value, which may be
// the smallest one; so the two are never mixed up here.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "analysis/loss_surface.h"
#include "core/tensor.h"

namespace lamina::analysis {

// Hv for each v: vectors [n] on the CPU, in and out.
using Operator = std::function<std::vector<Tensor>(std::span<const Tensor> vectors)>;

// The whole Hessian of a surface, whose products come from `products`, or from itself.
Operator hessian_of(const LossSurface& surface, Products products = {});

// Throws Error unless so many vectors of n elements fit into memory, naming how many would. `advice`: what to
// do then, "Take fewer steps".
void check_basis_fits(const char* operation, std::int64_t n, DType dtype, std::int64_t vectors,
                      const char* advice);

struct EigenOptions {
  int top = 1;              // the largest so many
  double tolerance = 1e-3;  // of the residuals, as a part of the largest |θ|
  int max_steps = 100;      // products, at most; without the last ones, which give the true residuals
  std::uint64_t seed = 0;   // of the first vector
  // The first vector, such as a Ritz vector found a little earlier; undefined: random.
  Tensor start = {};
  bool power = false;  // shifted power iteration instead of Lanczos: slow, but with the memory of 4 vectors;
                       // finds one eigenvalue at either end
  std::function<void(int steps, double largest, double residual)> progress = {};
};

struct EigenResult {
  std::vector<double> values, residuals;  // the largest first; ‖Hy − θy‖ of another product
  std::vector<Tensor> vectors;            // y, of length 1
  double smallest = 0, smallest_residual = 0;
  Tensor smallest_vector;
  int products = 0;        // in all
  bool converged = false;  // all residuals are within the tolerance
};

// Of an operator on vectors of n elements. Throws UsageError for options out of range, and Error if the basis
// of Lanczos, max_steps vectors, does not fit into memory.
EigenResult extreme_eigenvalues(const Operator& h, std::int64_t n, DType dtype, const EigenOptions& options);

}  // namespace lamina::analysis
