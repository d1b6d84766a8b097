// Run directories of a Trainer: which runs go on in them, and what stands in the way.
#include <stdexcept>

#include "catch.h"
#include "data/view_recipes.h"
#include "message_of.h"
#include "tiny_training.h"
#include "train/trace.h"

namespace lamina::tests {
namespace {

namespace fs = std::filesystem;

struct DirectoryCase {
  TinyOptions parts = {};
  TrainerOptions trainer = {};
};

// Trains in `directory`, or says why not.
std::string refusal(const fs::path& directory, DirectoryCase of = {}) {
  return message_of([&] {
    TinyParts parts(of.parts);
    of.trainer.directory = directory;
    Trainer(parts.objective, *parts.optimizer, parts.loader, of.trainer).run();
  });
}

bool mentions(const std::string& message, const std::string& part) {
  INFO(message);
  CHECK(message.find(part) != std::string::npos);
  return message.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a run of another recipe is refused with the differences, and stays as it is") {
  const Directory directory;
  const fs::path run = directory.file("run");
  REQUIRE(refusal(run) == "(no error)");
  const auto before = results_in(run);
  const auto refused = [&](const DirectoryCase& other, const std::string& difference) {
    const std::string message = refusal(run, other);
    return mentions(message, run.string()) && mentions(message, "another recipe") &&
           mentions(message, difference);
  };
  TinyOptions options;
  CHECK(refused({.parts = {.lr = 0.25}}, "lr=0.25"));
  CHECK(refused({.parts = {.lr = 0.25}}, "schedule: \"lr 0.25\" here, \"lr 0.5\" there"));
  CHECK(refused({.parts = {.optimizer = "sgd"}}, "optimizer: \"sgd\" here, \"lars\" there"));
  CHECK(refused({.parts = {.label_smoothing = 0.1}}, "objective: "));
  const auto refused_loader = [&](const auto& change, const char* difference) {
    TinyOptions changed;
    change(changed.loader);
    return refused({.parts = changed}, difference);
  };
  CHECK(refused_loader([](auto& o) { o.batch = 12; }, "batch: 12 here, 24 there"));
  CHECK(refused_loader([](auto& o) { o.micro_batch = 12; }, "micro_batch: 12 here, 0 there"));
  CHECK(refused_loader([](auto& o) { o.augment = data::none(); }, "augment: "));
  CHECK(
      refused_loader([](auto& o) { o.recipe = data::find_view_recipe("tvlars"); }, "augment: \"views: crop"));
  CHECK(refused_loader([](auto& o) { o.views = 2; }, "views: 2 here, 1 there"));
  CHECK(refused_loader([](auto& o) { o.shuffle = false; }, "shuffle: false here, true there"));
  CHECK(refused_loader([](auto& o) { o.augment.cutout = 3; }, "augment: \"pad 4, flip, cutout 3\" here"));
  CHECK(refused_loader([](auto& o) { o.transform = [](Tensor t) { return t; }; },
                       "transform: true here, false there"));
  CHECK(refused_loader([](auto& o) { o.drop_last = true; }, "drop_last: true here, false there"));
  const std::string several =
      refusal(run, {.parts = {.optimizer = "sgd", .label_smoothing = 0.1}, .trainer = {.epochs = 2}});
  CHECK((mentions(several, "optimizer: ") && mentions(several, "objective: ")));
  CHECK(results_in(run) == before);

  TinyOptions workers;  // changes no result
  workers.loader.workers = 2;
  CHECK(refusal(run, {.parts = workers, .trainer = {.test_every = 2, .checkpoint_steps = 1}}) ==
        "(no error)");
}

TEST_CASE("whether and how epochs are chosen belongs to the recipe") {
  const Directory directory;
  const data::HeldOut parted = data::hold_out(tiny_images().train, 24);
  const auto train = [&](TrainerOptions options, const data::Split& valid) {
    return message_of([&] {
      TinyParts parts;
      options.directory = directory.file("run");
      Trainer(parts.objective, *parts.optimizer, parts.loader, options).validate(valid).run();
    });
  };
  REQUIRE(train({.keep = Keep::best}, parted.held_out) == "(no error)");
  mentions(train({}, parted.held_out), "keep: \"last\" here, \"best\" there");
  mentions(train({.keep = Keep::best, .patience = 3}, parted.held_out), "patience: 3 here, 0 there");
  mentions(train({}, {}), "valid: 0 here, 24 there");
  CHECK(train({.keep = Keep::best}, parted.held_out) == "(no error)");
}

TEST_CASE("a folder of other files is no place for a run, an empty one is") {
  const Directory directory;
  const fs::path foreign = directory.file("foreign");
  fs::create_directories(foreign);
  put(foreign / "notes.txt", "mine");
  const std::string message = refusal(foreign);
  CHECK((mentions(message, foreign.string()) && mentions(message, "not a run directory")));
  CHECK(contents_of(foreign / "notes.txt") == "mine");
  CHECK(!fs::exists(foreign / "config.json"));
  put(directory.file("file"), "mine");
  mentions(refusal(directory.file("file")), "is a file");

  fs::create_directories(directory.file("empty"));
  CHECK(refusal(directory.file("empty")) == "(no error)");
  CHECK(refusal(directory.file("made") / "on" / "the way") == "(no error)");
}

TEST_CASE("two Trainers do not write into one directory") {
  const Directory directory;
  const fs::path run = directory.file("run");
  REQUIRE(refusal(directory.file("alone")) == "(no error)");
  {
    TinyParts parts;
    Trainer trainer(parts.objective, *parts.optimizer, parts.loader, {.directory = run});
    Look look;
    std::string at_start, later;
    look.on_start = [&](const TrainingRun&) { at_start = refusal(run); };
    look.on_step = [&](TrainedStep&) { later = refusal(run); };
    trainer.observe(look).run();
    for (const std::string& message : {at_start, later})
      CHECK((mentions(message, run.string()) && mentions(message, "is training in it")));
    CHECK(refusal(run) == "(no error)");  // the lock goes when the run ends
  }
  CHECK(differing(directory.file("alone"), run).empty());
}

TEST_CASE("a run that never started leaves nothing behind") {
  const Directory directory;
  const fs::path run = directory.file("run");
  TinyParts parts;
  Look look;
  look.on_start = [](const TrainingRun&) { throw std::runtime_error("no paper left"); };
  {
    Trainer trainer(parts.objective, *parts.optimizer, parts.loader, {.directory = run});
    CHECK(unexplained([&] { trainer.observe(look).run(); }, {"observer look", "no paper left"}) == "nothing");
    CHECK(!fs::exists(run));
  }
  fs::create_directories(run);  // what others put there stays
  look.on_start = [&](const TrainingRun&) {
    put(run / "notes.txt", "mine");
    throw std::runtime_error("no paper left");
  };
  Trainer trainer(parts.objective, *parts.optimizer, parts.loader, {.directory = run});
  CHECK_THROWS_AS(trainer.observe(look).run(), Error);
  CHECK(fs::exists(run / "notes.txt"));
  CHECK(!fs::exists(run / "config.json"));
}

TEST_CASE("a damaged checkpoint falls back to the one before it") {
  const Directory directory;
  const fs::path whole = directory.file("whole"), run = directory.file("run");
  const DirectoryCase two_epochs{.trainer = {.epochs = 2}};
  REQUIRE(refusal(whole, two_epochs) == "(no error)");
  REQUIRE(refusal(run, two_epochs) == "(no error)");
  fs::resize_file(run / "checkpoint-6.safetensors", 1000);
  put(run / "weights.safetensors", "");
  CHECK(refusal(run, two_epochs) == "(no error)");
  CHECK(differing(whole, run).empty());

  put(run / "checkpoint-3.safetensors", "");
  put(run / "checkpoint-6.safetensors", "");
  mentions(refusal(run, two_epochs), "none of its 2 checkpoints can be read");
}

TEST_CASE("options out of range are refused before anything is written") {
  const Directory directory;
  const fs::path run = directory.file("run");
  const auto refused = [&](const TrainerOptions& options, const std::string& start) {
    const std::string message = refusal(run, {.trainer = options});
    return mentions(message, "trainer: " + start) && mentions(message, "expected");
  };
  CHECK(refused({.epochs = 0}, "epochs 0"));
  CHECK(refused({.patience = -1}, "patience -1"));
  CHECK(refused({.test_every = -2}, "test_every -2"));
  CHECK(refused({.checkpoint_every = -1}, "checkpoint_every -1"));
  CHECK(refused({.checkpoint_steps = -1}, "checkpoint_steps -1"));
  CHECK(refused({.test_batch = -1}, "test_batch -1"));
  CHECK(refused({.test_workers = -1}, "test_workers -1"));
  CHECK(refused({.config = "{"}, "config"));
  CHECK(refused({.config = R"({"options": 3})"}, "config"));
  CHECK(!fs::exists(run));
  CHECK(refusal(run, {.trainer = {.config = R"({"options": {"note": 3}})"}}) == "(no error)");
  mentions(refusal(run, {.trainer = {.config = R"({"options": {"note": 4}})"}}), "note: 4 here, 3 there");
}

}  // namespace lamina::tests
