#include "core/base/locked_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <thread>

namespace lamina {

LockedFile::LockedFile(const std::filesystem::path& path, std::optional<std::chrono::milliseconds> patience,
                       const std::function<void()>& on_wait)
    : descriptor_(::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644)) {
  if (descriptor_ < 0) return;
  const auto start = std::chrono::steady_clock::now();
  while (!(locked_ = ::flock(descriptor_, LOCK_EX | LOCK_NB) == 0)) {
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK) return;
    if (!waited_ && on_wait) on_wait();
    waited_ = true;
    if (patience && std::chrono::steady_clock::now() - start >= *patience) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

LockedFile::~LockedFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

bool LockedFile::append(std::string_view line) const {
  return ::write(descriptor_, line.data(), line.size()) == static_cast<ssize_t>(line.size());
}

}  // namespace lamina
