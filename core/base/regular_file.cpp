#include "core/base/regular_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "core/base/error.h"
#include "core/base/file_kind.h"
#include "core/base/printable.h"

namespace lamina {
namespace {

namespace fs = std::filesystem;

std::string system_reason() { return std::generic_category().message(errno); }

int open_to_read(const fs::path& path) {
  int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  while (descriptor < 0 && errno == EINTR)
    descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  return descriptor;
}

}  // namespace

RegularFile::RegularFile(const fs::path& path) : name_(printable(path.native())) {
  const fs::file_type kind = kind_at(path);
  check(kind == fs::file_type::regular || kind == fs::file_type::not_found, "{}: is {}; expected a file",
        name_, kind_name(kind));
  descriptor_ = open_to_read(path);
  check(descriptor_ >= 0, "{}: cannot be opened: {}", name_, system_reason());
  struct stat status {};
  const bool known = ::fstat(descriptor_, &status) == 0;
  const std::string reason = known ? "it is no longer a regular file" : system_reason();
  if (!known || !S_ISREG(status.st_mode)) {
    ::close(descriptor_);  // the destructor will not run
    fail("{}: cannot be opened: {}", name_, reason);
  }
  size_ = static_cast<std::uint64_t>(status.st_size);
}

RegularFile::~RegularFile() { ::close(descriptor_); }

std::size_t RegularFile::read(void* to, std::size_t bytes) {
  std::size_t done = 0;
  while (done < bytes) {
    const ssize_t count = ::read(descriptor_, static_cast<std::byte*>(to) + done, bytes - done);
    if (count < 0 && errno == EINTR) continue;
    check(count >= 0, "{}: cannot be read: {}", name_, system_reason());
    if (count == 0) break;
    done += static_cast<std::size_t>(count);
  }
  return done;
}

}  // namespace lamina
