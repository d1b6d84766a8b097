// Means, variances and products of two sets of features over samples that come in parts.
#pragma once

#include <cstdint>

#include "core/tensor.h"

namespace lamina::train {

// Parts are merged by the formulas of Chan, Golub & LeVeque ("Updating Formulae and a Pairwise Algorithm for
// Computing Sample Variances", 1979, eq. 2.1), which stay exact where means are large beside deviations. A
// single part keeps its dtype; several are added up in f64 (on a GPU in f32, which is all it has).
struct CoMoments {
  std::int64_t count = 0;
  Tensor mean_x, mean_y;        // [1, D]
  Tensor squares_x, squares_y;  // Σ (x − mean_x)², [1, D]
  Tensor products;              // Σ (x − mean_x)ᵀ (y − mean_y), [D, D]

  void add(const Tensor& x, const Tensor& y);  // [n, D] each; without a history
};

// Of square matrices.
Tensor diagonal(const Tensor& matrix);         // [D, D] -> [D]
Tensor diagonal_matrix(const Tensor& values);  // [D] -> [D, D]
Tensor off_diagonal(const Tensor& matrix);     // with zeros on the diagonal

}  // namespace lamina::train
