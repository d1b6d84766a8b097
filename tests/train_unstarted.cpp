// A run that fails or is stopped before its first step leaves the file system as it was.
#include <functional>
#include <stdexcept>

#include "catch.h"
#include "message_of.h"
#include "tiny_training.h"

namespace lamina::tests {
namespace {

namespace fs = std::filesystem;

struct Failure {
  const char* name;
  std::function<void(TinyParts&, Look&)> prepare = [](TinyParts&, Look&) {};
  std::function<void(TinyOptions&)> change = [](TinyOptions&) {};
};

Tensor fail_to_transform(const Tensor&) { throw std::runtime_error("out of ink"); }

const std::vector<Failure>& failures() {
  static const std::vector<Failure> all{
      {"an optimizer that has stepped", [](TinyParts& parts, Look&) { parts.optimizer->step(); }},
      {"an observer that does not start",
       [](TinyParts&, Look& look) { look.on_start = [](const TrainingRun&) { fail("no paper left"); }; }},
      {"a column that is there", [](TinyParts&, Look& look) { look.names = {"loss"}; }},
      {"images that cannot be made", [](TinyParts&, Look&) {},
       [](TinyOptions& options) { options.loader.transform = fail_to_transform; }},
      {"no memory",
       [](TinyParts&, Look& look) { look.on_start = [](const TrainingRun&) { throw std::bad_alloc(); }; }}};
  return all;
}

void fail_before_step(const Failure& failure, const fs::path& directory, std::int64_t epochs = 1) {
  CAPTURE(failure.name);
  TinyOptions options;
  failure.change(options);
  TinyParts parts(options);
  Look look;
  failure.prepare(parts, look);
  Trainer trainer(parts.objective, *parts.optimizer, parts.loader,
                  {.epochs = epochs, .directory = directory});
  CHECK_THROWS(trainer.observe(look).run());
}

std::string names_in(const fs::path& folder) {
  std::string names;
  for (const auto& entry : fs::directory_iterator(folder)) names += entry.path().filename().string() + " ";
  return names;
}

}  // namespace

TEST_CASE("what fails before the first step leaves no folder, nor those above it") {
  const Directory directory;
  for (const Failure& failure : failures()) {
    fail_before_step(failure, directory.file("new") / "folders" / "run");
    CHECK(!fs::exists(directory.file("new")));
  }
}

TEST_CASE("what fails before the first step leaves an empty folder empty, and those above it") {
  const Directory directory;
  fs::create_directories(directory.file("old") / "empty");
  for (const Failure& failure : failures()) {
    fail_before_step(failure, directory.file("old") / "empty");
    CHECK(names_in(directory.file("old") / "empty").empty());
    fail_before_step(failure, directory.file("old") / "new" / "run");
    CHECK(names_in(directory.file("old")) == "empty ");
  }
}

TEST_CASE("what fails before the first step leaves a run that is there as it was") {
  const Directory directory;
  const fs::path run = directory.file("run"), whole = directory.file("whole");
  const auto train = [](const fs::path& to, std::int64_t stop_after) {
    TinyParts parts;
    Look look;
    Trainer trainer(parts.objective, *parts.optimizer, parts.loader, {.epochs = 2, .directory = to});
    look.on_step = [&](TrainedStep& step) {
      if (step.report.step == stop_after) trainer.stop();
    };
    return trainer.observe(look).run().finished;
  };
  REQUIRE(train(whole, 0));
  REQUIRE(!train(run, 4));
  const std::string config = contents_of(run / "config.json");
  const std::string checkpoint = contents_of(run / "checkpoint-4.safetensors");
  for (const Failure& failure : failures()) {
    fail_before_step(failure, run, 2);
    CHECK(contents_of(run / "config.json") == config);
    CHECK(contents_of(run / "checkpoint-4.safetensors") == checkpoint);
  }
  CHECK(train(run, 0));
  CHECK(differing(whole, run).empty());
}

TEST_CASE("a run that is stopped before its first step leaves nothing") {
  const Directory directory;
  const fs::path run = directory.file("new") / "run";
  TinyParts parts;
  Look look;
  Trainer trainer(parts.objective, *parts.optimizer, parts.loader, {.directory = run});
  look.on_start = [&](const TrainingRun&) { trainer.stop(); };
  const TrainingOutcome outcome = trainer.observe(look).run();
  CHECK(!outcome.finished);
  CHECK(outcome.position.step == 0);
  CHECK(!fs::exists(directory.file("new")));
}

TEST_CASE("a folder that cannot be made leaves none of those above it") {
  const Directory directory;
  TinyParts parts;
  const auto message_for = [&](const fs::path& run) {
    return message_of(
        [&] { Trainer(parts.objective, *parts.optimizer, parts.loader, {.directory = run}).run(); });
  };
  const std::string too_long(300, 'x');
  CHECK(message_for(directory.file("new") / "folders" / too_long).find("cannot be made") !=
        std::string::npos);
  CHECK(!fs::exists(directory.file("new")));
  put(directory.file("file"), "mine");
  CHECK(message_for(directory.file("file") / "run").find("run directory ") != std::string::npos);
  CHECK(contents_of(directory.file("file")) == "mine");
}

}  // namespace lamina::tests
