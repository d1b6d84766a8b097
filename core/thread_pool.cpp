#include "core/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "core/base/resource_limits.h"

namespace lamina {
namespace {

thread_local bool inside = false;  // work() is running on this thread

// Waking up takes as long as a small kernel runs. After so long most pauses between kernels are over; waiting
// longer gained nothing and would take the time of others.
constexpr std::chrono::microseconds awake{30};

class Worker {
 public:
  Worker() : thread_([this] { serve(); }) { thread_.detach(); }  // until the program ends
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  void offer(const std::function<void()>& work) {
    work_ = &work;
    become(State::offered);
  }

  // Takes the work back, or waits until it is done.
  void finish() {
    State expected = State::offered;
    if (state_.compare_exchange_strong(expected, State::idle, std::memory_order_acq_rel)) return;
    wait_while(State::running);
  }

 private:
  enum class State { idle, offered, running };

  // Sequentially consistent: notify_all() of libstdc++ first looks whether anybody waits, and a weaker store
  // may become visible only after that look, to a thread that fell asleep in between and is never woken.
  void become(State state) {
    state_.store(state, std::memory_order_seq_cst);
    state_.notify_all();
  }

  // Until the state is no longer `old`: awake for a moment, letting others go first, then asleep.
  void wait_while(State old) {
    const auto until = std::chrono::steady_clock::now() + awake;
    while (std::chrono::steady_clock::now() < until) {
      if (state_.load(std::memory_order_acquire) != old) return;
      std::this_thread::yield();
    }
    state_.wait(old, std::memory_order_acquire);
  }

  void serve() {
    inside = true;
    for (;;) {
      wait_while(State::idle);
      State expected = State::offered;
      if (!state_.compare_exchange_strong(expected, State::running, std::memory_order_acq_rel)) continue;
      (*work_)();
      become(State::idle);
    }
  }

  std::atomic<State> state_{State::idle};
  const std::function<void()>* work_ = nullptr;
  std::thread thread_;
};

class ThreadPool {
 public:
  void run(int threads, const std::function<void()>& work) {
    if (inside || !mutex_.try_lock()) return work();
    const std::lock_guard lock(mutex_, std::adopt_lock);
    const std::size_t helpers = grow(static_cast<std::size_t>(threads - 1));
    for (std::size_t i = 0; i < helpers; ++i) workers_[i]->offer(work);
    inside = true;
    work();
    inside = false;
    for (std::size_t i = 0; i < helpers; ++i) workers_[i]->finish();
  }

 private:
  // How many of `wanted` workers there are; fewer where the system starts no more threads.
  std::size_t grow(std::size_t wanted) {
    try {
      workers_.reserve(wanted);  // a worker that found no place would be destroyed under its running thread
      while (workers_.size() < wanted) workers_.push_back(std::make_unique<Worker>());
    } catch (const std::system_error&) {
      say_fewer(wanted);
    } catch (const std::bad_alloc&) {
      say_fewer(wanted);
    }
    return std::min(wanted, workers_.size());
  }

  // Once: it is slower, and the results are the same.
  void say_fewer(std::size_t wanted) {
    if (std::exchange(said_, true)) return;
    const std::string advice = thread_advice();
    std::fprintf(stderr, "lamina: computing with %zu instead of %zu threads: %s\n", workers_.size() + 1,
                 wanted + 1, advice.c_str());
  }

  std::mutex mutex_;
  bool said_ = false;
  std::vector<std::unique_ptr<Worker>> workers_;
};

ThreadPool& pool() {
  // Never destroyed: its threads run until the program ends.
  alignas(ThreadPool) static std::byte memory[sizeof(ThreadPool)];
  static ThreadPool& made = *std::construct_at(reinterpret_cast<ThreadPool*>(memory));
  return made;
}

}  // namespace

void run_on_threads(int threads, const std::function<void()>& work) {
  if (threads <= 1) return work();
  pool().run(threads, work);
}

}  // namespace lamina
