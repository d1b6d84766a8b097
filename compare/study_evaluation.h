// What a study measures of its finished runs: the evaluations under [evaluate] of its file, on the features
// of their final weights.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "compare/study_baseline.h"
#include "compare/study_data.h"
#include "compare/study_run.h"
#include "train/frozen_evaluation.h"

namespace lamina::compare {

class StudyEvaluation {
 public:
  // All must outlive it.
  StudyEvaluation(const Study& study, const std::vector<Cell>& cells, const StudyDirectory& directory,
                  DataSets& data, StudyObserver& observer);

  // Measures what is not there yet, or was with other settings or weights: "kNN 44.20 %, linear 46.91 %", or
  // nothing if all is there, or the run has no final weights. No value: a signal has stopped it; what was
  // measured is kept. Throws Error naming the run if one cannot be measured.
  std::optional<std::string> measure_run(const Cell& cell);
  std::optional<std::string> measure_baseline(const Baseline& baseline);

  const std::vector<Baseline>& baselines() const { return baselines_; }  // none where they are not wanted

 private:
  std::vector<train::FrozenEvaluation> missing_in(const std::filesystem::path& folder,
                                                  const nlohmann::json& identity) const;
  std::optional<std::string> measure(const std::vector<train::FrozenEvaluation>& missing,
                                     train::FeatureSource source, const Cell& cell,
                                     const std::filesystem::path& folder, const nlohmann::json& identity);

  const Study& study_;
  const StudyDirectory& directory_;
  DataSets& data_;
  StudyObserver& observer_;
  std::vector<Baseline> baselines_;
};

// Throws UsageError naming the cell if its data cannot be evaluated on.
void check_measurable(const Study& study, const Cell& cell, const data::Dataset& data);

}  // namespace lamina::compare
