#include "core/base/whole_file.h"

#include <new>

#include "core/base/available_memory.h"
#include "core/base/error.h"
#include "core/base/regular_file.h"

namespace lamina {
namespace {

// To look at the memory that is left takes longer than to read a small file.
constexpr std::uint64_t small_file = std::uint64_t{16} << 20;

template <typename Contents>
Contents read_file_into_memory(const std::filesystem::path& path) {
  RegularFile file(path);
  const auto fail_too_large = [&file] {
    fail("{}: {} bytes, which is too large: {}", file.name(), file.size(), describe_available_memory());
  };
  if (file.size() > small_file && file.size() > available_memory()) fail_too_large();
  Contents contents;
  try {
    contents.resize(static_cast<std::size_t>(file.size()));
    const std::size_t count = file.read(contents.data(), contents.size());
    check(count == contents.size(), "{}: cannot be read: it ends at byte {} of {}", file.name(), count,
          contents.size());
    constexpr std::size_t piece =
        65536;  // of what was added meanwhile, and of files that do not know their size
    for (std::size_t size = contents.size(), more = 1; more > 0; size += more) {
      contents.resize(size + piece);
      more = file.read(contents.data() + size, piece);
      contents.resize(size + more);
    }
  } catch (const std::bad_alloc&) {
    fail_too_large();
  }
  return contents;
}

}  // namespace

std::string read_text(const std::filesystem::path& path) { return read_file_into_memory<std::string>(path); }

std::vector<std::uint8_t> read_bytes(const std::filesystem::path& path) {
  return read_file_into_memory<std::vector<std::uint8_t>>(path);
}

}  // namespace lamina
