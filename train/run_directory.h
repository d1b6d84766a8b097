// The folder a training run writes: config.json (everything needed to repeat it), steps.csv, epochs.csv,
// trace.safetensors, checkpoint-<step>.safetensors (the last two), weights.safetensors (the final ones),
// evaluation.json (of these).
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "core/base/directory_lock.h"

namespace lamina::train {

class RunDirectory {
 public:
  // Throws Error if the folder holds anything, saying what: a finished run, one to resume, something else.
  static void check_free(const std::filesystem::path& path);
  // Makes the folder; check_free() first.
  static RunDirectory create(const std::filesystem::path& path);
  // Opens the run that is there, or makes the folder.
  static RunDirectory open_or_create(const std::filesystem::path& path);
  // Throws Error if the folder is missing or holds other files but no config.json.
  static RunDirectory open(const std::filesystem::path& path);
  static bool holds_run(const std::filesystem::path& path);  // a config.json is there

  // Throws Error if another process has locked it: two writers would ruin each other's files. Held until
  // unlock() or the end of the process, however it ends.
  void lock();
  void unlock() { lock_.reset(); }

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path file(const std::string& name) const { return path_ / name; }
  std::filesystem::path checkpoint(std::int64_t step) const;
  std::vector<std::int64_t> checkpoint_steps() const;  // newest first
  void remove_old_checkpoints(std::size_t keep) const;
  void remove_half_written() const;  // temporary files a killed process left behind
  void remove_unstarted() const;     // of a run without a step: its files, and the folder if that empties it

  nlohmann::json read_config() const;  // throws Error if it cannot be read or is not a JSON object
  void write_config(const nlohmann::json& config) const;

 private:
  explicit RunDirectory(std::filesystem::path path) : path_(std::move(path)) {}

  std::filesystem::path path_;
  std::optional<DirectoryLock> lock_;
};

}  // namespace lamina::train
