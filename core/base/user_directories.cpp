#include "core/base/user_directories.h"

#include <cstdlib>

namespace lamina {
namespace {

std::filesystem::path from_environment(const char* variable) {
  const char* value = std::getenv(variable);
  return value == nullptr ? "" : value;
}

}  // namespace

std::filesystem::path cache_directory() {
  if (const auto cache = from_environment("XDG_CACHE_HOME"); !cache.empty()) return cache / "lamina";
  if (const auto home = from_environment("HOME"); !home.empty()) return home / ".cache" / "lamina";
  return {};
}

}  // namespace lamina
