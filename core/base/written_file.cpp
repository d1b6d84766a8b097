#include "core/base/written_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "core/base/error.h"
#include "core/base/printable.h"

namespace lamina {

WrittenFile::WrittenFile(const std::filesystem::path& path) : name_(printable(path.native())) {
  constexpr int everyone = 0666;  // less what the process's mask takes away
  do {
    descriptor_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, everyone);
  } while (descriptor_ < 0 && errno == EINTR);
  check(descriptor_ >= 0, "{}: cannot be opened for writing: {}", name_,
        std::generic_category().message(errno));
}

WrittenFile::~WrittenFile() { ::close(descriptor_); }

void WrittenFile::write_at(std::uint64_t offset, const void* data, std::size_t bytes) {
  constexpr std::size_t most_per_call = std::size_t{1} << 30;  // Linux writes less than 2 GiB at once
  const auto* next = static_cast<const std::byte*>(data);
  for (std::size_t done = 0; done < bytes;) {
    const ssize_t written = ::pwrite(descriptor_, next + done, std::min(bytes - done, most_per_call),
                                     static_cast<off_t>(offset + done));
    if (written < 0 && errno == EINTR) continue;
    check(written > 0, "{}: writing failed: {}; free some space, then start again", name_,
          std::generic_category().message(errno));
    done += static_cast<std::size_t>(written);
  }
}

}  // namespace lamina
