#include "data/find.h"

#include <algorithm>
#include <cstdlib>
#include <system_error>

#include "core/base/error.h"
#include "core/base/user_directories.h"

namespace lamina::data {

namespace fs = std::filesystem;

namespace {

fs::path from_environment(const char* variable) {
  const char* value = std::getenv(variable);
  return value ? value : "";
}

bool holds(const fs::path& directory, const Place& place) {
  std::error_code ignored;
  return std::any_of(place.markers.begin(), place.markers.end(),
                     [&](const std::string& marker) { return fs::exists(directory / marker, ignored); });
}

fs::path find_in(const Place& place, const fs::path& directory) {
  std::error_code ignored;
  check(fs::is_directory(directory, ignored), "{}: no such directory: {}", place.name, directory.string());
  const fs::path inside = directory / place.official;
  // Else `directory` itself, so that the reader can name the files it misses.
  return !holds(directory, place) && holds(inside, place) ? inside : directory;
}

std::vector<fs::path> places_to_look(const Place& place) {
  std::vector<fs::path> places;
  const auto add = [&](const fs::path& base) {
    places.push_back(base / place.name);
    if (!place.official.empty() && place.official != place.name) places.push_back(base / place.official);
  };
  if (const fs::path own = from_environment("LAMINA_DATA"); !own.empty()) {
    add(own);
    places.push_back(own);
  }
  if (const fs::path cache = cache_directory(); !cache.empty()) add(cache);
  add("/usr/share/datasets");
  return places;
}

}  // namespace

fs::path find(const Place& place, const std::string& directory) {
  if (!directory.empty()) return find_in(place, directory);
  const std::vector<fs::path> places = places_to_look(place);
  const auto found =
      std::find_if(places.begin(), places.end(), [&](const fs::path& at) { return holds(at, place); });
  if (found != places.end()) return *found;
  std::string list;
  for (const fs::path& at : places) list += "\n  " + at.string();
  fail(
      "{}: not found; looked in{}\nGive its directory as {}:DIR, set LAMINA_DATA to the folder it is in, or "
      "run scripts/get-data",
      place.name, list, place.name);
}

}  // namespace lamina::data
