#include "core/cuda/plan_file.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/file.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <fstream>
#include <string_view>

namespace lamina::cuda {
namespace {

namespace fs = std::filesystem;

// A file open for appending, and locked against other programs until closed.
class LockedFile {
 public:
  explicit LockedFile(const fs::path& path)
      : descriptor_(open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644)) {
    locked_ = descriptor_ >= 0 && flock(descriptor_, LOCK_EX) == 0;
  }
  ~LockedFile() {
    if (descriptor_ >= 0) close(descriptor_);
  }
  LockedFile(const LockedFile&) = delete;
  LockedFile& operator=(const LockedFile&) = delete;

  bool locked() const { return locked_; }
  bool append(std::string_view line) const {
    return write(descriptor_, line.data(), line.size()) == static_cast<ssize_t>(line.size());
  }

 private:
  int descriptor_;
  bool locked_ = false;
};

std::optional<int> find(const fs::path& path, const std::string& key) {
  const std::string start = key + '\t';
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(start)) continue;
    int choice = 0;
    const char* last = line.data() + line.size();
    const auto [end, error] = std::from_chars(line.data() + start.size(), last, choice);
    if (error == std::errc{} && end == last && choice >= 0) return choice;
  }
  return std::nullopt;
}

}  // namespace

PlanFile PlanFile::of_user() {
  const auto place = [](const char* variable, const char* below) -> fs::path {
    const char* value = std::getenv(variable);
    return value == nullptr || *value == '\0' ? fs::path() : fs::path(value) / below;
  };
  const fs::path path = place("XDG_CACHE_HOME", "lamina/cuda-plans");
  return PlanFile(path.empty() ? place("HOME", ".cache/lamina/cuda-plans") : path);
}

std::optional<int> PlanFile::choose(const std::string& key, const std::function<int()>& measure) const {
  if (path_.empty()) return std::nullopt;
  std::error_code ignored;  // opening the file shows whether there is a folder
  fs::create_directories(path_.parent_path(), ignored);
  const LockedFile file(path_);
  if (!file.locked()) return std::nullopt;
  if (const std::optional<int> known = find(path_, key)) return known;
  const int choice = measure();
  if (!file.append(fmt::format("{}\t{}\n", key, choice))) return std::nullopt;
  return choice;
}

}  // namespace lamina::cuda
