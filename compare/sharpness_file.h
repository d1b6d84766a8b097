// sharpness.json of a run: what `lamina sharpness RUN --out RUN/sharpness.json` found where the run stands.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace lamina::compare {

// What the file does not tell is empty, numbers are NaN.
struct SharpnessFile {
  std::string way;    // how it was measured (describe_curvature())
  std::string split;  // train or test
  std::optional<std::int64_t> epoch, parameters;
  bool converged = true;                       // the residuals are as small as was asked for
  std::vector<double> eigenvalues, residuals;  // the largest ones, as many of both
  double smallest = 0, smallest_residual = 0;
  double trace = 0, trace_error = 0, frobenius = 0;
  std::vector<std::pair<double, double>> density;  // nodes of stochastic Lanczos quadrature: value, weight
};

// Throws ReadError for a file that cannot be read, Error for one that is damaged.
SharpnessFile read_sharpness(const std::filesystem::path& path);

}  // namespace lamina::compare
