// How far a study is: runs done, and the time that the others will take.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "apps/progress.h"

namespace lamina::app {

class StudyProgress {
 public:
  // `images`: what each of the runs still to be done will train on, epochs counted; `done`: runs that are.
  StudyProgress(std::vector<double> images, std::size_t done);

  void start_run(std::string label);  // the next one
  void finish_run();

  // "[3/18] ETA 1:02:03  LARS, seed 2". Every image is taken to cost what those of this session did on
  // average.
  std::string heading(const ProgressState& state);
  std::string number() const;  // "[3/18]"

 private:
  using Clock = std::chrono::steady_clock;

  std::vector<double> images_;
  std::size_t done_before_, current_ = 0;
  std::string label_;
  double images_done_ = 0;        // in this session, by finished runs
  std::int64_t first_step_ = -1;  // of the current run in this session
  double share_done_ = 0;         // of the current run in this session
  Clock::time_point start_ = Clock::now();
};

}  // namespace lamina::app
