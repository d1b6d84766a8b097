#include "core/base/regular_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

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

[[noreturn]] void fail_to(const char* what, const std::string& name, const std::string& reason) {
  throw ReadError(message("{}: cannot be {}: {}", name, what, reason));
}

}  // namespace

RegularFile::RegularFile(const fs::path& path) : name_(printable(path.native())) {
  const fs::file_type kind = kind_at(path);
  if (kind != fs::file_type::regular && kind != fs::file_type::not_found)
    throw ReadError(message("{}: is {}; expected a file", name_, kind_name(kind)));
  descriptor_ = open_to_read(path);
  if (descriptor_ < 0) fail_to("opened", name_, system_reason());
  struct stat status {};
  const bool known = ::fstat(descriptor_, &status) == 0;
  const std::string reason = known ? "it is no longer a regular file" : system_reason();
  if (!known || !S_ISREG(status.st_mode)) {
    ::close(descriptor_);  // the destructor will not run
    fail_to("opened", name_, reason);
  }
  size_ = static_cast<std::uint64_t>(status.st_size);
}

RegularFile::~RegularFile() { ::close(descriptor_); }

std::size_t RegularFile::read(void* to, std::size_t bytes) {
  std::size_t done = 0;
  while (done < bytes) {
    const ssize_t count = ::read(descriptor_, static_cast<std::byte*>(to) + done, bytes - done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail_to("read", name_, system_reason());
    if (count == 0) break;
    done += static_cast<std::size_t>(count);
  }
  return done;
}

void RegularFile::read_at(std::uint64_t offset, void* to, std::size_t bytes) const {
  auto* next = static_cast<std::byte*>(to);
  for (std::size_t done = 0; done < bytes;) {
    const ssize_t count = ::pread(descriptor_, next + done, bytes - done, static_cast<off_t>(offset + done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail_to("read", name_, system_reason());
    if (count == 0) fail_to("read", name_, "it became shorter meanwhile");
    done += static_cast<std::size_t>(count);
  }
}

std::shared_ptr<std::byte> RegularFile::map() const {
  const auto bytes = static_cast<std::size_t>(size_);
  if (bytes == 0) return nullptr;
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, descriptor_, 0);
  if (memory == MAP_FAILED) fail_to("mapped", name_, system_reason());
  return {static_cast<std::byte*>(memory), [bytes](std::byte* start) { ::munmap(start, bytes); }};
}

}  // namespace lamina
