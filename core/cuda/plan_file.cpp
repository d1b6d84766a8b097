#include "core/cuda/plan_file.h"

#include <fmt/core.h>

#include <charconv>
#include <sstream>
#include <string_view>

#include "core/base/error.h"
#include "core/base/locked_file.h"
#include "core/base/note.h"
#include "core/base/user_directories.h"
#include "core/base/whole_file.h"

namespace lamina::cuda {
namespace {

namespace fs = std::filesystem;

std::optional<int> find(const std::string& text, const std::string& key) {
  const std::string start = key + '\t';
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with(start)) continue;
    int choice = 0;
    const char* last = line.data() + line.size();
    const auto [end, error] = std::from_chars(line.data() + start.size(), last, choice);
    if (error == std::errc{} && end == last && choice >= 0) return choice;
  }
  return std::nullopt;
}

}  // namespace

PlanFile PlanFile::of_user() {
  const fs::path cache = cache_directory();
  return PlanFile(cache.empty() ? cache : cache / "cuda-plans");
}

std::optional<int> PlanFile::choose(const std::string& key, const std::function<int()>& measure) const {
  if (path_.empty()) return std::nullopt;
  std::error_code ignored;  // opening the file shows whether there is a folder
  fs::create_directories(path_.parent_path(), ignored);
  const LockedFile file(path_, patience_);
  if (file.is_anothers())
    note("{}: another program holds it locked, {} s by now; its choices are not used", path_.string(),
         std::chrono::duration_cast<std::chrono::seconds>(patience_).count());
  if (!file.locked()) return std::nullopt;
  try {
    if (const std::optional<int> known = find(read_text(path_), key)) return known;
  } catch (const Error&) {  // cannot be read: nor may it be chosen anew
    return std::nullopt;
  }
  const int choice = measure();
  if (!file.append(fmt::format("{}\t{}\n", key, choice))) return std::nullopt;
  return choice;
}

}  // namespace lamina::cuda
