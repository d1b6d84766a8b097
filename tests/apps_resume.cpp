// However a run is stopped, --resume takes it to the same bytes.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <random>

#include "catch.h"
#include "program.h"

namespace lamina::tests {
namespace {

const Arguments every_step{"--checkpoint-steps", "1", "--trace"};

std::vector<fs::path> checkpoints(const fs::path& run) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(run)) {
    if (entry.path().filename().string().starts_with("checkpoint-")) found.push_back(entry.path());
  }
  const auto step = [](const fs::path& path) { return std::stoi(path.filename().string().substr(11)); };
  std::sort(found.begin(), found.end(), [&](const auto& a, const auto& b) { return step(a) > step(b); });
  return found;
}

void check_same_run(const fs::path& a, const fs::path& b) {
  CHECK(read_file(a / "weights.safetensors") == read_file(b / "weights.safetensors"));
  CHECK(read_file(a / "trace.safetensors") == read_file(b / "trace.safetensors"));
  CHECK(steps_of(a) == steps_of(b));
  CHECK(epochs_of(a) == epochs_of(b));
}

// Starts a run and stops it by a signal once it has written a checkpoint.
Outcome start_and_stop(const fs::path& out, int epochs, int signal) {
  Program program(tiny_training(out, epochs) + every_step);
  REQUIRE(wait_until([&] { return fs::exists(out) && !checkpoints(out).empty(); }));
  program.kill(signal);
  return program.wait();
}

void finish(const fs::path& out) {
  const Outcome outcome = run({"train", "--resume", "--progress", "plain", "--out", out.string()});
  INFO(outcome.err);
  REQUIRE(outcome.status == 0);
}

}  // namespace

TEST_CASE("a run killed at random moments ends in the same bytes") {
  const TemporaryFolder folder;
  const fs::path whole = folder / "whole", broken = folder / "broken";
  const auto start = std::chrono::steady_clock::now();
  REQUIRE(run(tiny_training(whole, 4) + every_step).status == 0);
  const std::chrono::duration<double> duration = std::chrono::steady_clock::now() - start;

  std::mt19937 random(1);  // NOLINT: the same moments in every run of the test, as far as the machine allows
  int kills = 0;
  for (;; ++kills) {
    REQUIRE(kills < 200);
    Program program(tiny_training(broken, 4) + every_step + Arguments{"--resume"});
    if (kills == 0) {  // so that there is one, however fast the machine has become since `whole`
      REQUIRE(wait_until([&] { return fs::exists(broken) && !checkpoints(broken).empty(); }));
    } else {
      std::this_thread::sleep_for(duration * std::uniform_real_distribution(0.05, 0.6)(random));
    }
    program.kill(SIGKILL);
    const Outcome outcome = program.wait();
    INFO(outcome.err);
    REQUIRE((outcome.status == 0 || outcome.status == 128 + SIGKILL));
    if (outcome.status == 0) break;
  }
  CHECK(kills > 0);
  check_same_run(whole, broken);
}

TEST_CASE("Ctrl-C and the signals of batch systems save the run and say how to go on") {
  const TemporaryFolder folder;
  const fs::path whole = folder / "whole";
  REQUIRE(run(tiny_training(whole, 8) + every_step).status == 0);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGXCPU}) {
    const fs::path stopped = folder / std::to_string(signal);
    const Outcome outcome = start_and_stop(stopped, 8, signal);
    INFO(outcome.err);
    CHECK(outcome.status == 128 + signal);
    CHECK(outcome.err.find("lamina train --resume --out " + stopped.string()) != std::string::npos);
    CHECK(!fs::exists(stopped / "weights.safetensors"));
    finish(stopped);
    check_same_run(whole, stopped);
  }
}

TEST_CASE("how to go on is said for a shell, with the epochs that a longer run is to have") {
  const TemporaryFolder folder;
  const fs::path out = folder / "it's mine";
  REQUIRE(run(tiny_training(out, 1)).status == 0);
  Program program({"train", "--resume", "--out", out.string(), "--epochs", "2000"});
  REQUIRE(wait_until([&] { return epochs_of(out).find("\n3,") != std::string::npos; }));
  program.kill(SIGINT);
  const Outcome outcome = program.wait();
  INFO(outcome.err);
  const std::string quoted = "'" + (folder / "it").string() + "'\\''s mine'";
  CHECK(outcome.err.find("  lamina train --resume --out " + quoted + " --epochs 2000\n") !=
        std::string::npos);
}

TEST_CASE("Ctrl-C stops within an epoch, and saves the step it has come to") {
  const TemporaryFolder folder;
  const fs::path whole = folder / "whole", stopped = folder / "stopped";
  const Arguments options{"--batch", "2", "--trace"};  // 100 steps, half a second
  REQUIRE(run(tiny_training(whole, 1) + options).status == 0);
  const auto steps = [&] {
    const std::string rows = read_file(stopped / "steps.csv");
    return std::count(rows.begin(), rows.end(), '\n') - 1;  // but for the heading
  };
  {
    Program program(tiny_training(stopped, 1) + options);
    REQUIRE(wait_until([&] { return fs::exists(stopped / "epochs.csv"); }));
    std::this_thread::sleep_for(std::chrono::milliseconds(20));  // a few steps
    program.kill(SIGINT);
    REQUIRE(program.wait().status == 130);
  }
  CHECK(steps() < 100);
  REQUIRE(checkpoints(stopped).size() == 1);
  CHECK(checkpoints(stopped)[0].filename() == fmt::format("checkpoint-{}.safetensors", steps()));
  finish(stopped);
  check_same_run(whole, stopped);
}

TEST_CASE("a damaged newest checkpoint falls back to the one before") {
  const TemporaryFolder folder;
  const fs::path whole = folder / "whole", stopped = folder / "stopped";
  REQUIRE(run(tiny_training(whole, 6) + every_step).status == 0);
  {
    Program program(tiny_training(stopped, 6) + every_step);
    REQUIRE(wait_until([&] { return fs::exists(stopped) && checkpoints(stopped).size() >= 2; }));
    program.kill(SIGINT);
    REQUIRE(program.wait().status == 130);
  }
  const std::vector<fs::path> files = checkpoints(stopped);
  REQUIRE(files.size() == 2);
  fs::resize_file(files[0], fs::file_size(files[0]) / 2);

  SECTION("which gives the same bytes") {
    const Outcome outcome = run({"train", "--resume", "--out", stopped.string()});
    REQUIRE(outcome.status == 0);
    CHECK(outcome.err.find(files[0].filename().string()) != std::string::npos);
    CHECK(outcome.err.find("falling back") != std::string::npos);
    check_same_run(whole, stopped);
  }
  SECTION("and without one the run does not start over by itself") {
    std::ofstream(files[1]) << "not a checkpoint";
    const Outcome outcome = run({"train", "--resume", "--out", stopped.string()});
    CHECK(outcome.status == 1);
    CHECK(outcome.err.find("none of its 2 checkpoints can be read") != std::string::npos);
  }
}

TEST_CASE("a resumed run keeps its options") {
  const TemporaryFolder folder;
  const fs::path out = folder / "run";
  REQUIRE(start_and_stop(out, 50, SIGINT).status == 130);

  SECTION("those that would change it are refused by name") {
    const Outcome outcome = run({"train", "--resume", "--out", out.string(), "--batch", "64", "--model",
                                 "resnet14", "--threads", "1"});
    CHECK(outcome.status == 2);
    CHECK(outcome.err.find("--batch: 64 here, 32 there") != std::string::npos);
    CHECK(outcome.err.find("--model: \"resnet14\" here, \"resnet8\" there") != std::string::npos);
    CHECK(outcome.err.find("--threads") == std::string::npos);
  }
  SECTION("a checkpoint of another run is refused") {
    const fs::path other = folder / "other";
    REQUIRE(run(tiny_training(other, 1) + Arguments{"--model", "resnet14"}).status == 0);
    fs::copy_file(checkpoints(other)[0], out / "checkpoint-99999.safetensors");
    const Outcome outcome = run({"train", "--resume", "--out", out.string()});
    CHECK(outcome.status == 1);
    CHECK(outcome.err.find("a checkpoint of another run") != std::string::npos);
    CHECK(outcome.err.find("--model") != std::string::npos);
  }
  SECTION("and a foreign file is not a checkpoint") {
    const fs::path other = folder / "other";
    REQUIRE(run(tiny_training(other, 1)).status == 0);
    for (const fs::path& file : checkpoints(out)) fs::remove(file);
    fs::copy_file(other / "weights.safetensors", out / "checkpoint-99999.safetensors");
    const Outcome outcome = run({"train", "--resume", "--out", out.string()});
    CHECK(outcome.status == 1);
    CHECK(outcome.err.find("not a checkpoint") != std::string::npos);
  }
}

TEST_CASE("a run of a version without some of the options goes on, with their defaults") {
  const TemporaryFolder folder;
  const fs::path whole = folder / "whole", out = folder / "run";
  REQUIRE(run(tiny_training(whole, 8) + every_step).status == 0);
  REQUIRE(start_and_stop(out, 8, SIGINT).status == 130);
  auto config = nlohmann::json::parse(read_file(out / "config.json"));
  for (const char* newer : {"tf32", "deterministic", "memory_limit", "noise_scale", "cutout", "mixup", "sam",
                            "sam_adaptive", "sam_m"})
    REQUIRE(config["options"].erase(newer) == 1);
  std::ofstream(out / "config.json") << config;

  const Outcome refused = run({"train", "--resume", "--no-deterministic", "--out", out.string()});
  CHECK(refused.status == 2);
  CHECK(refused.err.find("--deterministic: false here, true there") != std::string::npos);
  finish(out);
  check_same_run(whole, out);
}

TEST_CASE("resuming what is finished or not yet begun") {
  const TemporaryFolder folder;
  const fs::path out = folder / "run";
  const Outcome fresh = run(tiny_training(out, 1) + Arguments{"--resume"});
  CHECK(fresh.status == 0);
  const std::string weights = read_file(out / "weights.safetensors"), steps = read_file(out / "steps.csv");
  const Outcome again = run({"train", "--resume", "--out", out.string()});
  CHECK(again.status == 0);
  CHECK(read_file(out / "weights.safetensors") == weights);
  CHECK(read_file(out / "steps.csv") == steps);
}

TEST_CASE("--resume names a run that is missing, before anything else") {
  const TemporaryFolder folder;
  const fs::path out = folder / "nope";
  const auto message = [&] { return run({"train", "--resume", "--out", out.string()}).err; };
  CHECK(message() == "lamina: run directory " + out.string() + " does not exist\n");
  CHECK(run({"eval", out.string()}).err.find(out.string() + ": there is no such file or run directory") !=
        std::string::npos);
  CHECK(run({"eval", out.string(), "--data", "synthetic"}).err.find("no such file or run directory") !=
        std::string::npos);
  CHECK(!fs::exists(out));
  fs::create_directories(out);
  CHECK(message() == "lamina: run directory " + out.string() + ": it is empty\n");
  std::ofstream(out / "notes.txt") << "mine";
  CHECK(message().find("it holds no config.json") != std::string::npos);
  CHECK(run({"train", "--resume", "--out", (out / "notes.txt").string()}).err.find("not a directory") !=
        std::string::npos);
}

TEST_CASE("one process at a time trains in a run directory") {
  const TemporaryFolder folder;
  const fs::path out = folder / "run";
  Program program(tiny_training(out, 1000) + every_step);
  REQUIRE(wait_until([&] { return fs::exists(out) && !checkpoints(out).empty(); }));
  const Outcome second = run({"train", "--resume", "--out", out.string()});
  CHECK(second.status == 1);
  CHECK(second.err.find("another process") != std::string::npos);
  program.kill(SIGKILL);
  CHECK(program.wait().status == 128 + SIGKILL);
}

TEST_CASE("a full disk stops the run and leaves the last checkpoint") {
  const TemporaryFolder folder;
  const fs::path out = folder / "run", whole = folder / "whole";
  REQUIRE(run(tiny_training(whole, 6) + every_step).status == 0);
  REQUIRE(start_and_stop(out, 6, SIGINT).status == 130);
  const fs::path newest = checkpoints(out)[0];
  const std::string before = read_file(newest);

  const Outcome outcome = run({"train", "--resume", "--out", out.string()}, {.largest_file = 100'000});
  CHECK(outcome.status == 1);
  CHECK(outcome.err.find("File too large") != std::string::npos);
  CHECK(read_file(newest) == before);
  for (const auto& entry : fs::directory_iterator(out)) CHECK(entry.path().extension() != ".tmp");

  finish(out);
  check_same_run(whole, out);
}

}  // namespace lamina::tests
