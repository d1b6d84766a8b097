// What a study shows on the terminal.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "apps/progress.h"
#include "apps/study_progress.h"
#include "apps/training_screen.h"
#include "compare/study_run.h"

namespace lamina::app {

class StudyScreen final : public compare::StudyObserver {
 public:
  explicit StudyScreen(ProgressMode mode) : progress_(mode) {}

  void start(const std::vector<double>& images, std::size_t done) override;
  Observer* start_run(const compare::Cell& cell) override;
  void evaluating(const std::string& what) override;
  void evaluated(const std::string& label, const compare::Cell& cell, const std::string& result) override;
  void end_run(const compare::Cell& cell, const std::string& result) override;

 private:
  Progress progress_;
  std::optional<StudyProgress> study_;
  std::optional<TrainingScreen> run_;
};

}  // namespace lamina::app
