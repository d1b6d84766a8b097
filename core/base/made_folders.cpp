#include "core/base/made_folders.h"

#include <unistd.h>

#include <system_error>

#include "core/base/error.h"
#include "core/base/file_kind.h"

namespace lamina {

namespace fs = std::filesystem;

MadeFolders::MadeFolders(const fs::path& path) {
  std::error_code error;
  std::vector<fs::path> missing;
  for (fs::path folder = path; !folder.empty() && !is_there(folder); folder = folder.parent_path())
    missing.push_back(folder);
  for (auto folder = missing.rbegin(); folder != missing.rend(); ++folder) {
    const bool is_new = fs::create_directory(*folder, error);
    if (error) {
      remove_empty();  // no destructor runs
      fail("{}: cannot be made: {}", path.string(), error.message());
    }
    if (is_new) made_.push_back(*folder);
  }
}

void MadeFolders::remove_empty() {
  for (; !made_.empty(); made_.pop_back()) ::rmdir(made_.back().c_str());
}

}  // namespace lamina
