#include "core/base/user_directories.h"

#include <cstdlib>

#include "core/base/error.h"

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

std::string expand_home(const std::string& path) {
  if (path != "~" && !path.starts_with("~/")) return path;
  const std::string home = from_environment("HOME").string();
  if (home.empty()) fail_usage("{}: HOME is not set, so that ~ means nothing; give the whole path", path);
  return home + path.substr(1);
}

}  // namespace lamina
