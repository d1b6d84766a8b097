#include "core/base/text_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>

#include "core/base/error.h"

namespace lamina {
namespace {

[[noreturn]] void fail_with_errno(const std::filesystem::path& path) {
  const std::string reason = std::generic_category().message(errno);
  fail("{}: cannot be read: {}", path.string(), reason);
}

class InputFile {
 public:
  explicit InputFile(const std::filesystem::path& path)
      : path_(path), descriptor_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (descriptor_ < 0) fail_with_errno(path);
  }
  ~InputFile() { ::close(descriptor_); }
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  std::size_t read(char* to, std::size_t most) const {  // 0: there is no more
    ssize_t count = ::read(descriptor_, to, most);
    while (count < 0 && errno == EINTR) count = ::read(descriptor_, to, most);
    if (count < 0) fail_with_errno(path_);
    return static_cast<std::size_t>(count);
  }

 private:
  const std::filesystem::path& path_;
  int descriptor_;
};

}  // namespace

std::string read_text(const std::filesystem::path& path) {
  const InputFile file(path);
  std::string text;
  std::array<char, 65536> piece;
  while (const std::size_t count = file.read(piece.data(), piece.size())) text.append(piece.data(), count);
  return text;
}

}  // namespace lamina
