#include "core/base/control_groups.h"

#include <fmt/format.h>

#include <fstream>
#include <string>

namespace lamina {
namespace fs = std::filesystem;
namespace {

// A group and all above it. A container sees its own group as the mount's root, whatever its path says.
void add_up_from(const fs::path& mount, const std::string& path, int version,
                 std::vector<ControlGroup>& groups) {
  fs::path folder = mount;
  groups.push_back({folder, version});
  for (const fs::path& name : fs::path(path).relative_path()) groups.push_back({folder /= name, version});
}

}  // namespace

// Lines "0::/path" of version 2, "7:cpu,cpuacct:/path" of version 1, which is mounted under either name.
std::vector<ControlGroup> control_groups(const fs::path& root, std::string_view controller) {
  const fs::path mount = root / "sys/fs/cgroup";
  std::ifstream lines(root / "proc/self/cgroup");
  std::vector<ControlGroup> groups;
  for (std::string line; std::getline(lines, line);) {
    const std::size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string path = line.substr(second + 1);
    if (controllers.empty()) add_up_from(mount, path, 2, groups);
    if (fmt::format(",{},", controllers).find(fmt::format(",{},", controller)) == std::string::npos) continue;
    add_up_from(mount / controller, path, 1, groups);
    if (controllers != controller) add_up_from(mount / controllers, path, 1, groups);
  }
  return groups;
}

}  // namespace lamina
