#include "core/base/memory_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "core/base/error.h"

namespace lamina {
namespace {

void check_memory_file(bool done, const char* action) {
  check(done, "memory that processes share cannot be {}: {}", action, std::generic_category().message(errno));
}

}  // namespace

MemoryFile::MemoryFile() : descriptor_(memfd_create("lamina", MFD_CLOEXEC | MFD_ALLOW_SEALING)) {
  check_memory_file(descriptor_ >= 0, "made");
}

MemoryFile::~MemoryFile() { ::close(descriptor_); }

void MemoryFile::write(const void* data, std::size_t bytes) {
  constexpr std::size_t most_per_call = std::size_t{1} << 30;  // Linux writes less than 2 GiB at once
  const auto* next = static_cast<const std::byte*>(data);
  for (std::size_t done = 0; done < bytes;) {
    const ssize_t written = ::write(descriptor_, next + done, std::min(bytes - done, most_per_call));
    if (written < 0 && errno == EINTR) continue;
    check_memory_file(written > 0, "filled");
    done += static_cast<std::size_t>(written);
  }
}

void MemoryFile::seal() {
  constexpr int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
  check_memory_file(::fcntl(descriptor_, F_ADD_SEALS, seals) == 0, "sealed");
}

std::filesystem::path MemoryFile::path() const {
  return fmt::format("/proc/{}/fd/{}", getpid(), descriptor_);
}

}  // namespace lamina
