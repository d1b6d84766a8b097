#include "core/base/directory_entries.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/base/printable.h"

namespace lamina {

std::vector<std::filesystem::path> entries_of(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> entries;
  try {
    for (const auto& entry : std::filesystem::directory_iterator(folder)) entries.push_back(entry.path());
  } catch (const std::filesystem::filesystem_error& error) {
    fail("{}: cannot be listed: {}", printable(folder.native()), error.code().message());
  }
  std::sort(entries.begin(), entries.end());
  return entries;
}

}  // namespace lamina
