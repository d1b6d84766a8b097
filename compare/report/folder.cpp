#include "compare/report/folder.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>

#include "compare/on_one_line.h"
#include "compare/report/replacement.h"
#include "core/base/atomic_file.h"
#include "core/base/directory_entries.h"
#include "core/base/error.h"
#include "core/base/file_kind.h"
#include "core/base/note.h"
#include "core/base/whole_file.h"

namespace lamina::compare {
namespace {

namespace fs = std::filesystem;

constexpr const char* always_there = "comparison.csv";  // what an old report's folder is known by
constexpr const char* list_of_files = "lamina-report.txt";
constexpr const char* list_head =
    "The files of a report of Lamina, which the next one replaces or removes. Others stay.\n";

fs::path files_of(const fs::path& page) {
  fs::path files = page;
  files.replace_filename(page.stem().string() + "-files");
  return fs::is_symlink(files) ? fs::weakly_canonical(files) : files;
}

bool is_replaceable(const fs::path& folder) {
  if (!is_there(folder)) return true;
  return fs::is_directory(folder) &&
         (fs::is_empty(folder) || is_there(folder / list_of_files) || is_there(folder / always_there));
}

fs::path make_folder_beside(const fs::path& target) {
  static std::atomic<unsigned> count{0};
  std::error_code error;
  for (;;) {
    const fs::path folder = fs::path(target) += fmt::format(".{}-{}.tmp", ::getpid(), count++);
    if (fs::create_directory(folder, error)) return folder;
    check(!error, "report: {}: cannot be made: {}; check its permissions", folder.string(), error.message());
  }
}

// What failed is tried once more: the reason may have gone, as that of an interrupted call has.
void remove_or_note(const fs::path& folder) noexcept try {
  std::error_code error;
  fs::remove_all(folder, error);
  while (error == std::errc::interrupted) fs::remove_all(folder, error);
  if (error) fs::remove_all(folder, error);
  if (error)
    note("report: {}: left behind, since it cannot be removed: {}; nobody needs it any more", folder.string(),
         error.message());
} catch (const std::bad_alloc&) {  // then it is left without a word
}

std::set<std::string> finished_files(const fs::path& folder) {
  std::set<std::string> names;
  for (const fs::path& file : entries_of(folder))
    if (file.extension() != ".tmp") names.insert(file.filename().string());
  return names;
}

// The earlier report's own files. Names with a slash, which no report writes, would reach outside the folder.
std::set<std::string> listed_in(const fs::path& list) {
  const std::string text = read_text(list);
  std::set<std::string> names{list_of_files};
  for (std::size_t begin = text.find('\n') + 1; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string name = text.substr(begin, end - begin);
    if (!name.empty() && name.find('/') == std::string::npos) names.insert(name);
    begin = end + 1;
  }
  return names;
}

std::string list_text(const std::set<std::string>& names) {
  std::string text = list_head;
  for (const std::string& name : names)
    if (name != list_of_files) text += name + "\n";
  return text;
}

}  // namespace

std::string csv_text(std::string text) {
  std::replace(text.begin(), text.end(), '"', '\'');  // gnuplot knows no quoted quotes
  return '"' + on_one_line(std::move(text)) + '"';
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
  temporary_ = make_folder_beside(target_);
}

ReportFolder::~ReportFolder() {
  if (!holds_earlier_) remove_or_note(temporary_);
}

void ReportFolder::write(const std::string& name, const std::string& contents) const {
  write_file_atomically(temporary_ / name, contents);
}

// The list comes first: whenever this is killed, the next report knows all that is there for a report's.
void ReportFolder::put_in_place(Replacement& target, const std::set<std::string>& names,
                                const std::set<std::string>& earlier) const {
  std::set<std::string> both = names;
  both.insert(earlier.begin(), earlier.end());
  write(list_of_files, list_text(both));
  target.put(temporary_ / list_of_files);
  for (const std::string& name : names) target.put(temporary_ / name);
  for (const std::string& name : earlier)
    if (name != list_of_files && !names.contains(name)) target.take_out(name);
  write(list_of_files, list_text(names));
  target.put(temporary_ / list_of_files);
}

void ReportFolder::publish(const std::string& page_contents) {
  AtomicFile page(page_);
  page.write(page_contents.data(), page_contents.size());
  const std::set<std::string> names = finished_files(temporary_);
  const fs::path list = target_ / list_of_files;
  const bool listed = is_there(list);  // the reports of old versions have none
  const std::set<std::string> earlier = listed ? listed_in(list) : std::set<std::string>();
  for (const std::string& name : names) {
    check(!listed || earlier.contains(name) || !is_there(target_ / name),
          "report: {}: it is in the way and not of the earlier report; move it to another place",
          (target_ / name).string());
  }
  Replacement target(target_, temporary_ / "earlier");
  try {
    put_in_place(target, names, earlier);
    page.commit();
  } catch (const std::exception& error) {
    if (page.replaced()) throw;  // all is there
    holds_earlier_ = !target.put_back();
    if (!holds_earlier_) throw;
    fail("{}; some files of the earlier report could not be put back: they are in {}", error.what(),
         (temporary_ / "earlier").string());
  }
}

}  // namespace lamina::compare
