// How far a study is: runs done, and the time that the others will take.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "apps/progress.h"

namespace lamina::app {

class StudyProgress final : public ProgressHeading {
 public:
  // `images`: what each of the runs still to be done will train on, epochs counted; `done`: runs that are.
  StudyProgress(std::vector<double> images, std::size_t done);

  void start_run(std::string label);  // the next one
  void finish_run();

  void update(const ProgressState& state) override;
  std::string text() const override;  // "[3/18] ETA 1:02:03  LARS, seed 2"
  std::string number() const;         // "[3/18]"
  // Every image is taken to cost what those of this session did on average, which took `elapsed` seconds.
  // Nothing before the first; 0 once all are done, though something may still be evaluated.
  std::optional<double> seconds_left(double elapsed) const;

 private:
  using Clock = std::chrono::steady_clock;

  std::vector<double> images_;
  std::size_t done_before_, current_ = 0;
  std::string label_;
  double images_done_ = 0;                  // in this session, by finished runs
  double share_done_ = 0, share_left_ = 1;  // of the current run: done in this session, and still to be
  Clock::time_point start_ = Clock::now();
};

}  // namespace lamina::app
