// Symmetric tridiagonal matrices, which Lanczos makes of large ones.
#pragma once

#include <vector>

namespace lamina::analysis {

struct Tridiagonal {
  std::vector<double> diagonal;      // α₁ … α_m
  std::vector<double> off_diagonal;  // β₁ … β_{m−1}
};

struct TridiagonalEigen {
  std::vector<double> values;                // ascending
  std::vector<std::vector<double>> vectors;  // of each value, of length 1
};

// Throws Error unless there is one off-diagonal element less than diagonal ones, all finite.
TridiagonalEigen eigen(const Tridiagonal& matrix);

}  // namespace lamina::analysis
