#include "core/base/directory_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>

#include "core/base/error.h"

namespace lamina {

DirectoryLock::DirectoryLock(const std::filesystem::path& directory)
    : descriptor_(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {}

bool DirectoryLock::is_taken() const {
  return descriptor_ >= 0 && ::flock(descriptor_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

DirectoryLock::DirectoryLock(const std::filesystem::path& directory, const std::string& message)
    : DirectoryLock(directory) {
  if (is_taken()) throw Error(message);
}

DirectoryLock::DirectoryLock(const std::filesystem::path& directory, const std::function<void()>& on_wait)
    : DirectoryLock(directory) {
  if (!is_taken()) return;
  on_wait();
  while (::flock(descriptor_, LOCK_EX) != 0 && errno == EINTR) {
  }
}

DirectoryLock::~DirectoryLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

}  // namespace lamina
