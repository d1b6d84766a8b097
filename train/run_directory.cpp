#include "train/run_directory.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>

#include "core/base/atomic_file.h"
#include "core/base/error.h"
#include "core/base/option_name.h"
#include "core/base/text_file.h"

namespace lamina::train {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view checkpoint_prefix = "checkpoint-", checkpoint_suffix = ".safetensors";

// What stands in the way of a new run.
std::string describe_occupied(const fs::path& path) {
  if (!fs::is_directory(path)) return "is a file";
  if (!RunDirectory::holds_run(path)) return "exists and is not a run directory (no config.json)";
  if (fs::exists(path / "weights.safetensors")) return "holds a finished run";
  return fmt::format("holds an unfinished run ({} continues it)", option_name("resume"));
}

bool is_half_written(const fs::path& file) { return file.extension() == ".tmp"; }

// Nothing there, or nothing but what a process killed at its very start left behind.
bool is_empty_folder(const fs::path& path) {
  if (!fs::is_directory(path)) return false;
  const fs::directory_iterator files(path);
  return std::all_of(begin(files), end(files),
                     [](const auto& entry) { return is_half_written(entry.path()); });
}

std::optional<std::int64_t> step_of(const std::string& name) {
  if (!name.starts_with(checkpoint_prefix) || !name.ends_with(checkpoint_suffix)) return {};
  const char* begin = name.data() + checkpoint_prefix.size();
  const char* end = name.data() + name.size() - checkpoint_suffix.size();
  std::int64_t step = 0;
  const auto result = std::from_chars(begin, end, step);
  if (result.ec != std::errc() || result.ptr != end) return {};
  return step;
}

}  // namespace

void RunDirectory::check_free(const fs::path& path) {
  std::error_code error;
  check(!fs::exists(path, error) || is_empty_folder(path),
        "run directory {}: {}; choose another {}, or remove it", path.string(), describe_occupied(path),
        option_name("directory"));
}

RunDirectory RunDirectory::create(const fs::path& path) {
  check_free(path);
  std::error_code error;
  fs::create_directories(path, error);
  check(!error, "run directory {}: cannot be made: {}", path.string(), error.message());
  return RunDirectory(path);
}

RunDirectory RunDirectory::open_or_create(const fs::path& path) {
  return holds_run(path) ? open(path) : create(path);
}

RunDirectory RunDirectory::open(const fs::path& path) {
  check(fs::is_directory(path), "run directory {}: there is none", path.string());
  check(holds_run(path), "run directory {}: {}", path.string(),
        is_empty_folder(path) ? "it is empty"
                              : "it holds no config.json: not a run, or one that never got to start");
  return RunDirectory(path);
}

bool RunDirectory::holds_run(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path / "config.json", error);
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
  for (const auto& entry : fs::directory_iterator(path_)) {
    if (const auto step = step_of(entry.path().filename().string())) steps.push_back(*step);
  }
  std::sort(steps.begin(), steps.end(), std::greater<>());
  return steps;
}

void RunDirectory::remove_old_checkpoints(std::size_t keep) const {
  const std::vector<std::int64_t> steps = checkpoint_steps();
  std::error_code ignored;  // an old file too many does no harm
  for (std::size_t i = keep; i < steps.size(); ++i) fs::remove(checkpoint(steps[i]), ignored);
}

void RunDirectory::remove_half_written() const {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(path_)) {
    if (is_half_written(entry.path())) fs::remove(entry.path(), ignored);
  }
}

void RunDirectory::remove_unstarted() const {
  std::error_code ignored;
  for (const char* name : {"steps.csv", "epochs.csv", "config.json"}) fs::remove(file(name), ignored);
  fs::remove(path_, ignored);
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
