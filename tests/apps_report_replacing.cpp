// A new report in the place of an earlier one: all of it or nothing, and nobody else's files.
#include <map>

#include "compare/report/replacement.h"
#include "message_of.h"
#include "reported_study.h"

namespace lamina::tests {
namespace {

// Name → contents of every file of a folder; of folders in it the name alone.
std::map<std::string, std::string> contents_in(const fs::path& folder) {
  std::map<std::string, std::string> contents;
  for (const auto& entry : fs::directory_iterator(folder))
    contents[entry.path().filename()] = entry.is_directory() ? "a folder" : read_file(entry.path());
  return contents;
}

void put_text(const fs::path& path, const std::string& text) { std::ofstream(path) << text; }

}  // namespace

TEST_CASE("files that replace others are put back as long as not all are there", "[report]") {
  const TemporaryFolder folder;
  fs::create_directory(folder / "to");
  fs::create_directory(folder / "new");
  put_text(folder / "to" / "a", "old a");
  put_text(folder / "to" / "stale", "stale");
  put_text(folder / "to" / "mine", "mine");
  put_text(folder / "new" / "a", "new a");
  put_text(folder / "new" / "b", "new b");
  const auto before = contents_in(folder / "to");
  compare::Replacement replacement(folder / "to", folder / "aside");
  replacement.put(folder / "new" / "a");
  replacement.put(folder / "new" / "b");
  replacement.take_out("stale");
  replacement.take_out("never there");
  CHECK(contents_in(folder / "to") ==
        std::map<std::string, std::string>{{"a", "new a"}, {"b", "new b"}, {"mine", "mine"}});
  put_text(folder / "new" / "a", "newest a");
  replacement.put(folder / "new" / "a");
  CHECK(replacement.put_back());
  CHECK(contents_in(folder / "to") == before);
  put_text(folder / "new" / "a", "new a");

  SECTION("also when one cannot be put") {
    fs::create_directories(folder / "to" / "c" / "mine");
    put_text(folder / "new" / "c", "new c");
    compare::Replacement second(folder / "to", folder / "aside-2");
    second.put(folder / "new" / "a");
    CHECK(unexplained([&] { second.put(folder / "new" / "c"); }, {"to/c: cannot be "}) == "nothing");
    second.take_out("c");  // no file: it stays
    CHECK(second.put_back());
    CHECK(read_file(folder / "to" / "a") == "old a");
    CHECK(fs::exists(folder / "to" / "c" / "mine"));
  }
  SECTION("and a folder that was made for them goes") {
    compare::Replacement third(folder / "made", folder / "aside-3");
    third.put(folder / "new" / "a");
    CHECK(third.put_back());
    CHECK_FALSE(fs::exists(folder / "made"));
  }
}

TEST_CASE("a report that cannot replace one file leaves the earlier one as it was", "[report]") {
  if (gnuplot_is_missing()) return;
  const ReportedStudy study;
  const std::string page = study.report();
  fs::remove(study.files / "train-loss.svg");
  fs::create_directory(study.files / "train-loss.svg");  // late in the order of the names
  put_text(study.files / "train-loss.svg" / "mine", "mine");
  put_text(study.files / "mine.csv", "mine");
  const auto before = contents_in(study.files);
  const auto again = [&] { study.report("", {.title = "Second"}); };
  CHECK(unexplained(again, {"train-loss.svg: cannot be "}) == "nothing");
  CHECK(read_file(study.page) == page);
  CHECK(contents_in(study.files) == before);
  CHECK(read_file(study.files / "train-loss.svg" / "mine") == "mine");
  CHECK(study.names() == std::vector<std::string>{"out-files", "out.html", "runs"});

  fs::remove_all(study.files / "train-loss.svg");
  again();
  CHECK(read_file(study.files / "mine.csv") == "mine");
  CHECK(contains(read_file(study.page), "<h1>Second</h1>"));
}

TEST_CASE("a report knows its own files by their list", "[report]") {
  if (gnuplot_is_missing()) return;
  const ReportedStudy study;
  write_trace(study.run("lars-1"));
  study.report();
  put_text(study.files / "my.csv", "mine");
  put_text(study.files / "my.svg", "mine");
  put_text(study.folder / "outside", "mine");
  std::ofstream(study.files / "lamina-report.txt", std::ios::app) << "../outside\n";
  fs::remove(study.run("lars-1") / "trace.safetensors");
  study.report();
  CHECK(read_file(study.files / "my.csv") == "mine");
  CHECK(read_file(study.files / "my.svg") == "mine");
  CHECK(read_file(study.folder / "outside") == "mine");
  CHECK_FALSE(fs::exists(study.files / "trust-1.csv"));
  CHECK_FALSE(fs::exists(study.files / "weight-norm-1.svg"));
  const std::string list = read_file(study.files / "lamina-report.txt");
  CHECK(contains(list, "\ntest-accuracy.svg\n"));
  CHECK_FALSE(contains(list, "trust-1"));

  SECTION("and does not overwrite one that it needs the name of") {
    put_text(study.files / "trust-1.csv", "mine");
    const auto before = contents_in(study.files);
    write_trace(study.run("lars-1"));
    CHECK(unexplained([&] { study.report(); }, {"trust-1.csv", "not of the earlier report"}) == "nothing");
    CHECK(contents_in(study.files) == before);
  }
  SECTION("those of earlier versions, which have no list, by their names") {
    fs::remove(study.files / "lamina-report.txt");
    study.report("", {.title = "Second"});
    CHECK(contains(read_file(study.page), "<h1>Second</h1>"));
    CHECK(read_file(study.files / "my.csv") == "mine");
  }
  SECTION("also in a folder that is elsewhere") {
    fs::rename(study.files, study.folder / "elsewhere");
    fs::create_directory_symlink(study.folder / "elsewhere", study.files);
    study.report("", {.title = "Second"});
    CHECK(fs::is_symlink(study.files));
    CHECK(read_file(study.folder / "elsewhere" / "my.csv") == "mine");
  }
}

}  // namespace lamina::tests
