// What is printed: results that cannot be written are an error, progress that cannot be ends no run, and
// nothing of a name moves a terminal's cursor.
#include "apps/output.h"

#include <array>
#include <limits>

#include "apps/study_progress.h"
#include "catch.h"
#include "core/base/table.h"
#include "message_of.h"
#include "program.h"

namespace lamina::tests {
namespace {

const ProgramOptions full_output{.out = "/dev/full"};

}  // namespace

TEST_CASE("a result that cannot be written is an error") {
  for (const Arguments& command : std::vector<Arguments>{{"--version"},
                                                         {"--help"},
                                                         {"train", "--help"},
                                                         {"info"},
                                                         {"info", "--json"},
                                                         {"info", "--presets"}}) {
    const Outcome outcome = run(command, full_output);
    INFO(command.front());
    CHECK(outcome.status == 1);
    CHECK(outcome.err.find("standard output: not everything could be written: No space left") !=
          std::string::npos);
    CHECK(run(command, {.closed_streams = true}).status == 1);
    CHECK(run(command).status == 0);
  }
}

TEST_CASE("a run ends well and whole where its progress cannot be written") {
  const TemporaryFolder folder;
  const fs::path seen = folder / "seen", lost = folder / "lost", closed = folder / "closed";
  REQUIRE(run(tiny_training(seen)).status == 0);
  CHECK(run(tiny_training(lost), {.out = "/dev/full", .err = "/dev/full"}).status == 0);
  CHECK(run(tiny_training(closed), {.closed_streams = true}).status == 0);
  for (const fs::path& out : {lost, closed}) {
    CHECK(read_file(out / "weights.safetensors") == read_file(seen / "weights.safetensors"));
    CHECK(steps_of(out) == steps_of(seen));
    CHECK(epochs_of(out) == epochs_of(seen));
  }
}

TEST_CASE("a pipe whose reader has gone ends no run") {
  const TemporaryFolder folder;
  const fs::path out = folder / "run";
  std::array<int, 2> ends{};
  REQUIRE(pipe2(ends.data(), O_CLOEXEC) == 0);
  const std::string pipe = fmt::format("/proc/self/fd/{}", ends[1]);
  Program program(tiny_training(out, 20), {.out = pipe.c_str(), .err = pipe.c_str()});
  const bool trains = wait_until([&] { return fs::exists(out / "epochs.csv"); });
  for (const int end : ends) ::close(end);
  CHECK(trains);
  CHECK(program.wait().status == 0);
  CHECK(fs::exists(out / "weights.safetensors"));
}

TEST_CASE("control characters and bytes that are no text are shown, not obeyed") {
  CHECK(printable_lines("a\x1b[31mb\nc\xff\n") == "a\\x1b[31mb\nc\\xff\n");
  const Outcome unknown = run({"train", "--data", "\x1b]0;title\x07"});
  CHECK(unknown.status == 2);
  CHECK(unknown.err.find('\x1b') == std::string::npos);
  CHECK(unknown.err.find("\\x1b]0;title\\x07") != std::string::npos);
  const Outcome no_text = run({"train", "--data", "folder:a\xff"});
  CHECK(no_text.status == 2);
  CHECK(no_text.err.find("a\\xff: not UTF-8") != std::string::npos);
}

TEST_CASE("a NaN has no sign") {
  CHECK(decimals(-std::numeric_limits<double>::quiet_NaN(), 4) == "nan");
  CHECK(decimals(-0.5, 2) == "-0.50");
}

TEST_CASE("the time left of a study counts what was trained, whether or not it was shown") {
  app::StudyProgress study({600, 600, 300}, 1);
  CHECK(!study.seconds_left(1));
  study.start_run("short");
  for (int step = 1; step <= 10; ++step) study.update({.step = step, .steps = 10});
  CHECK(*study.seconds_left(20) == 30);  // 600 images took 20 s, 900 are left
  study.finish_run();
  study.start_run("resumed");
  study.update({.step = 6, .steps = 10, .first_step = 5});
  CHECK(*study.seconds_left(22) == 18);  // 660 images took 22 s, 240 and 300 are left
  study.update({.step = 10, .steps = 10, .first_step = 5});
  study.finish_run();
  study.start_run("last");
  CHECK(*study.seconds_left(30) == 10);
  CHECK(study.text().starts_with("[4/4] ETA "));
  study.finish_run();  // what is still evaluated has a line, too
  CHECK(*study.seconds_left(40) == 0);
  CHECK(study.text().starts_with("[4/4] ETA 0:00"));
}

}  // namespace lamina::tests
