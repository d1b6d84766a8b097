#include "data/find.h"

#include <algorithm>
#include <cstdlib>

#include "core/base/error.h"
#include "core/base/file_kind.h"
#include "core/base/printable.h"
#include "core/base/user_directories.h"

namespace lamina::data {

namespace fs = std::filesystem;

namespace {

fs::path from_environment(const char* variable) {
  const char* value = std::getenv(variable);
  return value ? value : "";
}

bool holds(const fs::path& directory, const Place& place) {
  return std::any_of(place.markers.begin(), place.markers.end(),
                     [&](const std::string& marker) { return is_there(directory / marker); });
}

fs::path find_in(const Place& place, const std::string& given) {
  const fs::path directory = expand_home(given);
  const std::string name = printable(directory.native());
  const fs::file_type kind = kind_at(directory);
  check(kind != fs::file_type::not_found, "{}: no such directory: {}", place.name, name);
  check(
      kind != fs::file_type::regular,
      "{}: {} is a file; expected a directory. If it is an archive, unpack it and give the folder that comes "
      "out",
      place.name, name);
  check(kind == fs::file_type::directory, "{}: {} is {}; expected a directory", place.name, name,
        kind_name(kind));
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

std::optional<fs::path> find_anywhere(const Place& place) {
  const std::vector<fs::path> places = places_to_look(place);
  const auto found =
      std::find_if(places.begin(), places.end(), [&](const fs::path& at) { return holds(at, place); });
  return found == places.end() ? std::nullopt : std::optional(*found);
}

fs::path find(const Place& place, const std::string& directory) {
  if (!directory.empty()) return find_in(place, directory);
  if (const std::optional<fs::path> found = find_anywhere(place)) return *found;
  std::string list;
  for (const fs::path& at : places_to_look(place)) list += "\n  " + printable(at.native());
  fail(
      "{}: not found; looked in{}\nGive its directory as {}:DIR, set LAMINA_DATA to the folder it is in, or "
      "run scripts/get-data",
      place.name, list, place.name);
}

}  // namespace lamina::data
