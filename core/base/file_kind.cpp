#include "core/base/file_kind.h"

#include <system_error>

#include "core/base/printable.h"

namespace lamina {
namespace fs = std::filesystem;

fs::file_type kind_at(const fs::path& path) {
  std::error_code error;
  const fs::file_type kind = fs::status(path, error).type();
  if (kind == fs::file_type::not_found) {
    std::error_code no_link;
    const fs::path target = fs::read_symlink(path, no_link);
    if (no_link) return kind;
    throw ReadError(message("{}: a link to {}, which does not exist; mend or remove the link",
                            printable(path.native()), printable(target.native())));
  }
  if (kind == fs::file_type::none)
    throw ReadError(message("{}: cannot be looked at: {}", printable(path.native()), error.message()));
  return kind;
}

bool is_there(const fs::path& path) { return kind_at(path) != fs::file_type::not_found; }

const char* kind_name(fs::file_type kind) {
  switch (kind) {
    case fs::file_type::regular:
      return "a file";
    case fs::file_type::directory:
      return "a directory";
    case fs::file_type::fifo:
      return "a FIFO (named pipe)";
    case fs::file_type::socket:
      return "a socket";
    case fs::file_type::block:
    case fs::file_type::character:
      return "a device";
    default:
      return "neither a file nor a directory";
  }
}

}  // namespace lamina
