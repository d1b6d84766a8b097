// What lamina report reads and writes, and what goes wrong.
#include <cstdlib>

#include "message_of.h"
#include "reported_study.h"

namespace lamina::tests {
namespace {

// Another $PATH while it lives.
class PathVariable {
 public:
  explicit PathVariable(const std::string& value) {
    if (const char* before = std::getenv("PATH")) before_ = before;
    ::setenv("PATH", value.c_str(), 1);
  }
  ~PathVariable() { ::setenv("PATH", before_.c_str(), 1); }
  PathVariable(const PathVariable&) = delete;
  PathVariable& operator=(const PathVariable&) = delete;

 private:
  std::string before_;
};

void write_program(const fs::path& path, const std::string& script) {
  std::ofstream(path) << "#!/bin/sh\n" << script;
  fs::permissions(path, fs::perms::owner_all);
}

}  // namespace

TEST_CASE("a figure can be drawn anew, for a paper", "[report]") {
  if (gnuplot_is_missing()) return;
  const ReportedStudy study;
  write_trace(study.run("lars-1"));
  study.report();
  for (const std::string name : {"test-accuracy", "weight-norm-1"}) {
    for (const std::string ending : {"pdf", "png", "svg"}) {
      const std::string picture = "again." + ending;
      const std::string command = fmt::format("cd '{}' && gnuplot -e \"picture='{}'\" {}.gp 2>/dev/null",
                                              study.files.string(), picture, name);
      INFO(command);
      CHECK(std::system(command.c_str()) == 0);
      const std::string magic = ending == "pdf" ? "%PDF" : ending == "png" ? "\x89PNG" : "<?xml";
      CHECK(read_file(study.files / picture).starts_with(magic));
      fs::remove(study.files / picture);
    }
  }
}

TEST_CASE("a report replaces an earlier one but not what others put there", "[report]") {
  if (gnuplot_is_missing()) return;
  const ReportedStudy study;
  study.report();
  std::ofstream(study.files / "mine.pdf") << "mine";
  std::ofstream(study.files / "trust-9.svg") << "mine as well";
  study.report("", {.title = "Second"});
  CHECK(contains(read_file(study.page), "<h1>Second</h1>"));
  CHECK(read_file(study.files / "mine.pdf") == "mine");
  CHECK(read_file(study.files / "trust-9.svg") == "mine as well");

  SECTION("and nothing where the folder is not a report's") {
    fs::remove(study.files / "comparison.csv");
    fs::remove(study.files / "lamina-report.txt");
    CHECK(unexplained([&] { study.report(); }, {"out-files", "not the folder of an earlier report"}) ==
          "nothing");
    CHECK(fs::exists(study.files / "test-accuracy.svg"));
  }
}

TEST_CASE("runs without results make a report all the same", "[report]") {
  if (gnuplot_is_missing()) return;
  const TemporaryFolder folder;
  write_run(folder.path() / "run", tiny_options(), {});
  const fs::path page = folder.path() / "report.html";
  const auto report = [&] {
    compare::write_report({compare::read_run_result(folder.path() / "run")}, page);
    return read_file(page);
  };
  SECTION("without an epoch") { CHECK(contains(report(), "No run has finished an epoch")); }
  SECTION("with its configuration only") {
    fs::remove(folder.path() / "run" / "epochs.csv");
    fs::remove(folder.path() / "run" / "steps.csv");
    CHECK(contains(report(), "0 of 1, 1 unfinished"));
  }
  SECTION("with a damaged trace") {
    write_run(folder.path() / "run", tiny_options(), {{2.0, 0.5}});
    write_trace(folder.path() / "run");
    fs::resize_file(folder.path() / "run" / "trace.safetensors", 500);
    const std::string html = report();
    CHECK(contains(html, "No maps of"));
    CHECK(contains(html, "trace.safetensors"));
  }
  SECTION("without any run there is none") {
    CHECK(unexplained([&] { compare::write_report({}, page); }, {"no runs"}) == "nothing");
  }
}

TEST_CASE("a report that fails leaves the earlier one whole", "[report]") {
  if (gnuplot_is_missing()) return;
  const ReportedStudy study;
  const std::string earlier = study.report();
  const std::vector<std::string> names = study.names();
  fs::create_directory(study.folder.path() / "bin");
  const fs::path gnuplot = study.folder.path() / "bin" / "gnuplot";
  const auto check_failed = [&](const Outcome& outcome, const std::string& message) {
    INFO(outcome.err);
    CHECK(outcome.status == 1);
    CHECK(contains(outcome.err, message));
    CHECK(read_file(study.page) == earlier);
    CHECK(fs::exists(study.files / "test-accuracy.svg"));
    fs::remove_all(study.folder.path() / "bin");
    CHECK(study.names() == names);
  };
  SECTION("for want of gnuplot") {
    const PathVariable nothing((study.folder.path() / "bin").string());
    check_failed(study.command(), "install the package gnuplot-nox");
  }
  SECTION("because gnuplot fails, with what it says") {
    write_program(gnuplot, "echo its message >&2\nexit 3\n");
    const PathVariable only((study.folder.path() / "bin").string());
    check_failed(study.command(), "exit status 3:\nits message");
  }
  SECTION("because gnuplot draws nothing and says all is well") {
    write_program(gnuplot, "exit 0\n");
    const PathVariable only((study.folder.path() / "bin").string());
    check_failed(study.command(), "test-accuracy.svg unfinished");
  }
  SECTION("because gnuplot leaves out what it cannot read and says all is well") {
    write_program(gnuplot, "PATH=" + std::string(std::getenv("PATH")) +
                               "\necho '\"test-accuracy.gp\" line 30: warning: Cannot find or open file "
                               "\"test-accuracy.csv\"' >&2\nexec gnuplot \"$@\"\n");
    const PathVariable only((study.folder.path() / "bin").string());
    check_failed(study.command(),
                 "left out a part of a figure:\n\"test-accuracy.gp\" line 30: warning: Cannot");
  }
  SECTION("because of Ctrl-C") {
    write_program(gnuplot, "exec /bin/sleep 1\n");
    const PathVariable only((study.folder.path() / "bin").string());
    Program program({"report", (study.folder.path() / "runs").string(), "-o", study.page.string()});
    REQUIRE(wait_until([&] { return study.names().size() > names.size() + 1; }));  // bin and the new folder
    program.kill(SIGINT);
    check_failed(program.wait(), "report: interrupted");
  }
  SECTION("because the disk is full") {
    const Arguments arguments{"report", (study.folder.path() / "runs").string(), "-o", study.page.string()};
    check_failed(run(arguments, {.largest_file = 8000}), "free space");
  }
  SECTION("because a file of a run is there and cannot be read") {
    for (const char* name : {"evaluation.json", "trace.safetensors", "failure.txt"}) {
      fs::create_directory(study.run("lars-1") / name);
      const Outcome outcome = study.command();
      INFO(outcome.err);
      CHECK(outcome.status == 1);
      CHECK(contains(outcome.err, name));
      fs::remove(study.run("lars-1") / name);
    }
    fs::remove(study.run("lars-1") / "steps.csv");
    fs::create_directory(study.run("lars-1") / "steps.csv");
    check_failed(study.command(), "steps.csv");
  }
}

TEST_CASE("lamina report finds runs in folders and takes labels", "[report]") {
  if (gnuplot_is_missing()) return;
  const ReportedStudy study;
  const Outcome outcome = study.command({"--title", "From the command line"});
  INFO(outcome.err);
  CHECK(outcome.status == 0);
  CHECK(outcome.out == "wrote " + study.page.string() + "\n");
  CHECK(contains(read_file(study.page), "3 runs in all"));
  CHECK(contains(read_file(study.page), "From the command line"));
  CHECK(run({"report", "Mine=" + study.run("lars-1").string(), "-o", study.page.string()}).status == 0);
  CHECK(contains(read_file(study.page), "Test accuracy of <b>Mine</b>: 50.00 %."));
}

TEST_CASE("lamina report reads what lamina train writes", "[report]") {
  if (gnuplot_is_missing()) return;
  const TemporaryFolder folder;
  const fs::path out = folder / "run", page = folder / "report.html";
  REQUIRE(run(tiny_training(out, 1) + Arguments{"--trace"}).status == 0);
  const Outcome outcome = run({"report", out.string(), "-o", page.string()});
  INFO(outcome.err);
  REQUIRE(outcome.status == 0);
  CHECK(contains(read_file(page),
                 "resnet8 on synthetic:8x8x3x4 (200 training images), batch 32, 1 epoch, 1 seed."));
  const auto map = read_map(folder / "report-files" / "trust-1.csv");
  CHECK(map.size() == 1 + 8);  // the steps; seven convolutions and the classifier
  CHECK(map.at("fc").size() == 6);
  CHECK(map.at("layer").back() == "6");
}

TEST_CASE("lamina report names what is no run and what cannot be written", "[report]") {
  const ReportedStudy study;
  const std::string folder = study.folder.path().string();
  const auto check_error = [&](const Arguments& arguments, int status, const std::string& message) {
    const Outcome outcome = run(Arguments{"report"} + arguments);
    INFO(outcome.err);
    CHECK(outcome.status == status);
    CHECK(contains(outcome.err, message));
  };
  fs::create_directory(folder + "/empty");
  check_error({}, 2, "runs is required");
  check_error({folder + "/nowhere"}, 1, "nowhere: there is no such run");
  check_error({folder + "/runs/lars-1/steps.csv"}, 1, "steps.csv: a file; expected a run directory");
  check_error({folder + "/empty"}, 1, "empty: neither a run directory (no config.json) nor a folder");
  check_error({folder + "/runs", "-o", folder + "/empty"}, 1, "it is a folder; name a file");
  fs::create_directory(folder + "/deep");
  fs::create_symlink("loop", folder + "/deep/loop");
  check_error({folder}, 1, "/deep/loop: cannot be looked at: ");
  fs::remove(folder + "/deep/loop");
  check_error({folder + "/runs", "-o", folder + "/runs/lars-1/config.json/report.html"}, 1,
              "there is no such folder");
}

}  // namespace lamina::tests
