// The control groups (cgroups) that this process is in: containers and batch systems set limits by them.
#pragma once

#include <filesystem>
#include <string_view>
#include <vector>

namespace lamina {

struct ControlGroup {
  std::filesystem::path folder;  // of its files, which may not exist
  int version;                   // 1 or 2, which name their files differently
};

// Those that a controller, "memory" or "cpu", may limit, and all above them. `root`: where proc and sys are.
std::vector<ControlGroup> control_groups(const std::filesystem::path& root, std::string_view controller);

}  // namespace lamina
