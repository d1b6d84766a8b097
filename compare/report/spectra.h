// A report's part on the spectra of Hessians: what sharpness.json of runs tells.
#pragma once

#include <string>
#include <vector>

#include "compare/comparison.h"
#include "compare/report/curves.h"
#include "compare/report/folder.h"
#include "compare/sharpness_file.h"

namespace lamina::compare {

struct RunSpectrum {
  std::size_t contender = 0;
  const RunResult* run = nullptr;
  SharpnessFile found;
};

struct Spectra {
  std::vector<RunSpectrum> runs;      // in the order of the page
  std::vector<std::string> problems;  // of damaged files
  std::vector<CurveFigure> density;   // one figure, or none
};

// Reads the files; writes the figure of those with a density, of each contender's first complete run with a
// file. The runs of `groups` must outlive the result.
Spectra write_spectra(const std::vector<Group>& groups, const ReportFolder& folder);

// When it is drawn: figure and table; empty if no run has such a file.
std::string spectra_html(const Spectra& spectra, const std::vector<Group>& groups,
                         const ReportFolder& folder);

}  // namespace lamina::compare
