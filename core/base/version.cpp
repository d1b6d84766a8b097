#include "core/base/version.h"

#include <fmt/core.h>

namespace lamina {

std::string version() { return LAMINA_VERSION; }

std::string build_description() {
#if defined(__clang__)
  const std::string compiler = "clang " __clang_version__;
#else
  const std::string compiler = "g++ " __VERSION__;
#endif
  return fmt::format("{}, {}", compiler, LAMINA_BUILD_TYPE);
}

}  // namespace lamina
