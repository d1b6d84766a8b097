// The folder that a landscape is computed in, so that it goes on where it was stopped: landscape.json (what
// it is of), plane.safetensors, and the CSVs of its points.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "analysis/plane.h"
#include "core/base/directory_lock.h"

namespace lamina::analysis {

class LandscapeFolder {
 public:
  // Makes the folder, or takes up what is there. `identity`: a JSON object with all that the points depend
  // on. Throws Error for the folder of another landscape, listing what differs, for other folders that are
  // not empty, and while another process works in it.
  LandscapeFolder(std::filesystem::path path, const nlohmann::json& identity);

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path file(const std::string& name) const { return path_ / name; }

  // The plane that an earlier process found, and what it noted of it; nothing if none got so far.
  struct Found {
    Plane plane;
    nlohmann::json notes;
  };
  std::optional<Found> plane() const;
  void keep(const Plane& plane, const nlohmann::json& notes) const;

 private:
  std::filesystem::path path_;
  std::optional<DirectoryLock> lock_;
  nlohmann::json json_;
};

}  // namespace lamina::analysis
