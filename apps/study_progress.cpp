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
  first_step_ = -1;
  share_done_ = 0;
}

void StudyProgress::finish_run() {
  images_done_ += share_done_ * images_[current_];
  ++current_;
}

std::string StudyProgress::number() const {
  return fmt::format("[{}/{}]", done_before_ + current_ + 1, done_before_ + images_.size());
}

std::string StudyProgress::heading(const ProgressState& state) {
  if (state.steps == 0) return fmt::format("{} {}", number(), label_);
  if (first_step_ < 0) first_step_ = std::max<std::int64_t>(0, state.step - 1);
  const auto steps = static_cast<double>(state.steps);
  share_done_ = static_cast<double>(state.step - first_step_) / steps;
  const auto next = images_.begin() + static_cast<std::ptrdiff_t>(current_) + 1;
  const double left = std::accumulate(next, images_.end(), 0.0) +
                      images_[current_] * (1 - static_cast<double>(state.step) / steps);
  const double seconds = std::chrono::duration<double>(Clock::now() - start_).count();
  const double done = images_done_ + share_done_ * images_[current_];
  const std::string eta = done > 0 ? format_duration(left * seconds / done) : "?";
  return fmt::format("{} ETA {}  {}", number(), eta, label_);
}

}  // namespace lamina::app
