#include "apps/study_screen.h"

#include <fmt/format.h>

namespace lamina::app {
namespace {

std::string title_of(const std::string& label, const compare::Cell& cell) {
  return fmt::format("{}, seed {}", label, cell.recipe.seed);
}

}  // namespace

void StudyScreen::start(const std::vector<double>& images, std::size_t done) { study_.emplace(images, done); }

Observer* StudyScreen::start_run(const compare::Cell& cell) {
  study_->start_run(title_of(cell.label, cell));
  progress_.set_heading(*study_);
  return &run_.emplace(progress_, cell.recipe.eval_every, title_of(cell.label, cell));
}

void StudyScreen::evaluating(const std::string& what) { progress_.status("evaluating: " + what); }

void StudyScreen::evaluated(const std::string& label, const compare::Cell& cell, const std::string& result) {
  progress_.print(fmt::format("{}: {}", title_of(label, cell), result));
}

void StudyScreen::end_run(const compare::Cell& cell, const std::string& result) {
  progress_.print(fmt::format("{} {}: {}", study_->number(), title_of(cell.label, cell), result));
  study_->finish_run();
}

}  // namespace lamina::app
