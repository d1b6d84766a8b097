// The folder a training run writes: config.json (everything needed to repeat it), steps.csv, epochs.csv,
// trace.safetensors, checkpoint-<step>.safetensors (the last ones), weights.safetensors (the final ones),
// evaluation.json (of these), where a study has measured their features, knn.json, linear.json and
// linear-as-official.json, and of its curvature curvature.csv, curvature.safetensors and sharpness.json.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "core/base/directory_lock.h"
#include "core/base/made_folders.h"

namespace lamina::train {

class RunDirectory {
 public:
  // Throws Error if the folder holds anything, saying what: a finished run, one to resume, something else.
  static void check_free(const std::filesystem::path& path);
  // Makes the folder and what is missing above it; check_free() first. While it is empty, what was made goes
  // with the RunDirectory.
  static RunDirectory create(const std::filesystem::path& path);
  // Opens the run that is there, or makes the folder.
  static RunDirectory open_or_create(const std::filesystem::path& path);
  // Throws Error if the folder is missing or holds other files but no config.json.
  static RunDirectory open(const std::filesystem::path& path);
  // Every file of a run that may be there, but no other's. Throws Error if one cannot be removed.
  static void remove_run(const std::filesystem::path& path);
  // Whether a config.json is there. Throws Error if that cannot be told.
  static bool holds_run(const std::filesystem::path& path);

  // Throws Error if another process has locked it: two writers would ruin each other's files. Held until
  // unlock() or the end of the process, however it ends.
  void lock();
  void unlock() { lock_.reset(); }

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path file(const std::string& name) const { return path_ / name; }
  std::filesystem::path checkpoint(std::int64_t step) const;
  std::vector<std::int64_t> checkpoint_steps() const;                   // newest first
  void keep_checkpoints(const std::vector<std::int64_t>& steps) const;  // and remove all others
  void remove_half_written() const;  // the run's temporary files that a killed process left behind
  void remove_end() const;           // what a run has only at its end; throws Error if it cannot be removed
  void remove_unstarted();           // the files of a run without a step, and the folders made for it

  nlohmann::json read_config() const;  // throws Error if it cannot be read or is not a JSON object
  void write_config(const nlohmann::json& config) const;

 private:
  RunDirectory(std::filesystem::path path, MadeFolders made)
      : path_(std::move(path)), made_(std::move(made)) {}

  std::filesystem::path path_;
  MadeFolders made_;
  std::optional<DirectoryLock> lock_;
};

}  // namespace lamina::train
