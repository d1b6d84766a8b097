#include "train/run_directory.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <string_view>

#include "core/base/atomic_file.h"
#include "core/base/directory_entries.h"
#include "core/base/error.h"
#include "core/base/file_kind.h"
#include "core/base/option_name.h"
#include "core/base/whole_file.h"

namespace lamina::train {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view checkpoint_prefix = "checkpoint-", checkpoint_suffix = ".safetensors";

std::optional<std::int64_t> step_of(std::string_view name) {
  if (!name.starts_with(checkpoint_prefix) || !name.ends_with(checkpoint_suffix)) return {};
  name.remove_prefix(checkpoint_prefix.size());
  name.remove_suffix(checkpoint_suffix.size());
  std::int64_t step = 0;
  std::from_chars(name.data(), name.data() + name.size(), step);
  if (step < 0 || name != std::to_string(step)) return {};  // a copy that somebody has named alike
  return step;
}

// What holds of the final weights alone.
constexpr std::array<const char*, 5> end_files{"weights.safetensors", "evaluation.json", "knn.json",
                                               "linear.json", "linear-as-official.json"};

bool is_own(std::string_view name) {
  constexpr std::array<std::string_view, 9> names{
      "config.json",      "steps.csv",   "epochs.csv",    "trace.safetensors",
      "best.safetensors", "failure.txt", "curvature.csv", "curvature.safetensors",
      "sharpness.json"};
  if (std::find(end_files.begin(), end_files.end(), name) != end_files.end()) return true;
  return std::find(names.begin(), names.end(), name) != names.end() || step_of(name).has_value();
}

bool is_half_written(const fs::path& file) { return is_own(target_of_temporary(file.filename().string())); }

// Nothing there, or nothing but what a process killed at its very start left behind.
bool is_empty_folder(const fs::path& path) {
  if (kind_at(path) != fs::file_type::directory) return false;
  const std::vector<fs::path> files = entries_of(path);
  return std::all_of(files.begin(), files.end(), is_half_written);
}

// What stands in the way of a new run.
std::string describe_occupied(const fs::path& path) {
  if (kind_at(path) != fs::file_type::directory) return "is a file";
  if (!RunDirectory::holds_run(path)) return "exists and is not a run directory (no config.json)";
  if (is_there(path / "weights.safetensors")) return "holds a finished run";
  return fmt::format("holds an unfinished run ({} continues it)", option_name("resume"));
}

}  // namespace

void RunDirectory::check_free(const fs::path& path) {
  check(!is_there(path) || is_empty_folder(path), "run directory {}: {}; choose another {}, or remove it",
        path.string(), describe_occupied(path), option_name("directory"));
}

RunDirectory RunDirectory::create(const fs::path& path) {
  check_free(path);
  try {
    return {path, MadeFolders(path)};
  } catch (const Error& error) {
    fail("run directory {}", error.what());
  }
}

RunDirectory RunDirectory::open_or_create(const fs::path& path) {
  return holds_run(path) ? open(path) : create(path);
}

RunDirectory RunDirectory::open(const fs::path& path) {
  check(is_there(path), "run directory {} does not exist", path.string());
  check(kind_at(path) == fs::file_type::directory, "run directory {}: it is not a directory", path.string());
  check(holds_run(path), "run directory {}: {}", path.string(),
        is_empty_folder(path) ? "it is empty"
                              : "it holds no config.json: not a run, or one that never got to start");
  return {path, MadeFolders()};
}

bool RunDirectory::holds_run(const fs::path& path) {
  return kind_at(path / "config.json") == fs::file_type::regular;
}

void RunDirectory::lock() {
  lock_.emplace(path_,
                fmt::format("run directory {}: another process is training in it; wait for it, or choose "
                            "another {}",
                            path_.string(), option_name("directory")));
}

fs::path RunDirectory::checkpoint(std::int64_t step) const {
  return path_ / fmt::format("{}{}{}", checkpoint_prefix, step, checkpoint_suffix);
}

std::vector<std::int64_t> RunDirectory::checkpoint_steps() const {
  std::vector<std::int64_t> steps;
  for (const fs::path& file : entries_of(path_))
    if (const auto step = step_of(file.filename().string())) steps.push_back(*step);
  std::sort(steps.begin(), steps.end(), std::greater<>());
  return steps;
}

void RunDirectory::keep_checkpoints(const std::vector<std::int64_t>& steps) const {
  std::error_code ignored;  // an old file too many does no harm
  for (const std::int64_t step : checkpoint_steps())
    if (std::find(steps.begin(), steps.end(), step) == steps.end()) fs::remove(checkpoint(step), ignored);
}

void RunDirectory::remove_half_written() const { remove_temporaries(path_, is_own); }

void RunDirectory::remove_end() const {
  for (const char* name : end_files) {
    std::error_code error;
    fs::remove(file(name), error);
    check(!error, "{}: of an earlier end of this run, cannot be removed: {}", file(name).string(),
          error.message());
  }
}

void RunDirectory::remove_unstarted() {
  std::error_code ignored;
  for (const char* name : {"steps.csv", "epochs.csv", "config.json"}) fs::remove(file(name), ignored);
  made_.remove_empty();
}

void RunDirectory::remove_run(const fs::path& path) {
  if (kind_at(path) != fs::file_type::directory) return;
  for (const fs::path& file : entries_of(path)) {
    if (!is_own(file.filename().string()) && !is_half_written(file)) continue;
    std::error_code error;
    fs::remove(file, error);
    check(!error, "{}: cannot be removed to start the run over: {}", file.string(), error.message());
  }
}

nlohmann::json RunDirectory::read_config() const {
  nlohmann::json config =
      nlohmann::json::parse(read_text(file("config.json")), nullptr, /*allow_exceptions=*/false);
  check(config.is_object(), "{}: not a JSON object; this run cannot be continued or read",
        file("config.json").string());
  return config;
}

void RunDirectory::write_config(const nlohmann::json& config) const {
  write_file_atomically(file("config.json"), config.dump(2) + "\n");
}

}  // namespace lamina::train
