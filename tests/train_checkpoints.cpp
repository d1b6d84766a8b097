// Which checkpoints are kept, and which files of a run directory are the run's.
#include <signal.h>

#include <nlohmann/json.hpp>

#include "catch.h"
#include "core/base/atomic_file.h"
#include "core/files/safetensors.h"
#include "message_of.h"
#include "tiny_training.h"
#include "train/checkpoint.h"
#include "train/run_directory.h"
#include "train/trace.h"

namespace lamina::tests {
namespace {

namespace fs = std::filesystem;

struct SavedRun {
  std::int64_t epochs = 2, stop_after = 0, fail_in = 0;  // steps; 0: never
  bool traces = false;
  std::int64_t checkpoint_steps = 1, keep_checkpoints = 2;
};

TrainingOutcome save_often(const fs::path& directory, const SavedRun& of = {}) {
  TinyParts parts;
  Trace trace;
  Look look;
  Trainer trainer(parts.objective, *parts.optimizer, parts.loader,
                  {.epochs = of.epochs,
                   .directory = directory,
                   .checkpoint_every = 0,
                   .checkpoint_steps = of.checkpoint_steps,
                   .keep_checkpoints = of.keep_checkpoints});
  look.on_step = [&](TrainedStep& step) {
    if (step.report.step == of.stop_after) trainer.stop();
    if (step.report.step == of.fail_in) parts.net.parameter("conv1.weight").value.fill(1e38f);
  };
  if (of.traces) trainer.observe(trace);
  return trainer.test(tiny_images().test).observe(look).run();
}

using Steps = std::vector<std::int64_t>;

Steps checkpoints_in(const fs::path& run) { return train::RunDirectory::open(run).checkpoint_steps(); }

bool can_be_read(const fs::path& run, std::int64_t step) {
  return message_of([&] { train::read_checkpoint(train::RunDirectory::open(run).checkpoint(step)); }) ==
         "(no error)";
}

Steps traced_in(const fs::path& run) {
  const auto steps = read_tensors(run / "trace.safetensors").at("step").to_vector<std::int32_t>();
  return {steps.begin(), steps.end()};
}

}  // namespace

TEST_CASE("a damaged checkpoint is not one of the two that are kept, wherever it says it is") {
  for (const std::int64_t damaged : {2, 4, 5, 9}) {
    CAPTURE(damaged);
    const Directory directory;
    const fs::path whole = directory.file("whole"), run = directory.file("run");
    REQUIRE(save_often(whole).finished);
    REQUIRE(!save_often(run, {.stop_after = 4}).finished);
    REQUIRE(checkpoints_in(run) == Steps{4, 3});
    put(run / fmt::format("checkpoint-{}.safetensors", damaged), "torn");
    REQUIRE(!save_often(run, {.stop_after = 5}).finished);
    CHECK(checkpoints_in(run) == Steps{5, 4});
    for (const std::int64_t step : checkpoints_in(run)) CHECK(can_be_read(run, step));
    CHECK(save_often(run).finished);
    CHECK(checkpoints_in(run) == Steps{6, 5});
    CHECK(differing(whole, run).empty());
  }
}

TEST_CASE("as many checkpoints stay as are asked for, whether the run was stopped or not") {
  const Directory directory;
  const fs::path whole = directory.file("whole"), run = directory.file("run");
  REQUIRE(save_often(whole, {.keep_checkpoints = 4}).finished);
  CHECK(checkpoints_in(whole) == Steps{6, 5, 4, 3});
  REQUIRE(!save_often(run, {.stop_after = 4, .keep_checkpoints = 4}).finished);
  put(run / "checkpoint-5.safetensors", "torn");
  REQUIRE(save_often(run, {.keep_checkpoints = 4}).finished);
  CHECK(checkpoints_in(run) == Steps{6, 5, 4, 3});
  for (const std::int64_t step : checkpoints_in(run)) CHECK(can_be_read(run, step));
  CHECK(differing(whole, run).empty());
  CHECK(unexplained([&] { save_often(directory.file("other"), {.keep_checkpoints = 1}); },
                    {"keep_checkpoints 1", "at least 2"}) == "nothing");
}

TEST_CASE("the only whole checkpoint stays until there is another") {
  const Directory directory;
  const fs::path run = directory.file("run");
  REQUIRE(!save_often(run, {.stop_after = 4}).finished);
  put(run / "checkpoint-4.safetensors", "torn");
  CHECK_THROWS_AS(save_often(run, {.fail_in = 4, .checkpoint_steps = 6}), Diverged);
  CHECK(can_be_read(run, 3));
  REQUIRE(!save_often(run, {.stop_after = 4}).finished);
  CHECK(checkpoints_in(run) == Steps{4, 3});
  CHECK((can_be_read(run, 3) && can_be_read(run, 4)));
}

TEST_CASE("checkpoints that cannot be read may be removed to start over; an earlier end then goes") {
  const Directory directory;
  const fs::path whole = directory.file("whole"), run = directory.file("run");
  REQUIRE(save_often(whole).finished);
  REQUIRE(save_often(run).finished);
  for (const std::int64_t step : checkpoints_in(run))
    put(run / fmt::format("checkpoint-{}.safetensors", step), "torn");
  CHECK(unexplained([&] { save_often(run); }, {"none of its 2 checkpoints", "remove them to start over"}) ==
        "nothing");
  CHECK(fs::exists(run / "weights.safetensors"));
  for (const std::int64_t step : checkpoints_in(run))
    fs::remove(run / fmt::format("checkpoint-{}.safetensors", step));
  REQUIRE(!save_often(run, {.stop_after = 1}).finished);
  CHECK(!fs::exists(run / "weights.safetensors"));
  CHECK(!fs::exists(run / "evaluation.json"));
  CHECK(save_often(run).finished);
  CHECK(differing(whole, run).empty());
}

TEST_CASE("a trace that was removed begins where the run goes on, however often that is") {
  const Directory directory;
  const fs::path whole = directory.file("whole"), run = directory.file("run"), kept = directory.file("kept");
  REQUIRE(save_often(whole, {.traces = true}).finished);
  REQUIRE(!save_often(run, {.stop_after = 1, .traces = true}).finished);
  fs::copy_file(run / "trace.safetensors", kept);
  REQUIRE(!save_often(run, {.stop_after = 2, .traces = true}).finished);
  fs::copy_file(kept, run / "trace.safetensors", fs::copy_options::overwrite_existing);
  CHECK(unexplained([&] { save_often(run, {.traces = true}); },
                    {"ends at step 1, before the checkpoint's 2", "remove it to go on"}) == "nothing");
  fs::remove(run / "trace.safetensors");
  REQUIRE(!save_often(run, {.stop_after = 4, .traces = true}).finished);
  CHECK(traced_in(run) == Steps{3, 4});
  REQUIRE(!save_often(run, {.stop_after = 5, .traces = true}).finished);
  CHECK(traced_in(run) == Steps{3, 4, 5});
  CHECK(save_often(run, {.traces = true}).finished);
  CHECK(traced_in(run) == Steps{3, 4, 5, 6});
  CHECK(differing(whole, run) == " trace");
}

TEST_CASE("a signal after the last step, before the final evaluation, stops the run; it goes on to that") {
  const Directory directory;
  const fs::path whole = directory.file("whole"), run = directory.file("run");
  const auto train = [](const fs::path& path, bool is_stopped) {
    TinyParts parts;
    Trainer trainer(parts.objective, *parts.optimizer, parts.loader,
                    {.epochs = 2, .directory = path, .ema = 0.9});
    Look look;
    look.on_save = [&] {
      if (is_stopped && trainer.position().epoch == 2) ::raise(SIGUSR1);
    };
    return trainer.test(tiny_images().test).observe(look).run();
  };
  REQUIRE(train(whole, false).finished);
  const TrainingOutcome stopped = train(run, true);
  CHECK_FALSE(stopped.finished);
  CHECK(stopped.signal == SIGUSR1);
  CHECK_FALSE(fs::exists(run / "weights.safetensors"));
  CHECK_FALSE(fs::exists(run / "evaluation.json"));
  CHECK(train(run, false).finished);
  CHECK(differing(whole, run).empty());
  CHECK(contents_of(run / "evaluation.json") == contents_of(whole / "evaluation.json"));
}

TEST_CASE("numbers that no checkpoint can have are damage") {
  const Directory directory;
  const fs::path run = directory.file("run");
  REQUIRE(save_often(run).finished);
  const fs::path path = run / "checkpoint-6.safetensors";
  const TensorFile file = read_tensors(path);
  for (const char* name : {"step", "epoch", "batch"}) {
    for (const nlohmann::json& number : {nlohmann::json(1e30), nlohmann::json(-1), nlohmann::json(0.5)}) {
      TensorFile damaged = file;
      nlohmann::json position = nlohmann::json::parse(file.metadata.at("position"));
      position[name] = number;
      damaged.metadata["position"] = position.dump();
      write_tensors(path, damaged);
      CHECK(unexplained([&] { train::read_checkpoint(path); }, {"checkpoint-6", "damaged", "expected"}) ==
            "nothing");
    }
  }
}

TEST_CASE("an evaluation that was removed is written again, and a log that was moved away goes on") {
  const Directory directory;
  const fs::path whole = directory.file("whole"), run = directory.file("run");
  REQUIRE(save_often(whole).finished);
  REQUIRE(save_often(run).finished);
  fs::remove(run / "evaluation.json");
  REQUIRE(save_often(run).finished);
  CHECK(contents_of(run / "evaluation.json") == contents_of(whole / "evaluation.json"));
  put(run / "epochs.csv", "epoch,other\n1,2\n");
  CHECK(unexplained([&] { save_often(run, {.epochs = 3}); }, {"epochs.csv", "move it away"}) == "nothing");
  fs::rename(run / "epochs.csv", run / "old.csv");
  CHECK(save_often(run, {.epochs = 3}).finished);
}

TEST_CASE("only the run's own temporary files are removed") {
  const Directory directory;
  const fs::path run = directory.file("run");
  REQUIRE(!save_often(run, {.stop_after = 4}).finished);
  const std::vector<std::string> mine{"x.tmp",
                                      "notes.12-0.tmp",
                                      "weights.safetensors.tmp",
                                      "config.json.a-1.tmp",
                                      "config.json.1-.tmp",
                                      "checkpoint-04.safetensors",
                                      "checkpoint-5.txt"};
  const std::vector<std::string> left{"config.json.12-0.tmp", "checkpoint-5.safetensors.31-177.tmp",
                                      "trace.safetensors.1-1.tmp", "evaluation.json.1-2.tmp"};
  for (const std::string& name : mine) put(run / name, "mine");
  for (const std::string& name : left) put(run / name, "half");
  CHECK(save_often(run).finished);
  for (const std::string& name : mine) {
    CAPTURE(name);
    CHECK(contents_of(run / name) == "mine");
  }
  for (const std::string& name : left) CHECK(!fs::exists(run / name));

  CHECK(target_of_temporary("a.b.12-3.tmp") == "a.b");
  for (const char* name : {"a.tmp", "a.12-3", "a12-3.tmp", "a.12-.tmp", "a.-3.tmp", "12-3.tmp", ""})
    CHECK(target_of_temporary(name).empty());
}

}  // namespace lamina::tests
