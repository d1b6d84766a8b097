#include "compare/report/folder.h"

#include <unistd.h>

#include <fstream>

#include "core/base/atomic_file.h"
#include "core/base/error.h"

namespace lamina::compare {
namespace {

namespace fs = std::filesystem;

constexpr const char* always_there = "comparison.csv";  // what a report's folder is known by

fs::path files_of(const fs::path& page) {
  fs::path files = page;
  return files.replace_filename(page.stem().string() + "-files");
}

bool is_replaceable(const fs::path& folder) {
  return !fs::exists(folder) ||
         (fs::is_directory(folder) && (fs::is_empty(folder) || fs::exists(folder / always_there)));
}

bool written_by_report(const fs::path& file) {
  const std::string ending = file.extension().string();
  return ending == ".csv" || ending == ".gp" || ending == ".svg";
}

// Moves a user's own files, say the PDFs made from our scripts, to the new folder.
void keep_other_files(const fs::path& from, const fs::path& to) {
  if (!fs::exists(from)) return;
  for (const auto& entry : fs::directory_iterator(from)) {
    if (!written_by_report(entry.path())) fs::rename(entry.path(), to / entry.path().filename());
  }
}

}  // namespace

std::string csv_text(std::string text) {
  for (char& c : text) {
    if (c == '"') c = '\'';  // gnuplot knows no quoted quotes
    if (static_cast<unsigned char>(c) < ' ') c = ' ';
  }
  return '"' + text + '"';
}

ReportFolder::ReportFolder(const fs::path& page) : page_(page), target_(files_of(page)) {
  const fs::path parent = page.has_parent_path() ? page.parent_path() : fs::path(".");
  std::error_code error;
  fs::create_directories(parent, error);
  check(fs::is_directory(parent), "report: {}: there is no such folder, and it cannot be made: {}",
        parent.string(), error.message());
  check(!fs::is_directory(page), "report: {}: it is a folder; name a file, like {}", page.string(),
        (page / "report.html").string());
  check(is_replaceable(target_),
        "report: {}: it is in the way and not the folder of an earlier report; choose another name",
        target_.string());
  temporary_ = fs::path(target_) += fmt::format(".{}.tmp", ::getpid());
  check(fs::create_directory(temporary_, error), "report: {}: cannot be made: {}; check its permissions",
        temporary_.string(), error ? error.message() : "it exists");
}

ReportFolder::~ReportFolder() {
  std::error_code ignored;
  fs::remove_all(temporary_, ignored);
}

void ReportFolder::write(const std::string& name, const std::string& contents) const {
  std::ofstream file(temporary_ / name, std::ios::binary);
  file << contents;
  file.close();
  check(!file.fail(), "report: writing {} failed; check the free space", (temporary_ / name).string());
}

void ReportFolder::publish(const std::string& page_contents) {
  AtomicFile page(page_);
  page.write(page_contents.data(), page_contents.size());
  const fs::path earlier = fs::path(temporary_) += ".old";
  try {
    keep_other_files(target_, temporary_);
    if (fs::exists(target_)) fs::rename(target_, earlier);
    fs::rename(temporary_, target_);
  } catch (const fs::filesystem_error& error) {
    fail("report: {}: cannot be replaced: {}", target_.string(), error.code().message());
  }
  page.commit();
  std::error_code ignored;
  fs::remove_all(earlier, ignored);
}

}  // namespace lamina::compare
