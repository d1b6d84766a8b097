// Whether the other ranks of this machine are alive. One that is killed, or for which there was no memory,
// says nothing; the others would wait for it, where the launcher does not end them.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <functional>
#include <thread>
#include <vector>

namespace lamina {

class RankWatch {
 public:
  struct Process {
    int rank;
    pid_t id;
  };

  // `told`, in memory that the ranks of this machine share, is not 0 once one of them has said why all end.
  // If a process ends before that, one of the others says so on standard error and calls `end_all`; within
  // seconds each of them ends, with status 1. Where the system has no pidfd_open(), nothing is watched.
  RankWatch(const std::vector<Process>& others, std::atomic<int>& told, std::function<void()> end_all);
  ~RankWatch();  // before any of the processes ends as it should
  RankWatch(const RankWatch&) = delete;
  RankWatch& operator=(const RankWatch&) = delete;

 private:
  struct Watched {
    Process process;
    int descriptor;
  };
  void watch();
  [[noreturn]] void end(const Process& dead);

  std::vector<Watched> watched_;
  std::atomic<int>& told_;
  std::function<void()> end_all_;
  int stop_ = -1;  // an eventfd
  std::thread thread_;
};

}  // namespace lamina
