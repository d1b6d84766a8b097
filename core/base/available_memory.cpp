#include "core/base/available_memory.h"

#include <fmt/core.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <initializer_list>
#include <limits>
#include <optional>
#include <sstream>
#include <string>

#include "core/base/control_groups.h"
#include "core/base/table.h"

namespace lamina {
namespace fs = std::filesystem;
namespace {

// Nothing if there is no such file or it holds no number: "max" is no limit.
std::optional<std::size_t> read_number(const fs::path& file) {
  std::ifstream stream(file);
  std::size_t number = 0;
  return stream >> number ? std::optional(number) : std::nullopt;
}

// The number behind a name: "MemAvailable:   12345 kB", "inactive_file 12345".
std::size_t read_entry(const fs::path& file, const std::string& wanted) {
  std::ifstream stream(file);
  std::size_t number = 0;
  for (std::string line, name; std::getline(stream, line);)
    if (std::istringstream(line) >> name >> number && name == wanted) return number;
  return 0;
}

// What one group's files are called.
struct GroupFiles {
  const char *limit, *used, *reclaimable;  // the last: an entry of memory.stat
};
constexpr GroupFiles version_1{"memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"};
constexpr GroupFiles version_2{"memory.max", "memory.current", "inactive_file"};

constexpr std::size_t unlimited = std::numeric_limits<std::size_t>::max();

// The files that the group has read count as used, though they go when memory is wanted.
std::size_t left_in(const fs::path& group, const GroupFiles& files) {
  const auto limit = read_number(group / files.limit), used = read_number(group / files.used);
  if (!limit || !used) return unlimited;
  const std::size_t reclaimable = read_entry(group / "memory.stat", files.reclaimable);
  const std::size_t kept = *used - std::min(*used, reclaimable);
  return *limit - std::min(*limit, kept);
}

std::size_t left_in_groups(const fs::path& root) {
  std::size_t left = unlimited;
  for (const ControlGroup& group : control_groups(root, "memory"))
    left = std::min(left, left_in(group.folder, group.version == 2 ? version_2 : version_1));
  return left;
}

// The limits that a shell's ulimit sets, of what this process may hold.
struct ProcessLimit {
  int resource;
  const char* shown;
  std::initializer_list<const char*> used;  // entries of proc/self/status
};

// Of addresses, what holds data: tensors reserve more than they use, and may still use it.
const ProcessLimit process_limits[] = {
    {RLIMIT_DATA, "ulimit -d", {"VmData:"}},
    {RLIMIT_AS, "ulimit -v", {"VmData:", "VmStk:", "VmExe:", "VmLib:"}},
};

std::size_t limit_of(const ProcessLimit& limit) {
  rlimit value{};
  const bool limited = getrlimit(limit.resource, &value) == 0 && value.rlim_cur != RLIM_INFINITY;
  return limited ? static_cast<std::size_t>(value.rlim_cur) : unlimited;
}

std::size_t left_in_process_limits(const fs::path& root) {
  std::size_t left = unlimited;
  for (const ProcessLimit& limit : process_limits) {
    const std::size_t most = limit_of(limit);
    if (most == unlimited) continue;
    std::size_t used = 0;
    for (const char* entry : limit.used) used += 1024 * read_entry(root / "proc/self/status", entry);
    left = std::min(left, most - std::min(most, used));
  }
  return left;
}

}  // namespace

std::size_t physical_memory() {
  return static_cast<std::size_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

std::size_t peak_resident_memory() {
  const std::size_t kibibytes = read_entry("/proc/self/status", "VmHWM:");
  if (kibibytes > 0) return 1024 * kibibytes;
  rusage usage{};  // its maximum starts at that of the program that started this one
  getrusage(RUSAGE_SELF, &usage);
  return 1024 * static_cast<std::size_t>(usage.ru_maxrss);
}

std::size_t available_memory(const fs::path& root) {
  const fs::path meminfo = root / "proc/meminfo";
  const std::size_t available =
      1024 * (read_entry(meminfo, "MemAvailable:") + read_entry(meminfo, "SwapFree:"));
  return std::min(
      {available > 0 ? available : physical_memory(), left_in_groups(root), left_in_process_limits(root)});
}

std::string describe_available_memory() {
  std::string text =
      fmt::format("{} of memory are available", format_bytes(static_cast<double>(available_memory())));
  if (left_in_groups("/") != unlimited) text += ", in a control group with a limit";
  for (const ProcessLimit& limit : process_limits)
    if (const std::size_t most = limit_of(limit); most != unlimited)
      text += fmt::format(", {} allows {}", limit.shown, format_bytes(static_cast<double>(most)));
  return text;
}

}  // namespace lamina
