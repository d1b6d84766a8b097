#include "core/cuda/library_files.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <functional>

namespace lamina::cuda {
namespace {

namespace fs = std::filesystem;

// What is in a folder, the newest version first; nothing if there is no such folder.
std::vector<fs::path> entries(const fs::path& folder) {
  std::vector<fs::path> found;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error))
    found.push_back(entry->path());
  std::ranges::sort(found, std::greater());
  return found;
}

void add_packages(const fs::path& folder, const std::string& file, std::vector<std::string>& files) {
  std::error_code ignored;
  for (const fs::path& package : entries(folder / "nvidia"))
    if (fs::exists(package / "lib" / file, ignored)) files.push_back((package / "lib" / file).string());
}

// Of the Python that is installed below `prefix`.
void add_python(const fs::path& prefix, const std::string& file, std::vector<std::string>& files) {
  for (const fs::path& python : entries(prefix / "lib")) {
    if (!python.filename().string().starts_with("python3")) continue;
    for (const char* packages : {"site-packages", "dist-packages"})
      add_packages(python / packages, file, files);
  }
}

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

fs::path origin() {  // of the file that this code is in
  Dl_info info{};
  if (dladdr(reinterpret_cast<const void*>(&library_files), &info) == 0) return {};
  std::error_code ignored;
  return fs::canonical(info.dli_fname, ignored).parent_path();
}

}  // namespace

std::vector<std::string> beside(const fs::path& origin, const std::string& file) {
  std::vector<std::string> files;
  add_packages(origin, file, files);
  add_packages(origin.parent_path(), file, files);
  add_packages(origin.parent_path().parent_path(), file, files);
  add_python(origin.parent_path(), file, files);
  return files;
}

std::vector<std::string> library_files(const LibraryName& name) {
  if (const fs::path wanted = variable(name.variable); !wanted.empty()) {
    std::error_code ignored;
    return {(fs::is_directory(wanted, ignored) ? wanted / name.file : wanted).string()};
  }
  std::vector<std::string> files = beside(origin(), name.file);
  files.emplace_back(name.built);
  for (const char* prefix : {"VIRTUAL_ENV", "CONDA_PREFIX"})
    if (const std::string folder = variable(prefix); !folder.empty()) add_python(folder, name.file, files);
  if (const std::string home = variable("HOME"); !home.empty())
    add_python(fs::path(home) / ".local", name.file, files);
  for (const char* prefix : {"/usr/local", "/usr"}) add_python(prefix, name.file, files);
  files.emplace_back(name.file);
  return files;
}

}  // namespace lamina::cuda
