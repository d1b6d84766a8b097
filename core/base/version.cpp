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
#if defined(__AVX512F__)
  const char* instructions = "AVX-512";
#elif defined(__AVX2__)
  const char* instructions = "AVX2 + FMA";
#else
  const char* instructions = "the compiler's default instructions";
#endif
  return fmt::format("{}, {}, {}", compiler, LAMINA_BUILD_TYPE, instructions);
}

}  // namespace lamina
