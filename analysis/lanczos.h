// Lanczos with full re-orthogonalisation: the products of a symmetric H with m vectors make a tridiagonal T
// whose eigenvalues, the Ritz values, come near those of H, first at both ends of its spectrum (Golub & Van
// Loan: "Matrix Computations", §10.1–10.3). Without re-orthogonalisation copies of found values appear.
//
//   Lanczos lanczos(Tensor::randn({surface.size()}));
//   while (lanczos.steps() < 20 && !lanczos.complete()) lanczos.advance(surface.product(lanczos.vector()));
//   const double largest = lanczos.ritz().values.back();
#pragma once

#include <vector>

#include "analysis/tridiagonal.h"
#include "core/tensor.h"

namespace lamina::analysis {

struct RitzPairs {
  std::vector<double> values;     // θ, ascending
  std::vector<double> residuals;  // ‖Hy − θy‖ = |β_m s_mi|, as far as the arithmetic is exact
  std::vector<double> weights;    // s_1i², of the start in each y: they add up to 1
  std::vector<std::vector<double>> coefficients;  // s_i: y = Σ_j s_ji q_j
};

class Lanczos {
 public:
  // `start` [n], f32 or f64 on the CPU, of any length but 0; Error otherwise.
  explicit Lanczos(const Tensor& start);

  const Tensor& vector() const { return basis_.back(); }  // q_j, of length 1: the one whose Hq comes next
  // Throws Error once the space is complete.
  void advance(const Tensor& product);

  int steps() const { return static_cast<int>(matrix_.diagonal.size()); }
  // H leaves the span of the basis where it is, so that the Ritz values are eigenvalues and no step is left.
  bool complete() const { return complete_; }

  RitzPairs ritz() const;                                               // after one step or more
  Tensor ritz_vector(const RitzPairs& pairs, std::size_t index) const;  // y, of length 1

 private:
  std::vector<Tensor> basis_;  // q_1 … q_{m+1}
  Tridiagonal matrix_;         // β_m is left out of it
  double last_beta_ = 0;       // β_m
  bool complete_ = false;
};

}  // namespace lamina::analysis
