#include "apps/study_progress.h"

#include <algorithm>
#include <numeric>

#include "core/base/error.h"
#include "core/base/table.h"

namespace lamina::app {

StudyProgress::StudyProgress(std::vector<double> images, std::size_t done)
    : images_(std::move(images)), done_before_(done) {}

void StudyProgress::start_run(std::string label) {
  label_ = std::move(label);
  share_done_ = 0;
  share_left_ = 1;
}

void StudyProgress::finish_run() {
  images_done_ += share_done_ * images_[current_];
  ++current_;
  label_.clear();
  share_done_ = 0;
  share_left_ = 1;
}

void StudyProgress::update(const ProgressState& state) {
  if (state.steps == 0) return;
  const auto steps = static_cast<double>(state.steps);
  share_done_ = static_cast<double>(state.step - state.first_step) / steps;
  share_left_ = 1 - static_cast<double>(state.step) / steps;
}

std::string StudyProgress::number() const {
  return fmt::format("[{}/{}]", done_before_ + std::min(current_ + 1, images_.size()),
                     done_before_ + images_.size());
}

std::optional<double> StudyProgress::seconds_left(double elapsed) const {
  if (current_ == images_.size()) return 0;
  const double done = images_done_ + share_done_ * images_[current_];
  if (!(done > 0)) return {};
  const auto next = images_.begin() + static_cast<std::ptrdiff_t>(current_) + 1;
  const double left = std::accumulate(next, images_.end(), share_left_ * images_[current_]);
  return left * elapsed / done;
}

std::string StudyProgress::text() const {
  const auto left = seconds_left(std::chrono::duration<double>(Clock::now() - start_).count());
  return fmt::format("{} ETA {}  {}", number(), left ? format_duration(*left) : "?", label_);
}

}  // namespace lamina::app
