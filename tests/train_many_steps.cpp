// What a long run must not do: grow.
#include <unistd.h>

#include <fstream>

#include "catch.h"
#include "tiny_training.h"
#include "train/run_directory.h"
#include "train/trace.h"

namespace lamina::tests {
namespace {

struct Held {
  std::int64_t bytes = 0, descriptors = 0;
};

Held held_now() {
  Held held;
  std::int64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages >> pages;  // of the whole, resident
  held.bytes = pages * sysconf(_SC_PAGESIZE);
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd"))
    held.descriptors += entry.path().empty() ? 0 : 1;
  return held;
}

}  // namespace

TEST_CASE("ten thousand steps take no more memory and descriptors than one thousand", "[slow]") {
  const Directory directory;
  PixelLinear net(4);
  Classification objective(net);
  Lars optimizer(net.parameters(), {.lr = 0.01});
  const data::Loader loader(tiny_images().train,
                            {.batch = 9, .augment = data::standard(), .workers = 1, .seed = 3});
  Trainer trainer(objective, optimizer, loader,
                  {.epochs = 1250,
                   .directory = directory.file("run"),
                   .test_every = 50,
                   .checkpoint_every = 0,
                   .checkpoint_steps = 100});
  Trace trace;
  Look look;
  Held early, late;
  look.on_step = [&](TrainedStep& step) {
    if (step.report.step == 1000) early = held_now();
    if (step.report.step == 10000) late = held_now();
  };
  REQUIRE(trainer.test(tiny_images().test).observe(trace).observe(look).run().finished);
  REQUIRE(trainer.position().step == 10000);
  CHECK(train::RunDirectory::open(directory.file("run")).checkpoint_steps().size() == 2);
  // The trace itself keeps 52 bytes a step; a leak of one small tensor in each step would be 10 MB.
  CHECK(late.bytes < early.bytes + (4 << 20));
  CHECK(late.descriptors <= early.descriptors);
}

}  // namespace lamina::tests
