#include "core/base/directory_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <thread>

#include "core/base/error.h"
#include "core/base/interrupt.h"
#include "core/base/printable.h"

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
  while (is_taken()) {
    check(InterruptHandler::signal() == 0, "stopped while waiting for another program that has {} locked",
          printable(directory.native()));
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

DirectoryLock::~DirectoryLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

}  // namespace lamina
