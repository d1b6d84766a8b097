#include "core/cuda/plan_file.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <sstream>
#include <string_view>
#include <thread>

#include "core/base/error.h"
#include "core/base/note.h"
#include "core/base/user_directories.h"
#include "core/base/whole_file.h"

namespace lamina::cuda {
namespace {

namespace fs = std::filesystem;

// A file open for appending, and locked against other programs until closed.
class LockedFile {
 public:
  LockedFile(const fs::path& path, std::chrono::milliseconds patience)
      : descriptor_(open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644)) {
    if (descriptor_ < 0) return;
    const auto end = std::chrono::steady_clock::now() + patience;
    while (!(locked_ = flock(descriptor_, LOCK_EX | LOCK_NB) == 0)) {
      if (errno != EWOULDBLOCK && errno != EINTR) return;
      if (std::chrono::steady_clock::now() >= end) {
        note("{}: another program holds it locked, {} s by now; its choices are not used", path.string(),
             std::chrono::duration_cast<std::chrono::seconds>(patience).count());
        return;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
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

std::optional<int> find(const std::string& text, const std::string& key) {
  const std::string start = key + '\t';
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
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
  const fs::path cache = cache_directory();
  return PlanFile(cache.empty() ? cache : cache / "cuda-plans");
}

std::optional<int> PlanFile::choose(const std::string& key, const std::function<int()>& measure) const {
  if (path_.empty()) return std::nullopt;
  std::error_code ignored;  // opening the file shows whether there is a folder
  fs::create_directories(path_.parent_path(), ignored);
  const LockedFile file(path_, patience_);
  if (!file.locked()) return std::nullopt;
  try {
    if (const std::optional<int> known = find(read_text(path_), key)) return known;
  } catch (const Error&) {  // cannot be read: nor may it be chosen anew
    return std::nullopt;
  }
  const int choice = measure();
  if (!file.append(fmt::format("{}\t{}\n", key, choice))) return std::nullopt;
  return choice;
}

}  // namespace lamina::cuda
