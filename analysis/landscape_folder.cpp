#include "analysis/landscape_folder.h"

#include <algorithm>

#include "core/base/atomic_file.h"
#include "core/base/digest.h"
#include "core/base/directory_entries.h"
#include "core/base/error.h"
#include "core/base/file_kind.h"
#include "core/base/made_folders.h"
#include "core/base/option_name.h"
#include "core/base/whole_file.h"

namespace lamina::analysis {
namespace {

namespace fs = std::filesystem;

constexpr const char* landscape_file = "landscape.json";
constexpr const char* plane_file = "plane.safetensors";

// "plane "random" there, "eigen" here".
std::string differences(const nlohmann::json& there, const nlohmann::json& here) {
  std::string text;
  for (const auto& [name, value] : here.items()) {
    const nlohmann::json other = there.value(name, nlohmann::json());
    if (other == value) continue;
    text += fmt::format("{}{} {} there, {} here", text.empty() ? "" : "; ", name, other.dump(), value.dump());
  }
  return text;
}

bool is_landscape_or_empty(const fs::path& folder) {
  if (kind_at(folder) != fs::file_type::directory) return false;
  const std::vector<fs::path> files = entries_of(folder);
  return is_there(folder / landscape_file) ||
         std::all_of(files.begin(), files.end(), [](const fs::path& file) {
           return !target_of_temporary(file.filename().string()).empty();
         });
}

bool has_points(const fs::path& folder) {
  const std::vector<fs::path> entries = entries_of(folder);
  return std::any_of(entries.begin(), entries.end(),
                     [](const fs::path& entry) { return entry.extension() == ".csv"; });
}

}  // namespace

LandscapeFolder::LandscapeFolder(fs::path path, const nlohmann::json& identity) : path_(std::move(path)) {
  const fs::path json = file(landscape_file);
  if (is_there(path_))
    check(is_landscape_or_empty(path_),
          "landscape: {}: in the way, and not the folder of a landscape; choose another {}, or move it",
          path_.string(), option_name("output"));
  MadeFolders made(path_);
  lock_.emplace(path_, fmt::format("landscape: {}: another process works in it; wait for it, or choose "
                                   "another {}",
                                   path_.string(), option_name("output")));
  remove_temporaries(path_, [](std::string_view name) {
    return name == landscape_file || name == plane_file || name.ends_with(".csv");
  });
  // Before it has a plane or points nothing is lost if it becomes another landscape's.
  if (!is_there(json) || (!is_there(file(plane_file)) && !has_points(path_)))
    write_file_atomically(json, nlohmann::json{{"identity", identity}}.dump(2) + "\n");
  json_ = nlohmann::json::parse(read_text(json), nullptr, /*allow_exceptions=*/false);
  check(json_.is_object() && json_.contains("identity") && json_["identity"].is_object(),
        "{}: it does not say what the landscape is of; remove the folder to start over", json.string());
  const std::string text = differences(json_["identity"], identity);
  check(text.empty(), "landscape: {} holds another one ({}); choose another {}, or remove it", path_.string(),
        text, option_name("output"));
}

std::optional<LandscapeFolder::Found> LandscapeFolder::plane() const {
  if (!is_there(file(plane_file)) || !json_.contains("plane")) return {};
  return Found{.plane = read_plane(file(plane_file)), .notes = json_["plane"]};
}

void LandscapeFolder::keep(const Plane& plane, const nlohmann::json& notes) const {
  save_plane(file(plane_file), plane);
  nlohmann::json json = json_;
  json["plane"] = notes;
  write_file_atomically(file(landscape_file), json.dump(2) + "\n");
}

}  // namespace lamina::analysis
