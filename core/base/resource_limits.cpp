#include "core/base/resource_limits.h"

#include <fmt/format.h>
#include <sched.h>
#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <memory>
#include <thread>

#include "core/base/available_memory.h"
#include "core/base/control_groups.h"
#include "core/base/option_name.h"

namespace lamina {
namespace fs = std::filesystem;
namespace {

int machine_cores() { return std::max(1, static_cast<int>(std::thread::hardware_concurrency())); }

// The set has as many bits as the kernel knows cores, which may be more than cpu_set_t has.
int allowed_cores() {
  for (std::size_t cores = 1024; cores <= (std::size_t{1} << 20); cores *= 4) {
    const std::unique_ptr<cpu_set_t, void (*)(cpu_set_t*)> set(CPU_ALLOC(cores),
                                                               [](cpu_set_t* s) { CPU_FREE(s); });
    const std::size_t bytes = CPU_ALLOC_SIZE(cores);
    CPU_ZERO_S(bytes, set.get());
    if (sched_getaffinity(0, bytes, set.get()) == 0) return std::max(1, CPU_COUNT_S(bytes, set.get()));
  }
  return machine_cores();
}

constexpr double all_cores = std::numeric_limits<double>::infinity();

// Cores that one group allows: "150000 100000" in cpu.max, microseconds of each period; "max 100000" is all.
double quota_in(const ControlGroup& group) {
  double quota = 0, period = 0;
  const bool known = group.version == 2
                         ? static_cast<bool>(std::ifstream(group.folder / "cpu.max") >> quota >> period)
                         : std::ifstream(group.folder / "cpu.cfs_quota_us") >> quota &&
                               std::ifstream(group.folder / "cpu.cfs_period_us") >> period;
  return known && quota > 0 && period > 0 ? quota / period : all_cores;  // -1 is all, too
}

double group_quota(const fs::path& root) {
  double least = all_cores;
  for (const ControlGroup& group : control_groups(root, "cpu")) least = std::min(least, quota_in(group));
  return least;
}

// "ulimit -u allows 100 processes and threads"; empty: no limit.
std::string limit_text(decltype(RLIMIT_AS) resource, const char* format, double unit) {
  rlimit limit{};
  if (getrlimit(resource, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return "";
  return fmt::format(fmt::runtime(format), static_cast<double>(limit.rlim_cur) / unit);
}

std::string address_space_limit() {
  return limit_text(RLIMIT_AS, "ulimit -v allows {:.0f} KiB of addresses", 1024);
}

std::string in_force(const std::string& a, const std::string& b) {
  return a.empty() && b.empty() ? "" : fmt::format(" ({}{}{})", a, a.empty() || b.empty() ? "" : "; ", b);
}

}  // namespace

int UsableCores::count() const {
  const int cores = std::min(machine, allowed);
  return std::max(1, quota > 0 ? std::min(cores, quota) : cores);
}

std::string UsableCores::why() const {
  if (count() >= machine) return "";
  return quota > 0 && quota < allowed
             ? fmt::format("its control group allows {} of {} cores", quota, machine)
             : fmt::format("the process may run on {} of {} cores", allowed, machine);
}

UsableCores usable_cores(const fs::path& root) {
  const double quota = group_quota(root);
  return {.machine = machine_cores(),
          .allowed = allowed_cores(),
          .quota = quota < 1e6 ? std::max(1, static_cast<int>(std::ceil(quota))) : 0};
}

std::string thread_advice() {
  std::string fewer;
  for (const auto& [name, least] : {std::pair("threads", 1), std::pair("workers", 0)})
    if (has_option(name))
      fewer += fmt::format("{} {} {}", fewer.empty() ? ", or use fewer:" : ",", option_name(name), least);
  return fmt::format(
      "the system starts no more threads{}: raise the limit of addresses (ulimit -v), of processes "
      "(ulimit -u) or of a control group (pids.max){}",
      in_force(address_space_limit(),
               limit_text(RLIMIT_NPROC, "ulimit -u allows {:.0f} processes and threads", 1)),
      fewer);
}

std::string out_of_memory_advice() {
  std::string smaller;
  for (const char* name : {"micro_batch", "batch"})
    if (has_option(name)) smaller += (smaller.empty() ? "use a smaller " : " or ") + option_name(name) + ", ";
  if (has_option("workers")) smaller += fmt::format("use fewer {}, ", option_name("workers"));
  return fmt::format("out of memory: the system gives no more; {}. To go on, {}raise the limit",
                     describe_available_memory(), smaller.empty() ? "" : smaller + "or ");
}

}  // namespace lamina
