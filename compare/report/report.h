// The report on one or many runs: a single HTML page that needs nothing else, and beside it, for papers,
// every figure's data, gnuplot script and picture. docs/report.md describes both.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace lamina::compare {

struct RunResult;  // compare/comparison.h
struct Group;

struct ReportOptions {
  std::string title = "Comparison of training runs";
  std::string introduction = {};  // plain text above the tables; an empty line parts paragraphs
  bool all_layers = false;        // maps: biases and normalisation layers too, not only weights
};

// Writes `output` and the folder of its files, "report-files" for "report.html". Both are built aside and
// renamed: whatever fails, an earlier report stays whole. Throws Error if there are no runs, gnuplot is
// missing or fails, or something cannot be written. A run that occurs twice counts once.
void write_report(const std::vector<RunResult>& runs, const std::filesystem::path& output,
                  const ReportOptions& options = {});

// With rows below the others' of what runs started from: groups without epochs, but with accuracies.
void write_report(const std::vector<RunResult>& runs, const std::vector<Group>& baselines,
                  const std::filesystem::path& output, const ReportOptions& options);

// The same on run directories: report_on({"runs/mine"}, "report.html").
void report_on(const std::vector<std::filesystem::path>& runs, const std::filesystem::path& output,
               const ReportOptions& options = {});

}  // namespace lamina::compare
