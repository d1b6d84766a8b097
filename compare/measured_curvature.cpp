#include "compare/measured_curvature.h"

#include <fmt/format.h>

#include <charconv>
#include <map>

#include "core/base/csv.h"
#include "core/base/error.h"
#include "core/base/file_kind.h"
#include "core/base/table.h"
#include "core/files/safetensors.h"

namespace lamina::compare {
namespace {

namespace fs = std::filesystem;

std::optional<std::int64_t> count_in(const std::string& text) {
  std::int64_t count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  const bool whole = error == std::errc() && end == text.data() + text.size();
  return whole && count > 0 ? std::optional(count) : std::nullopt;
}

std::map<std::string, std::string> metadata_of(const fs::path& path) {
  if (!is_there(path)) return {};
  try {  // what is wrong with the bytes leaves it unknown; a disk that fails is an error
    return read_metadata(path);
  } catch (const ReadError&) {
    throw;
  } catch (const Error&) {
    return {};
  }
}

}  // namespace

std::string describe_curvature(const std::string& mode, std::optional<std::int64_t> samples) {
  const char* batch_norm = mode == "eval"    ? "batch norm by running statistics"
                           : mode == "train" ? "batch norm by each batch’s statistics"
                                             : "batch norm in an unknown mode";
  return fmt::format("{}, {}", batch_norm,
                     samples ? fmt::format("{} sample{}", format_count(*samples), *samples == 1 ? "" : "s")
                             : "an unknown number of samples");
}

std::string curvature_of_run(const fs::path& run) {
  const auto metadata = metadata_of(run / "curvature.safetensors");
  const auto text = [&](const char* key) {
    const auto found = metadata.find(key);
    return found == metadata.end() ? std::string() : found->second;
  };
  return describe_curvature(text("bn"), count_in(text("samples")));
}

std::vector<CurvatureRow> read_curvature(const fs::path& run) {
  std::vector<CurvatureRow> rows;
  for (const auto& row :
       read_csv(run / "curvature.csv", {"epoch", "lambda_1", "lambda_min", "trace", "frobenius", "lr"}))
    rows.push_back({.epoch = row[0],
                    .lambda_1 = row[1],
                    .lambda_min = row[2],
                    .trace = row[3],
                    .frobenius = row[4],
                    .lr = row[5]});
  return rows;
}

}  // namespace lamina::compare
