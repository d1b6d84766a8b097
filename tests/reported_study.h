// A small study to be reported: runs as lamina train leaves them.
#pragma once

#include <algorithm>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "catch.h"
#include "compare/comparison.h"
#include "compare/report/report.h"
#include "core/files/safetensors.h"
#include "made_up_runs.h"

namespace lamina::tests {

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

struct TraceOptions {
  std::int64_t steps = 4;
  std::vector<std::string> layers = {"conv1.weight", "bn1.weight", "fc.weight"};
  std::vector<std::string> kinds = {"weight", "norm", "weight"};
  double scale = 1;
  bool adapts = true;  // else the trust ratios are 1
};

// Quantity q of layer l at step t (from 0) is scale · (q + 1) · (l + 1) · (t + 1).
inline void write_trace(const fs::path& run, const TraceOptions& o = {}) {
  TensorFile file;
  file.metadata["layers"] = nlohmann::json(o.layers).dump();
  if (!o.kinds.empty()) file.metadata["kinds"] = nlohmann::json(o.kinds).dump();
  std::vector<std::int32_t> steps;
  for (std::int64_t t = 0; t < o.steps; ++t) steps.push_back(static_cast<std::int32_t>(t + 1));
  file.tensors.emplace_back("step", Tensor::from(steps, {o.steps}));
  int q = 0;
  for (const char* name : {"weight_norm", "grad_norm", "update_norm", "ratio", "trust"}) {
    ++q;
    std::vector<float> values;
    for (const std::int32_t step : steps) {
      for (std::size_t l = 1; l <= o.layers.size(); ++l) {
        const bool is_one = !o.adapts && name == std::string("trust");
        values.push_back(is_one ? 1.0f : static_cast<float>(o.scale * q * static_cast<double>(l) * step));
      }
    }
    const auto layers = static_cast<std::int64_t>(o.layers.size());
    file.tensors.emplace_back(name, Tensor::from(values, {o.steps, layers}));
  }
  write_tensors(run / "trace.safetensors", file);
}

// Two contenders: LARS with two seeds, TVLARS with one.
struct ReportedStudy {
  TemporaryFolder folder;
  fs::path page = folder / "out.html", files = folder / "out-files";

  ReportedStudy() {
    train::Recipe options = tiny_options();
    options.optimizer = "lars";
    write_run(folder / "runs" / "lars-1", options, {{2.0, 0.50}, {1.0, 0.40}});
    options.seed = 2;
    write_run(folder / "runs" / "lars-2", options, {{2.0, 0.50}, {2.0, 0.60}});
    options.optimizer = "tvlars";
    write_run(folder / "runs" / "tvlars-2", options, {{2.0, 0.25}, {1.5, 0.70}});
  }
  fs::path run(const std::string& name) const { return folder / "runs" / name; }
  std::vector<compare::RunResult> results(const std::string& label = "") const {
    std::vector<compare::RunResult> runs;
    for (const char* name : {"lars-1", "lars-2", "tvlars-2"}) {
      const bool last = std::string(name) == "tvlars-2";
      runs.push_back(compare::read_run_result(run(name), last ? label : ""));
    }
    return runs;
  }
  std::string report(const std::string& label = "", const compare::ReportOptions& options = {}) const {
    compare::write_report(results(label), page, options);
    return read_file(page);
  }
  Outcome command(const Arguments& more = {}) const {
    return tests::run(Arguments{"report", (folder / "runs").string(), "-o", page.string()} + more);
  }
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder.path())) names.push_back(entry.path().filename());
    std::sort(names.begin(), names.end());
    return names;
  }
};

// Rows of a map's CSV: layer → its cells as text.
inline std::map<std::string, std::vector<std::string>> read_map(const fs::path& path) {
  std::map<std::string, std::vector<std::string>> rows;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    std::vector<std::string> cells(1);
    for (const char c : line) {
      if (c == ',') cells.emplace_back();
      if (c != ',' && c != '"') cells.back() += c;
    }
    rows[cells.front()] = {cells.begin() + 1, cells.end()};
  }
  return rows;
}

}  // namespace lamina::tests
