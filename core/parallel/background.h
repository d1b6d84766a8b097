// Jobs that run one after another on a thread of their own, beside what the others compute.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>

namespace lamina {

class Background {
 public:
  Background() = default;
  ~Background();  // waits for the jobs it was given
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;

  void start(std::function<void()> job);
  // Returns when all jobs have ended. Throws what one of them threw; those after it were not run.
  void wait();
  // Whether a thread waits, so that a job need not leave it the core.
  bool is_waited_for() const { return waiting_.load(std::memory_order_relaxed); }

 private:
  void run_jobs();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> jobs_;  // the first of them is running
  std::exception_ptr failure_;
  bool ends_ = false;
  std::atomic<bool> waiting_{false};
  std::thread thread_;  // from the first job on
};

}  // namespace lamina
