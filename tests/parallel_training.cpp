// Of every rank, as parallel_collective.cpp: what ranks compute together is what one process computes alone.
#include <fmt/format.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>

#include "catch.h"
#include "core/ops/elementwise.h"
#include "core/parallel/collective.h"
#include "data/loader.h"
#include "data/sets/synthetic.h"
#include "layers/resnet.h"
#include "optim/optimizer.h"
#include "steps_of_ranks.h"
#include "train/objectives/classification.h"
#include "train/step.h"
#include "train/trainer.h"

namespace lamina {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t batch = 24, images = 72;  // of shares that are equal for 1, 2, 3 and 4 ranks

// A net of another dtype that takes the loader's f32 images.
class OnImages final : public Module {
 public:
  OnImages(const char* model, DType dtype)
      : dtype_(dtype),
        net_(&add_child<ResNet>("net", model, ResNetOptions{.classes = 4, .dtype = dtype, .seed = 3})) {}
  std::string kind() const override { return "images"; }

 private:
  Tensor forward(const Tensor& x) override { return (*net_)(cast(x, dtype_)); }
  DType dtype_;
  ResNet* net_;
};

using tests::largest_difference, tests::Trained;

using MakeOptimizer = std::function<std::unique_ptr<Optimizer>(const ParamList&)>;

Trained train_net(const char* model, DType dtype, const MakeOptimizer& make_optimizer,
                  const train::TrainingStepOptions& how, data::LoaderOptions options) {
  OnImages net(model, dtype);
  Classification objective(net);
  const auto optimizer = make_optimizer(net.parameters());
  options.batch = batch, options.augment = data::standard(), options.drop_last = true, options.seed = 5;
  const data::Loader loader(data::synthetic({.classes = 4, .height = 8, .width = 8, .train = images}).train,
                            options);
  return tests::take_steps(objective, *optimizer, loader, how, 3);
}

Trained on_ranks(const char* model, DType dtype, const MakeOptimizer& optimizer,
                 bool sync_batch_norm = false) {
  return train_net(model, dtype, optimizer, {.ranks = &collective(), .sync_batch_norm = sync_batch_norm},
                   {.share = {.index = collective().rank(), .of = collective().size()}});
}

Trained alone(const char* model, DType dtype, const MakeOptimizer& optimizer) {
  return train_net(model, dtype, optimizer, {}, {.micro_batch = batch / collective().size()});
}

Trained whole(const char* model, DType dtype, const MakeOptimizer& optimizer) {
  return train_net(model, dtype, optimizer, {}, {});
}

template <typename Kind, typename Options>
MakeOptimizer made(const Options& options) {
  return [options](const ParamList& params) { return std::make_unique<Kind>(params, options); };
}

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
    data::LoaderOptions options{.batch = batch, .augment = data::standard(), .drop_last = true, .seed = 5};
    if (ranks == nullptr) options.micro_batch = batch / collective().size();
    const data::Dataset data =
        data::synthetic({.classes = 4, .height = 8, .width = 8, .train = images, .test = 50});
    trainer = std::make_unique<Trainer>(
        objective, optimizer, data::Loader(data.train, options),
        TrainerOptions{.epochs = epochs, .directory = std::move(directory), .ranks = ranks});
    trainer->test(data.test);
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
