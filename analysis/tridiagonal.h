// Small symmetric matrices: tridiagonal ones, which Lanczos makes of large ones, and dense ones.
#pragma once

#include <vector>

namespace lamina::analysis {

struct Tridiagonal {
  std::vector<double> diagonal;      // α₁ … α_m
  std::vector<double> off_diagonal;  // β₁ … β_{m−1}
};

struct SymmetricEigen {
  std::vector<double> values;                // ascending
  std::vector<std::vector<double>> vectors;  // of each value, of length 1
};

// Throws Error unless there is one off-diagonal element less than diagonal ones, all finite.
SymmetricEigen eigen(const Tridiagonal& matrix);
// Of a dense one, row after row. Throws Error unless it is square and finite.
SymmetricEigen eigen(const std::vector<double>& matrix);

}  // namespace lamina::analysis
