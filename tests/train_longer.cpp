// Runs that are trained for more epochs than they were started for.
#include <nlohmann/json.hpp>
#include <optional>

#include "catch.h"
#include "core/files/safetensors.h"
#include "message_of.h"
#include "optim/schedule.h"
#include "tiny_training.h"
#include "train/run_directory.h"
#include "train/trace.h"

namespace lamina::tests {
namespace {

namespace fs = std::filesystem;

struct LongerCase {
  TrainerOptions trainer = {};
  std::optional<ScheduleOptions> schedule = {};
  std::string optimizer = "lars";
  double lr = 0.5;
  bool validates = false;
  std::int64_t stop_after = 0;  // steps; 0: never
};

ScheduleOptions in_steps(double epochs, std::vector<double> milestones) {
  return {.kind = ScheduleOptions::Kind::step,
          .epochs = epochs,
          .steps_per_epoch = 3,
          .warmup_epochs = 0.5,
          .milestones = std::move(milestones)};
}

// With a trace and a test, into a directory.
TrainingOutcome trained_for(const fs::path& directory, std::int64_t epochs, LongerCase of = {}) {
  TinyParts parts({.optimizer = of.optimizer, .lr = of.lr});
  if (of.schedule) parts.optimizer->set_schedule(Schedule(*of.schedule));
  of.trainer.directory = directory;
  of.trainer.epochs = epochs;
  Trace trace;
  Look look;
  Trainer trainer(parts.objective, *parts.optimizer, parts.loader, of.trainer);
  look.on_step = [&](TrainedStep& step) {
    if (step.report.step == of.stop_after) trainer.stop();
  };
  if (of.validates) trainer.validate(data::hold_out(tiny_images().train, 24).held_out);
  return trainer.test(tiny_images().test).observe(trace).observe(look).run();
}

std::int64_t epochs_in_config(const fs::path& run) {
  return train::RunDirectory::open(run).read_config()["options"]["epochs"];
}

bool has_end(const fs::path& run) {
  return fs::exists(run / "weights.safetensors") || fs::exists(run / "evaluation.json");
}

}  // namespace

TEST_CASE("a finished run made longer ends in the bits of one that was that long from the start") {
  const auto check_longer = [](const LongerCase& of, const std::string& name) {
    CAPTURE(name);
    const Directory directory;
    const fs::path whole = directory.file("whole"), longer = directory.file("longer");
    REQUIRE(trained_for(whole, 4, of).finished);
    REQUIRE(trained_for(longer, 2, of).finished);
    CHECK(trained_for(longer, 4, of).finished);
    CHECK(differing(whole, longer).empty());
    CHECK(contents_of(whole / "evaluation.json") == contents_of(longer / "evaluation.json"));
    CHECK(epochs_in_config(longer) == 4);
    const TensorFile checkpoint = read_tensors(longer / "checkpoint-12.safetensors");
    CHECK(nlohmann::json::parse(checkpoint.metadata.at("config"))["options"]["epochs"] == 4);
    CHECK(trained_for(longer, 4, of).finished);  // which trains no more
    CHECK(differing(whole, longer).empty());
  };
  check_longer({}, "constant");
  check_longer({.trainer = {.ema = 0.9}}, "average");
  check_longer({.trainer = {.keep = Keep::best}, .validates = true}, "best");
  check_longer({.trainer = {.patience = 4}, .validates = true}, "patience");
  check_longer({.optimizer = "tvlars"}, "tvlars");
  check_longer({.trainer = {.checkpoint_every = 0}}, "no checkpoint before the end");
}

TEST_CASE("a schedule in steps at given epochs, with warm-up, lets a run become longer") {
  const Directory directory;
  const fs::path whole = directory.file("whole"), longer = directory.file("longer");
  REQUIRE(trained_for(whole, 4, {.schedule = in_steps(4, {1, 3})}).finished);
  REQUIRE(trained_for(longer, 2, {.schedule = in_steps(2, {1, 3})}).finished);
  CHECK(trained_for(longer, 4, {.schedule = in_steps(4, {1, 3})}).finished);
  CHECK(differing(whole, longer).empty());
}

TEST_CASE("a run is not made longer where that would change its past, nor shorter") {
  const Directory directory;
  const auto refused = [&](const LongerCase& first, std::int64_t epochs, const LongerCase& then,
                           std::initializer_list<const char*> what) {
    const fs::path run = directory.file("run");
    fs::remove_all(run);
    REQUIRE(trained_for(run, 2, first).position.step > 0);
    const auto before = results_in(run);
    const std::string config = contents_of(run / "config.json");
    CHECK_THROWS_AS(trained_for(run, epochs, then), UsageError);
    CHECK(unexplained([&] { trained_for(run, epochs, then); }, what) == "nothing");
    CHECK(results_in(run) == before);
    CHECK(contents_of(run / "config.json") == config);
  };
  const auto cosine = [](double epochs) {
    return LongerCase{.schedule = ScheduleOptions{
                          .kind = ScheduleOptions::Kind::cosine, .epochs = epochs, .steps_per_epoch = 3}};
  };
  refused(cosine(2), 4, cosine(4), {"cannot be trained for 4", "cosine", "6 steps", "12 steps", "others"});
  refused({.schedule = in_steps(2, {1, 1.5})}, 4, {.schedule = in_steps(4, {2, 3})},
          {"cannot be trained for 4", "at epochs 1, 1.5", "at epochs 2, 3"});
  refused({}, 1, {}, {"epochs 2", "longer, but not shorter (epochs 1)"});
  refused({.stop_after = 4}, 1, {}, {"longer, but not shorter"});
  // Of a schedule that was made for other epochs than the trainer's, the past stays as it was.
  CHECK(trained_for(directory.file("fixed"), 2, cosine(8)).finished);
  CHECK(trained_for(directory.file("fixed"), 4, cosine(8)).finished);
}

TEST_CASE("a run that ended out of patience is not made longer: it would have ended there") {
  const Directory directory;
  const LongerCase impatient{.trainer = {.patience = 1}, .lr = 1e-9, .validates = true};
  const TrainingOutcome outcome = trained_for(directory.file("run"), 8, impatient);
  REQUIRE(outcome.finished);
  REQUIRE(outcome.position.epoch < 8);
  CHECK(unexplained([&] { trained_for(directory.file("run"), 16, impatient); },
                    {"out of its patience of 1", "epochs 16"}) == "nothing");
  CHECK(has_end(directory.file("run")));
}

TEST_CASE("an earlier end is there until the longer run takes a step, and then no more") {
  const Directory directory;
  const fs::path whole = directory.file("whole"), run = directory.file("run");
  REQUIRE(trained_for(whole, 4).finished);
  REQUIRE(trained_for(run, 2).finished);
  const auto before = results_in(run);
  TinyParts parts;
  Look look;
  look.on_start = [](const TrainingRun&) { fail("no paper left"); };
  Trainer trainer(parts.objective, *parts.optimizer, parts.loader, {.epochs = 4, .directory = run});
  CHECK(unexplained([&] { trainer.observe(look).run(); }, {"no paper left"}) == "nothing");
  CHECK(results_in(run) == before);
  CHECK(epochs_in_config(run) == 2);

  CHECK(!trained_for(run, 4, {.trainer = {.checkpoint_every = 0}, .stop_after = 7}).finished);
  CHECK(!has_end(run));
  CHECK(epochs_in_config(run) == 4);
  CHECK(trained_for(run, 4).finished);
  CHECK(differing(whole, run).empty());
}

TEST_CASE("a longer run that is killed before its first checkpoint goes on from the earlier end") {
  const Directory directory;
  const fs::path whole = directory.file("whole"), run = directory.file("run"), kept = directory.file("kept");
  REQUIRE(trained_for(whole, 4).finished);
  REQUIRE(trained_for(run, 2).finished);
  fs::create_directories(kept);
  fs::copy_file(run / "checkpoint-6.safetensors", kept / "checkpoint-6.safetensors");
  CHECK(!trained_for(run, 4, {.trainer = {.checkpoint_every = 0}, .stop_after = 7}).finished);
  for (const auto step : train::RunDirectory::open(run).checkpoint_steps())
    fs::remove(train::RunDirectory::open(run).checkpoint(step));
  fs::copy_file(kept / "checkpoint-6.safetensors", run / "checkpoint-6.safetensors");  // as a kill leaves it
  CHECK(trained_for(run, 4).finished);
  CHECK(differing(whole, run).empty());
}

}  // namespace lamina::tests
