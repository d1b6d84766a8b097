// Observers: when they are called, what they add to the logs, and what becomes of a run when one throws.
#include <cmath>
#include <stdexcept>

#include "catch.h"
#include "core/base/csv.h"
#include "core/files/safetensors.h"
#include "message_of.h"
#include "tiny_training.h"
#include "train/run_directory.h"
#include "train/trace.h"

namespace lamina::tests {
namespace {

using Calls = std::vector<std::string>;

// Writes down all calls; those of parts if wanted.
void record_calls(Look& look, Calls& calls, bool parts = false) {
  look.on_start = [&](const TrainingRun& run) {
    calls.push_back(fmt::format("start at {}{}{}", run.position.step, run.resumed ? " resumed" : "",
                                run.checkpoint.empty() ? "" : " from " + run.checkpoint.filename().string()));
  };
  if (parts) {
    look.on_part = [&](const data::Part& part) {
      calls.push_back(fmt::format("part of {} in {}", part.size(), part.batch_samples));
    };
  }
  look.on_step = [&](TrainedStep& step) { calls.push_back(fmt::format("step {}", step.report.step)); };
  look.on_testing = [&](std::int64_t samples, std::int64_t of) {
    calls.push_back(fmt::format("tested {} of {}", samples, of));
  };
  look.on_epoch = [&](const EpochResult& result) { calls.push_back(fmt::format("epoch {}", result.epoch)); };
  look.on_save = [&] { calls.emplace_back("save"); };
  look.on_finish = [&] { calls.emplace_back("finish"); };
}

// Two epochs of two batches in parts, with a trace and a test.
TrainingOutcome observed_run(const std::filesystem::path& directory, Observer* observer = nullptr,
                             std::int64_t epochs = 2) {
  TinyOptions options;
  options.loader.batch = 36;
  options.loader.micro_batch = 20;
  TinyParts parts(options);
  Trace trace;
  Trainer trainer(parts.objective, *parts.optimizer, parts.loader,
                  {.epochs = epochs, .directory = directory});
  if (observer != nullptr) trainer.observe(*observer);  // first: the trace comes after the one that fails
  return trainer.observe(trace).test(tiny_images().test).run();
}

// Throws at the third of the calls called `event`, or at the first where there are fewer.
void throw_at(Look& look, const std::string& event) {
  const auto count = std::make_shared<int>(0);
  const auto fail_third = [count] {
    if (++*count == 3) throw std::runtime_error("no paper left");
  };
  if (event == "part") look.on_part = [=](const data::Part&) { fail_third(); };
  if (event == "step") look.on_step = [=](TrainedStep&) { fail_third(); };
  if (event == "testing") look.on_testing = [=](std::int64_t, std::int64_t) { fail_third(); };
  if (event == "epoch") look.on_epoch = [](const EpochResult&) { throw std::runtime_error("no paper left"); };
  if (event == "save") look.on_save = [] { throw std::runtime_error("no paper left"); };
}

}  // namespace

TEST_CASE("observers hear how far a batch of parts has come, before its step") {
  TinyOptions options;
  options.loader.micro_batch = 10;
  TinyParts parts(options);
  Look look;
  std::string told;
  look.on_part_done = [&](std::int64_t samples, std::int64_t of) {
    told += fmt::format("{}/{} ", samples, of);
  };
  look.on_step = [&](TrainedStep& step) { told += fmt::format("step {} ", step.report.step); };
  CHECK(!look.wants_parts());
  Trainer(parts.objective, *parts.optimizer, parts.loader).observe(look).run();
  CHECK(told == "10/24 20/24 24/24 step 1 10/24 20/24 24/24 step 2 10/24 20/24 24/24 step 3 ");
}

TEST_CASE("observers are called in the order of what happens") {
  const Directory directory;
  Calls calls;
  Look look;
  record_calls(look, calls);
  observed_run(directory.file("run"), &look);
  CHECK(calls == Calls{"start at 0", "step 1", "step 2", "tested 20 of 40", "tested 40 of 40", "epoch 1",
                       "save", "step 3", "step 4", "tested 20 of 40", "tested 40 of 40", "epoch 2", "save",
                       "finish"});

  calls.clear();
  observed_run(directory.file("run"), &look);
  CHECK(calls == Calls{"start at 4 resumed from checkpoint-4.safetensors", "finish"});

  calls.clear();
  record_calls(look, calls, true);
  observed_run({}, &look, 1);  // in memory: nothing to save
  CHECK(calls == Calls{"start at 0", "part of 20 in 36", "part of 16 in 36", "step 1", "part of 20 in 36",
                       "part of 16 in 36", "step 2", "tested 20 of 40", "tested 40 of 40", "epoch 1",
                       "finish"});
}

TEST_CASE("an observer's parts come before the optimizer's step, with their gradients added") {
  TinyOptions options;
  options.loader.micro_batch = 12;
  TinyParts parts(options);
  std::vector<std::string> weights;
  std::vector<bool> grown;
  std::vector<float> before(static_cast<std::size_t>(parts.optimizer->arena().elements()), 0);
  Look look;
  look.on_part = [&](const data::Part&) {
    std::vector<float> now = parts.optimizer->arena().grads().to_vector<float>();
    grown.push_back(now != before);
    before = std::move(now);
    const Tensor values = parts.optimizer->arena().values();
    weights.emplace_back(reinterpret_cast<const char*>(values.raw()), values.bytes());
  };
  Trainer(parts.objective, *parts.optimizer, parts.loader).observe(look).run();
  REQUIRE(weights.size() == 6);
  CHECK(grown == std::vector<bool>(6, true));
  CHECK(weights[0] == weights[1]);
  CHECK(weights[1] != weights[2]);
}

TEST_CASE("observers add columns to steps.csv, and an empty cell where they measured nothing") {
  const Directory directory;
  Look first, second;
  first.names = {"double", "half"};
  first.on_step = [](TrainedStep& step) {
    const auto number = static_cast<double>(step.report.step);
    step.measured.insert(step.measured.end(), {2 * number, number == 2 ? no_measurement : number / 2});
  };
  second.names = {"first_sum"};
  second.on_step = [](TrainedStep& step) { step.measured.push_back(step.measured.at(0) + 1); };
  TinyParts parts;
  Trainer trainer(parts.objective, *parts.optimizer, parts.loader, {.directory = directory.file("run")});
  trainer.observe(first).observe(second).run();
  const std::filesystem::path csv = directory.file("run") / "steps.csv";
  CHECK(contents_of(csv).starts_with(
      "step,epoch,lr,phi,loss,accuracy,seconds,images_per_s,double,half,first_sum\n"));
  const auto rows = read_csv(csv, {"double", "half", "first_sum"});
  REQUIRE(rows.size() == 3);
  CHECK(rows[0] == std::vector<double>{2, 0.5, 3});
  CHECK(std::isnan(rows[1][1]));
  CHECK(rows[2] == std::vector<double>{6, 1.5, 7});
}

TEST_CASE("an observer that throws ends the run, which is saved and can go on without it") {
  const Directory directory;
  const std::filesystem::path whole = directory.file("whole");
  observed_run(whole);
  for (const std::string event : {"part", "step", "testing", "epoch"}) {
    CAPTURE(event);
    const std::filesystem::path run = directory.file(event.c_str());
    Look look;
    throw_at(look, event);
    CHECK(unexplained([&] { observed_run(run, &look); }, {"observer look", "no paper left", "saved"}) ==
          "nothing");
    const train::RunDirectory saved = train::RunDirectory::open(run);
    const std::vector<std::int64_t> checkpoints = saved.checkpoint_steps();
    REQUIRE(!checkpoints.empty());
    // The third part is in the second step; of a test the third call is in the second epoch.
    const std::int64_t expected = event == "testing" ? 4 : event == "step" ? 3 : 2;
    CHECK(checkpoints.front() == expected);
    CHECK(read_csv(run / "steps.csv", {"step"}).size() == static_cast<std::size_t>(expected));
    CHECK(read_tensors(run / "trace.safetensors").at("step").size(0) == expected);

    CHECK(observed_run(run).finished);
    CHECK(differing(whole, run).empty());
  }
}

TEST_CASE("no checkpoint is ahead of an observer that cannot save") {
  const Directory directory;
  const std::filesystem::path whole = directory.file("whole"), run = directory.file("run");
  observed_run(whole);
  Look look;
  int saves = 0;
  look.on_save = [&] {
    if (++saves == 2) throw std::runtime_error("no paper left");
  };
  CHECK(unexplained([&] { observed_run(run, &look); },
                    {"observer look", "no paper left", "saving failed after step 4", "checkpoint-2"}) ==
        "nothing");
  CHECK(train::RunDirectory::open(run).checkpoint_steps() == std::vector<std::int64_t>{2});
  CHECK(observed_run(run).finished);
  CHECK(differing(whole, run).empty());
}

TEST_CASE("an observer that throws when a run goes on leaves the run as it is") {
  const Directory directory;
  const std::filesystem::path whole = directory.file("whole"), run = directory.file("run");
  observed_run(whole);
  Look stopped, refusing;
  throw_at(stopped, "step");
  int saves = 0;
  stopped.on_save = [&] { ++saves; };
  CHECK_THROWS_AS(observed_run(run, &stopped), Error);
  CHECK(saves == 1);  // after the first epoch; once it has failed it is told nothing
  refusing.on_start = [](const TrainingRun&) { throw std::runtime_error("no paper left"); };
  CHECK(unexplained([&] { observed_run(run, &refusing); }, {"observer look", "no paper left"}) == "nothing");
  refusing.on_start = [](const TrainingRun&) { throw UsageError("no paper was bought"); };
  CHECK_THROWS_AS(observed_run(run, &refusing), UsageError);  // of options: passed on as it is
  CHECK(observed_run(run).finished);
  CHECK(differing(whole, run).empty());
}

TEST_CASE("an observer that throws after the end takes nothing from the run") {
  const Directory directory;
  const std::filesystem::path whole = directory.file("whole"), run = directory.file("run");
  observed_run(whole);
  Look look;
  look.on_finish = [] { throw std::runtime_error("no paper left"); };
  CHECK(unexplained([&] { observed_run(run, &look); }, {"observer look", "came to its end after step 4"}) ==
        "nothing");
  CHECK(differing(whole, run).empty());
}

TEST_CASE("steps.csv keeps whole rows when the observer of some of its columns throws") {
  const Directory directory;
  const std::filesystem::path run = directory.file("run");
  const auto train = [&](bool fails) {
    Look failing, sound;
    failing.names = {"a", "b"};
    failing.on_step = [fails](TrainedStep& step) {
      step.measured.push_back(1);
      if (fails && step.report.step == 2) throw std::runtime_error("no paper left");
      step.measured.push_back(2);
    };
    sound.names = {"c"};
    sound.on_step = [](TrainedStep& step) { step.measured.push_back(3); };
    TinyParts parts;
    Trainer trainer(parts.objective, *parts.optimizer, parts.loader, {.directory = run});
    trainer.observe(failing).observe(sound).run();
  };
  CHECK(unexplained([&] { train(true); },
                    {"observer look", "no paper left", "an observer of the same columns"}) == "nothing");
  train(false);
  const auto rows = read_csv(run / "steps.csv", {"step", "a", "b", "c"});
  REQUIRE(rows.size() == 3);
  CHECK(rows[0] == std::vector<double>{1, 1, 2, 3});
  CHECK(std::isnan(rows[1][2]));
  CHECK(rows[1][3] == 3);
  CHECK(rows[2] == std::vector<double>{3, 1, 2, 3});
}

TEST_CASE("an observer must measure as many values as it has columns") {
  Look look;
  look.names = {"a", "b"};
  look.on_step = [](TrainedStep& step) { step.measured.push_back(1); };
  CHECK(unexplained([&] { observed_run({}, &look); }, {"observer look", "1 after it", "2 columns"}) ==
        "nothing");
}

TEST_CASE("an observer that throws in a run without a directory is named too") {
  Look look;
  throw_at(look, "step");
  CHECK(unexplained([&] { observed_run({}, &look); }, {"observer look", "after step 3", "no directory"}) ==
        "nothing");
}

}  // namespace lamina::tests
