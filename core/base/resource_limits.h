// What a process may use: the limits of `ulimit`, of control groups and of CPU affinity.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>

namespace lamina {

struct UsableCores {
  int machine = 1;  // cores that are switched on
  int allowed = 1;  // of these, those that the process may run on (taskset, cpusets, Slurm)
  int quota = 0;    // cores' worth of time that its control groups allow, rounded up; 0: no limit

  int count() const;        // threads that have a core each: at least 1
  std::string why() const;  // what leaves fewer than the machine has; empty: nothing does
};

// `root` is where /proc and /sys are found; tests have others.
UsableCores usable_cores(const std::filesystem::path& root = "/");

// Why the system may have refused a thread, or memory, and what to do: the limits that are in force.
std::string thread_advice();
std::string out_of_memory_advice();

}  // namespace lamina
