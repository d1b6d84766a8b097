#include "compare/report/replacement.h"

#include "core/base/error.h"
#include "core/base/file_kind.h"

namespace lamina::compare {
namespace {

namespace fs = std::filesystem;

bool has_entry(const fs::path& path) {
  std::error_code error;
  const fs::file_type type = fs::symlink_status(path, error).type();
  check(type != fs::file_type::none, "report: {}: cannot be looked at: {}", path.string(), error.message());
  return type != fs::file_type::not_found;
}

// A second name for the file's bytes or, on file systems that have no such thing, a copy of them.
void keep(const fs::path& file, const fs::path& aside) {
  std::error_code error;
  fs::create_hard_link(file, aside, error);
  if (error) fs::copy_file(file, aside, error);
  check(!error,
        "report: {}: cannot be kept while it is replaced: {}; check the permissions and the free space",
        file.string(), error.message());
}

void move(const fs::path& from, const fs::path& to, const fs::path& changed) {
  std::error_code error;
  fs::rename(from, to, error);
  check(!error, "report: {}: cannot be {}: {}; check its permissions", changed.string(),
        changed == to ? "written" : "removed", error.message());
}

}  // namespace

Replacement::Replacement(fs::path folder, fs::path aside)
    : folder_(std::move(folder)), aside_(std::move(aside)) {
  std::error_code error;
  fs::create_directory(aside_, error);
  check(!error, "report: {}: cannot be made: {}", aside_.string(), error.message());
  made_folder_ = !is_there(folder_) && fs::create_directory(folder_, error);
  check(!error, "report: {}: cannot be made: {}; check its permissions", folder_.string(), error.message());
}

void Replacement::put(const fs::path& file) {
  const fs::path place = folder_ / file.filename(), before = next_aside();
  const bool replaces = has_entry(place);
  if (replaces) keep(place, before);
  move(file, place, place);
  changes_.push_back({place, replaces ? before : fs::path(), file});
}

void Replacement::take_out(const std::string& name) {
  const fs::path place = folder_ / name, before = next_aside();
  if (!has_entry(place) || !fs::is_regular_file(place)) return;
  move(place, before, place);
  changes_.push_back({place, before, {}});
}

bool Replacement::put_back() noexcept {
  std::error_code error;
  bool whole = true;
  for (; !changes_.empty(); changes_.pop_back()) {
    const auto& [place, before, from] = changes_.back();
    if (before.empty()) {
      fs::rename(place, from, error);
    } else {
      fs::rename(before, place, error);
    }
    whole = whole && !error;
  }
  if (made_folder_) fs::remove(folder_, error);  // which leaves a folder with anything in it
  return whole;
}

}  // namespace lamina::compare
