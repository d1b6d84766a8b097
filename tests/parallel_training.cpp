// Of every rank, as parallel_collective.cpp: what ranks compute together is what one process computes alone.
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include "catch.h"
#include "core/ops/elementwise.h"
#include "core/parallel/collective.h"
#include "data/loader.h"
#include "data/sets/synthetic.h"
#include "layers/resnet.h"
#include "net_on_ranks.h"
#include "optim/optimizer.h"
#include "train/objectives/classification.h"
#include "train/step.h"
#include "train/trainer.h"

namespace lamina {
namespace {

namespace fs = std::filesystem;

using tests::alone, tests::largest_difference, tests::on_ranks, tests::whole;
using tests::batch, tests::images, tests::OnImages, tests::made, tests::MakeOptimizer, tests::Trained;

}  // namespace

TEST_CASE("ranks end in the weights of one process with the same parts, whatever the optimizer",
          "[parallel]") {
  const struct {
    const char* name;
    MakeOptimizer optimizer;
  } rows[] = {{"lars", made<Lars>(LarsOptions{.lr = 0.5})},
              {"lamb", made<Lamb>(LambOptions{.lr = 0.01})},
              {"tvlars", made<TvLars>(TvLarsOptions{
                             .lr = 0.5, .lambda = 0.1, .delay_epochs = 1, .steps_per_epoch = 3})},
              {"sgd", made<Sgd>(SgdOptions{.lr = 0.05, .momentum = 0.9})}};
  for (const auto& row : rows) {
    for (const char* model : {"resnet8", "resnet20"}) {
      INFO(row.name << ", " << model);
      const Trained together = on_ranks(model, DType::f64, row.optimizer),
                    one = alone(model, DType::f64, row.optimizer);
      CHECK(largest_difference(together.state, one.state) < 1e-12);
      CHECK(largest_difference(together.losses, one.losses) < 1e-12);
    }
  }
}

TEST_CASE("with the statistics of all ranks they end in the weights of the whole batch", "[parallel]") {
  const MakeOptimizer optimizer = made<Lars>(LarsOptions{.lr = 0.5});
  for (const char* model : {"resnet8", "resnet20"}) {
    INFO(model);
    const Trained together = on_ranks(model, DType::f64, optimizer, /*sync_batch_norm=*/true),
                  one = whole(model, DType::f64, optimizer);
    CHECK(largest_difference(together.state, one.state) < 1e-10);
    CHECK(largest_difference(together.losses, one.losses) < 1e-10);
  }
}

TEST_CASE("ranks have the same bits, in every run", "[parallel]") {
  const MakeOptimizer optimizer = made<Lars>(LarsOptions{.lr = 0.5});
  const Trained once = on_ranks("resnet8", DType::f32, optimizer),
                again = on_ranks("resnet8", DType::f32, optimizer);
  CHECK(once.state == again.state);
  const std::string_view bytes(reinterpret_cast<const char*>(once.state.data()),
                               once.state.size() * sizeof(double));
  for (const std::string& others : collective().gather(bytes)) CHECK(others == bytes);
  // Of f32 sums in another order, over nine steps.
  CHECK(largest_difference(once.state, alone("resnet8", DType::f32, optimizer).state) < 1e-4);
}

namespace {

// A run of the Trainer on all ranks, or alone with the same parts.
struct Run {
  explicit Run(Collective* ranks, fs::path directory, std::int64_t epochs = 3)
      : net("resnet8", DType::f64), objective(net), optimizer(net.parameters(), {.lr = 0.5}) {
    trainer = std::make_unique<Trainer>(
        objective, optimizer, tests::loader_of_parts(ranks),
        TrainerOptions{.epochs = epochs, .directory = std::move(directory), .ranks = ranks});
    trainer->test(data::synthetic({.classes = 4, .height = 8, .width = 8, .train = images, .test = 50}).test);
  }

  OnImages net;
  Classification objective;
  Lars optimizer;
  std::unique_ptr<Trainer> trainer;
};

// Of this test, and the same on all ranks.
fs::path shared_folder(const char* name) {
  const fs::path own = fs::temp_directory_path() / fmt::format("lamina-{}-{}", name, getpid());
  const fs::path folder = collective().gather(own.string()).front();
  if (collective().rank() == 0) fs::remove_all(folder);
  collective().barrier();
  return folder;
}

std::string content(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Stops a run after so many steps, on one rank alone.
struct StopAfter : Observer {
  StopAfter(Run& of, std::int64_t after) : run(of), steps(after) {}
  std::string name() const override { return "stop"; }
  void step(TrainedStep& step) override {
    if (step.report.step == steps) run.trainer->stop();
  }
  Run& run;
  std::int64_t steps;
};

}  // namespace

TEST_CASE("a run on several ranks measures what one process does, and rank 0 alone writes it", "[parallel]") {
  const fs::path folder = shared_folder("run");
  Run together(&collective(), folder / "run");
  const TrainingOutcome outcome = together.trainer->run();
  CHECK(outcome.finished);
  Run alone(nullptr, collective().rank() == 0 ? folder / "alone" : fs::path());
  const TrainingOutcome one = alone.trainer->run();
  CHECK(outcome.position.last.test.samples == 50);
  // evaluate() has a sum in f32 of each batch, and the shares' are others
  CHECK(outcome.position.last.test.loss() == Approx(one.position.last.test.loss()).epsilon(1e-6));
  CHECK(outcome.position.last.test.sums == one.position.last.test.sums);
  CHECK(outcome.position.last.train.loss() == Approx(one.position.last.train.loss()).epsilon(1e-12));
  collective().barrier();
  CHECK(fs::exists(folder / "run" / "weights.safetensors"));
  CHECK(std::distance(fs::directory_iterator(folder), {}) == 2);
  collective().barrier();
  if (collective().rank() == 0) fs::remove_all(folder);
}

TEST_CASE("a run tells how long each rank was busy, and not what it waited for a slower one", "[parallel]") {
  struct Seconds : Observer {
    std::string name() const override { return "seconds"; }
    void epoch(const EpochResult& result) override { of_epochs.push_back(result.rank_seconds); }
    std::vector<std::vector<double>> of_epochs;
  } seconds;
  struct Slow : Observer {
    std::string name() const override { return "slow"; }
    bool wants_parts() const override { return true; }
    void part(const data::Part&) override { std::this_thread::sleep_for(std::chrono::milliseconds(200)); }
  } slow;
  const int last = collective().size() - 1;
  Run run(&collective(), {}, 2);
  if (collective().rank() == last) run.trainer->observe(slow);
  run.trainer->observe(seconds).run();
  REQUIRE(seconds.of_epochs.size() == 2);
  for (const std::vector<double>& of_epoch : seconds.of_epochs) {
    CHECK(std::ssize(of_epoch) == (last == 0 ? 0 : last + 1));
    for (int rank = 0; rank < std::ssize(of_epoch); ++rank) {
      const double busy = of_epoch[static_cast<std::size_t>(rank)];
      CHECK(busy > 0);
      // three steps of its 0.2 s; the others need a few milliseconds for theirs
      CHECK((rank == last ? busy > 0.6 && busy < 1.2 : busy < 0.3));
    }
  }
}

TEST_CASE("a rank with other weights ends the run, and is named", "[parallel]") {
  if (collective().size() == 1) return;
  Run run(&collective(), {});
  struct Damage : Observer {
    std::string name() const override { return "damage"; }
    void step(TrainedStep& step) override {
      if (step.report.step == 2) weights.data<double>()[5] += 1;
    }
    Tensor weights;
  } damage;
  damage.weights = run.optimizer.arena().values();
  if (collective().rank() == 1) run.trainer->observe(damage);
  CHECK_THROWS_WITH(run.trainer->run(),
                    Catch::Matchers::Contains("after epoch 1 rank 1 has other weights than rank 0"));
}

TEST_CASE("an observer on one rank stops all after the same step, and the run goes on to the same bytes",
          "[parallel]") {
  const fs::path folder = shared_folder("stop");
  {
    Run whole(&collective(), folder / "whole");
    REQUIRE(whole.trainer->run().finished);
  }
  {
    Run stopped(&collective(), folder / "stopped");
    StopAfter stop(stopped, 5);
    if (collective().rank() == collective().size() - 1) stopped.trainer->observe(stop);
    const TrainingOutcome outcome = stopped.trainer->run();
    CHECK_FALSE(outcome.finished);
    CHECK(outcome.position.step == 5);
  }
  collective().barrier();
  Run resumed(&collective(), folder / "stopped");
  REQUIRE(resumed.trainer->run().finished);
  collective().barrier();
  CHECK(content(folder / "stopped" / "weights.safetensors") ==
        content(folder / "whole" / "weights.safetensors"));
  CHECK_FALSE(content(folder / "whole" / "weights.safetensors").empty());
  collective().barrier();
  if (collective().rank() == 0) fs::remove_all(folder);
}

}  // namespace lamina
