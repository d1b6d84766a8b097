// What runs measured of the curvature of their loss while they were trained: curvature.csv, a row for each
// measurement, and curvature.safetensors, which says how (docs/files.md).
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace lamina::compare {

// "batch norm by running statistics, 128 samples": what stands beside every number, since other modes and
// other samples give other numbers. `mode` is eval or train.
std::string describe_curvature(const std::string& mode, std::optional<std::int64_t> samples);

// The same of a run, by its curvature.safetensors; where that is missing or damaged it says that it is
// unknown. Throws ReadError for a file that cannot be read.
std::string curvature_of_run(const std::filesystem::path& run);

// NaN where it is not known.
struct CurvatureRow {
  double epoch = 0, lambda_1 = 0, lambda_min = 0, trace = 0, frobenius = 0;
  double lr = 0;  // of the last step before
};

// Throws Error for a file that is missing or damaged.
std::vector<CurvatureRow> read_curvature(const std::filesystem::path& run);

}  // namespace lamina::compare
