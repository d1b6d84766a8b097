// Runs that cannot go on: a loss that is not finite, memory that does not suffice.
#include <limits>
#include <regex>

#include "catch.h"
#include "core/backend.h"
#include "core/base/csv.h"
#include "message_of.h"
#include "tiny_training.h"

namespace lamina::tests {
namespace {

// While alive, the CPU has so many bytes more than what is in use now.
class MemoryLimit {
 public:
  explicit MemoryLimit(std::size_t bytes) { allocator().set_limit(allocator().use().live_bytes + bytes); }
  ~MemoryLimit() { allocator().set_limit(std::numeric_limits<std::size_t>::max()); }
  MemoryLimit(const MemoryLimit&) = delete;
  MemoryLimit& operator=(const MemoryLimit&) = delete;

 private:
  static Allocator& allocator() { return backend_for(Device{}).allocator(); }
};

TinyOptions batches_of_64(std::int64_t micro_batch) {
  TinyOptions options;
  options.loader.batch = 64;
  options.loader.micro_batch = micro_batch;
  return options;
}

}  // namespace

TEST_CASE("a run that diverges names the step and the first op, and its logs are written") {
  const Directory directory;
  const std::filesystem::path run = directory.file("run");
  TinyParts parts({.optimizer = "sgd", .lr = 1e30});
  Trainer trainer(parts.objective, *parts.optimizer, parts.loader, {.directory = run});
  std::string message;
  try {
    trainer.run();
  } catch (const Diverged& error) {
    message = error.what();
  }
  CAPTURE(message);
  CHECK(message.find("training diverged in epoch 1, step 2: ") != std::string::npos);
  CHECK(message.find("first of all: conv2d in layer1.0.conv1: finite inputs gave") != std::string::npos);
  CHECK(message.find("there is no checkpoint yet") != std::string::npos);
  CHECK(message.find("try a lower lr (it was 1e+30 here), a longer warmup_epochs") != std::string::npos);
  CHECK(trainer.position().step == 1);
  CHECK(read_csv(run / "steps.csv", {"step"}) == std::vector<std::vector<double>>{{1}});
}

TEST_CASE("a run that diverges later names its last checkpoint") {
  const Directory directory;
  TinyParts parts({.optimizer = "sgd", .lr = 0.1});
  Trainer trainer(
      parts.objective, *parts.optimizer, parts.loader,
      {.epochs = 3, .directory = directory.file("run"), .checkpoint_every = 0, .checkpoint_steps = 2});
  Look look;
  look.on_step = [&](TrainedStep& step) {
    if (step.report.step == 4) parts.optimizer->set_lr(1e30);
  };
  trainer.observe(look);
  CHECK(unexplained([&] { trainer.run(); }, {"epoch 2, step 6", "checkpoint-4.safetensors"}) == "nothing");
  CHECK(read_csv(directory.file("run") / "steps.csv", {"step"}).size() == 5);
}

TEST_CASE("a loss of one's own that is not finite stops the run, with or without a directory") {
  PixelLinear net(1);
  OwnObjective objective(net, [&](const data::Part& part) {
    return part.mean(log(reshape(net(part.images()), {part.size()})));  // of negative numbers, too
  });
  Sgd optimizer(net.parameters());
  const data::Loader loader(tiny_images().train, {.batch = 24, .workers = 0, .seed = 3});
  Trainer trainer(objective, optimizer, loader);
  CHECK_THROWS_AS(trainer.run(), Diverged);
  CHECK(unexplained([&] { Trainer(objective, optimizer, loader).run(); },
                    {"step 1", "the loss is", "first of all: log", "not taken"}) == "nothing");
}

TEST_CASE("a batch too large for the memory is refused with the micro_batch that fits, and nothing is left") {
  const Directory directory;
  const std::filesystem::path run = directory.file("run");
  const auto train = [&](std::int64_t micro_batch, std::size_t bytes, bool whole = false) {
    TinyParts parts(batches_of_64(micro_batch));
    OwnObjective own(parts.net, [&](const data::Part& part) { return parts.objective.loss(part).loss; });
    own.whole = whole;
    Objective& objective = whole ? static_cast<Objective&>(own) : parts.objective;
    Trainer trainer(objective, *parts.optimizer, parts.loader, {.directory = run});
    const MemoryLimit limit(bytes);
    trainer.run();
  };
  constexpr std::size_t bytes = 3 << 20;
  std::string message;
  try {
    train(0, bytes);
  } catch (const OutOfMemory& error) {
    message = error.what();
  }
  CAPTURE(message);
  CHECK(message.starts_with("batch 64: out of memory: this needs about "));
  CHECK(message.find("--") == std::string::npos);
  std::smatch fits;
  REQUIRE(std::regex_search(message, fits, std::regex("micro_batch (\\d+) needs .* and fits")));
  CHECK(!std::filesystem::exists(run));

  const std::int64_t size = std::stoll(fits[1]);
  CHECK(size < 64);
  CHECK(64 % size == 0);
  CHECK(message_of([&] { train(size, bytes); }) == "(no error)");
  std::filesystem::remove_all(run);
  CHECK(unexplained([&] { train(2 * size, bytes / 2); }, {"micro_batch", "out of memory"}) == "nothing");
  CHECK(unexplained([&] { train(0, bytes, true); }, {"batch 64: out of memory", "; batch "}) == "nothing");
  CHECK(unexplained([&] { train(0, 100 << 10); }, {"not even two images"}) == "nothing");
  CHECK(!std::filesystem::exists(run));
}

TEST_CASE("a run that goes on is kept where memory does not suffice") {
  const Directory directory;
  const std::filesystem::path run = directory.file("run");
  TinyParts first(batches_of_64(0)), second(batches_of_64(0));
  {
    Trainer trainer(first.objective, *first.optimizer, first.loader, {.epochs = 2, .directory = run});
    Look look;
    look.on_step = [&](TrainedStep&) { trainer.stop(); };
    trainer.observe(look).run();
  }
  Trainer trainer(second.objective, *second.optimizer, second.loader, {.epochs = 2, .directory = run});
  const MemoryLimit limit(3 << 20);
  CHECK_THROWS_AS(trainer.run(), OutOfMemory);
  CHECK(std::filesystem::exists(run / "checkpoint-1.safetensors"));
}

}  // namespace lamina::tests
