// --resume with more --epochs, and what is left of runs that never started.
#include <nlohmann/json.hpp>

#include "catch.h"
#include "program.h"

namespace lamina::tests {
namespace {

bool says_all_of(const Outcome& outcome, const std::string& part) {
  INFO(outcome.err);
  CHECK(outcome.err.find(part) != std::string::npos);
  return outcome.err.find(part) != std::string::npos;
}

Outcome resume(const fs::path& out, const Arguments& options = {}) {
  return run(Arguments{"train", "--resume", "--out", out.string()} + options);
}

}  // namespace

TEST_CASE("a finished or stopped run is trained longer, to the bytes of one that was that long") {
  const TemporaryFolder folder;
  const fs::path whole = folder / "whole";
  const Arguments options{"--schedule", "constant", "--valid", "0.2",    "--keep",
                          "best",       "--ema",    "0.9",     "--trace"};
  REQUIRE(run(tiny_training(whole, 4) + options).status == 0);
  const auto check_same_as_whole = [&](const fs::path& longer) {
    for (const char* file :
         {"weights.safetensors", "best.safetensors", "trace.safetensors", "evaluation.json"})
      CHECK(read_file(longer / file) == read_file(whole / file));
    CHECK(steps_of(longer) == steps_of(whole));
    CHECK(epochs_of(longer) == epochs_of(whole));
    const auto config = nlohmann::json::parse(read_file(longer / "config.json"));
    CHECK(config["options"]["epochs"] == 4);
    CHECK(config["command"].get<std::string>().find("--epochs 4") != std::string::npos);
  };
  const fs::path finished = folder / "finished", stopped = folder / "stopped";
  REQUIRE(run(tiny_training(finished, 2) + options).status == 0);
  REQUIRE(resume(finished, {"--epochs", "4"}).status == 0);
  check_same_as_whole(finished);
  CHECK(resume(finished, {"--epochs", "4"}).status == 0);
  check_same_as_whole(finished);
  {
    Program program(tiny_training(stopped, 2) + options + Arguments{"--checkpoint-steps", "1"});
    REQUIRE(wait_until([&] { return fs::exists(stopped / "checkpoint-1.safetensors"); }));
    program.kill(SIGUSR1);
    program.wait();
  }
  REQUIRE(resume(stopped, {"--epochs", "4"}).status == 0);
  check_same_as_whole(stopped);
}

TEST_CASE("a run whose learning rates depend on its length is not trained longer, nor any shorter") {
  const TemporaryFolder folder;
  for (const char* schedule : {"cosine", "poly", "step"}) {
    const fs::path out = folder / schedule;
    REQUIRE(run(tiny_training(out, 2) + Arguments{"--schedule", schedule}).status == 0);
    const std::string config = read_file(out / "config.json"),
                      weights = read_file(out / "weights.safetensors");
    const Outcome outcome = resume(out, {"--epochs", "4"});
    CHECK(outcome.status == 2);
    CHECK((says_all_of(outcome, "a run of --epochs 2, which cannot be trained for 4") &&
           says_all_of(outcome, schedule) && says_all_of(outcome, "--milestones") &&
           says_all_of(outcome, "--init-weights")));
    CHECK(says_all_of(resume(out, {"--epochs", "1"}), "longer, but not shorter (--epochs 1)"));
    CHECK(read_file(out / "config.json") == config);
    CHECK(read_file(out / "weights.safetensors") == weights);
  }
  const fs::path given = folder / "given";
  REQUIRE(run(tiny_training(given, 2) + Arguments{"--schedule", "step", "--milestones", "1"}).status == 0);
  CHECK(resume(given, {"--epochs", "4"}).status == 0);
}

TEST_CASE("a run that cannot start leaves no folder") {
  const TemporaryFolder folder;
  const fs::path out = folder / "new" / "folders" / "run";
  std::ofstream(folder / "file") << "mine";
  const std::string file = (folder / "file").string();
  const auto refused = [&](const Arguments& options, const std::string& part) {
    CAPTURE(options);
    const Outcome outcome = run(tiny_training(out, 1) + options);
    CHECK(outcome.status > 0);
    CHECK(says_all_of(outcome, part));
    CHECK(!fs::exists(folder / "new"));
  };
  refused({"--data", "folder:" + (folder / "nothing").string()}, "nothing");
  refused({"--epochs", "0"}, "--epochs 0");
  refused({"--optimizer", "nonesuch"}, "nonesuch");
  refused({"--init-weights", file}, "file");
  refused({"--memory-limit", "0.0001"}, "memory");
  refused({"--data", "synthetic:4x4x3x4", "--batch", "1"}, "at least 2 values");
  refused({"--data", "synthetic:4x4x3x4", "--batch", "9", "--micro-batch", "4"}, "ends in a part of one");
  refused({"--out", file + "/run"}, "run directory");
  CHECK(read_file(folder / "file") == "mine");
}

}  // namespace lamina::tests
