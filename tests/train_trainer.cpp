// The Trainer against the loop that it stands for, and stopped runs against runs that were not.
#include "catch.h"
#include "core/ops/loss.h"
#include "layers/layers.h"
#include "message_of.h"
#include "tiny_training.h"
#include "train/noise_scale.h"
#include "train/trace.h"

namespace lamina::tests {
namespace {

using LossOf = std::function<Tensor(const Tensor& images, const Tensor& labels)>;

// The loop of README.md.
void train_by_hand(const LossOf& loss_of, Optimizer& optimizer, const data::Loader& loader, int epochs) {
  for (int epoch = 0; epoch < epochs; ++epoch) {
    for (auto [images, labels] : loader.epoch(epoch)) {
      Tensor loss = loss_of(images, labels);
      optimizer.zero_grad();
      loss.backward();
      optimizer.step();
    }
  }
}

// One stretch of a run of 3 epochs, with a trace; in parts also with the noise scale. `stop` sets what stops
// it.
using Stop = std::function<void(Look&, Trainer&)>;
TrainingOutcome stretch(const std::filesystem::path& directory, const TinyOptions& options,
                        const Stop& stop = {}) {
  TinyParts parts(options);
  Trainer trainer(parts.objective, *parts.optimizer, parts.loader, {.epochs = 3, .directory = directory});
  Trace trace;
  NoiseScale noise_scale;
  Look look;
  if (stop) stop(look, trainer);
  trainer.test(tiny_images().test).observe(trace).observe(look);
  if (options.loader.micro_batch > 0) trainer.observe(noise_scale);
  return trainer.run();
}

Stop after_step(std::int64_t number) {
  return [number](Look& look, Trainer& trainer) {
    look.on_step = [&trainer, number](TrainedStep& step) {
      if (step.report.step == number) trainer.stop();
    };
  };
}

void in_test(Look& look, Trainer& trainer) {
  look.on_testing = [&trainer](std::int64_t, std::int64_t) { trainer.stop(); };
}

void after_epoch(Look& look, Trainer& trainer) {
  look.on_epoch = [&trainer](const EpochResult&) { trainer.stop(); };
}

}  // namespace

TEST_CASE("a Trainer's weights are those of the loop written by hand, bit for bit") {
  for (const char* optimizer : {"sgd", "adamw", "lars", "lamb", "tvlars"}) {
    CAPTURE(optimizer);
    const Directory directory;
    const TinyOptions options{.optimizer = optimizer, .lr = 0.01};
    TinyParts by_hand(options), in_memory(options), on_disk(options), loaded(options);
    train_by_hand([&](const Tensor& x, const Tensor& y) { return cross_entropy(by_hand.net(x), y); },
                  *by_hand.optimizer, by_hand.loader, 2);
    const auto train = [](TinyParts& parts, const TrainerOptions& trainer) {
      return Trainer(parts.objective, *parts.optimizer, parts.loader, trainer).test(tiny_images().test).run();
    };
    const TrainingOutcome outcome = train(in_memory, {.epochs = 2});
    CHECK(outcome.finished);
    CHECK(outcome.signal == 0);
    CHECK(outcome.position.step == 6);
    CHECK(outcome.position.last.test.samples == 40);
    train(on_disk, {.epochs = 2, .directory = directory.file("run")});
    CHECK(bits_of(in_memory.net) == bits_of(by_hand.net));
    CHECK(bits_of(on_disk.net) == bits_of(by_hand.net));
    CHECK(bits_of(loaded.net) != bits_of(by_hand.net));
    load_weights(directory.file("run") / "weights.safetensors", loaded.net);
    CHECK(bits_of(loaded.net) == bits_of(by_hand.net));
  }
}

TEST_CASE("a module in f64 is trained by an objective that casts the images, and goes on to the same bits") {
  const auto logits = [](Module& net, const Tensor& images) { return net(cast(images, DType::f64)); };
  const data::Loader loader(tiny_images().train, {.batch = 24, .workers = 0, .seed = 3});
  for (const char* name : {"sgd", "adamw", "lars", "lamb", "tvlars"}) {
    CAPTURE(name);
    const auto optimizer_of = [&](const Module& net) {
      return make_optimizer(name, net.parameters(), {{"lr", "0.01"}}, {.steps_per_epoch = 3});
    };
    const Directory directory;
    PixelLinear by_hand(4, DType::f64);
    train_by_hand([&](const Tensor& x, const Tensor& y) { return cross_entropy(logits(by_hand, x), y); },
                  *optimizer_of(by_hand), loader, 2);
    for (const std::int64_t stop_after : {4, 0}) {
      PixelLinear net(4, DType::f64);
      OwnObjective objective(net, [&](const data::Part& part) {
        return part.mean(cross_entropy_per_sample(logits(net, part.images()), part.labels));
      });
      const auto optimizer = optimizer_of(net);
      Trainer trainer(objective, *optimizer, loader, {.epochs = 2, .directory = directory.file("run")});
      Look look;
      after_step(stop_after)(look, trainer);
      CHECK(trainer.test(tiny_images().test).observe(look).run().finished == (stop_after == 0));
      CHECK((bits_of(net) == bits_of(by_hand)) == (stop_after == 0));
    }
  }
}

TEST_CASE("a net with dropout goes on to the bits of a run that was not stopped") {
  const auto run = [](const std::filesystem::path& directory, std::int64_t stop_after) {
    Sequential net;
    net.add<Flatten>();
    net.add<Linear>(8 * 8 * 3, 16);
    net.add<Dropout>(0.5, DropoutLayerOptions{.seed = 3});
    net.add<Linear>(16, 4);
    initialise(net, {}, 3);
    Classification objective(net);
    const auto optimizer = make_optimizer("sgd", net.parameters(), {{"lr", "0.01"}}, {.steps_per_epoch = 3});
    const data::Loader loader(tiny_images().train, {.batch = 24, .workers = 0, .seed = 3});
    Trainer trainer(objective, *optimizer, loader, {.epochs = 2, .directory = directory});
    Look look;
    if (stop_after > 0) after_step(stop_after)(look, trainer);
    trainer.test(tiny_images().test).observe(look).run();
    const std::int64_t masks = stop_after > 0 ? stop_after : 6;  // none in tests
    CHECK(net.parameter("2.num_masks").value.item() == static_cast<double>(masks));
    return bits_of(net);
  };
  const Directory directory;
  const std::string whole = run(directory.file("whole"), 0);
  CHECK(run(directory.file("stopped"), 4) != whole);
  CHECK(run(directory.file("stopped"), 0) == whole);
}

TEST_CASE("a run that was stopped comes to the bits of one that was not") {
  for (const std::int64_t micro_batch : {0, 10}) {
    CAPTURE(micro_batch);
    const Directory directory;
    TinyOptions options{.optimizer = "tvlars"};
    options.loader.micro_batch = micro_batch;
    const std::filesystem::path whole = directory.file("whole"), stopped = directory.file("stopped");
    const TrainingOutcome wanted = stretch(whole, options);
    REQUIRE(wanted.finished);

    const TrainingOutcome mid_epoch = stretch(stopped, options, after_step(2));
    CHECK(!mid_epoch.finished);
    CHECK(mid_epoch.position.step == 2);
    CHECK(mid_epoch.position.batch == 2);
    CHECK(!std::filesystem::exists(stopped / "weights.safetensors"));
    const TrainingOutcome before_test = stretch(stopped, options, in_test);
    CHECK(before_test.position.step == 3);
    CHECK(before_test.position.epoch == 0);
    const TrainingOutcome between_epochs = stretch(stopped, options, after_epoch);
    CHECK(between_epochs.position.step == 3);
    CHECK(between_epochs.position.epoch == 1);
    CHECK(stretch(stopped, options, after_step(9)).position.step == 9);
    const TrainingOutcome end = stretch(stopped, options);
    CHECK(end.finished);
    CHECK(differing(whole, stopped).empty());
    CHECK(end.position.last.train.loss_sum == wanted.position.last.train.loss_sum);
    CHECK(end.position.best.test.sums == wanted.position.best.test.sums);

    CHECK(stretch(stopped, options).finished);  // once more changes nothing
    CHECK(differing(whole, stopped).empty());
  }
}

TEST_CASE("a run killed without warning goes on from its last checkpoint, without repeating a row") {
  const Directory directory;
  const std::filesystem::path whole = directory.file("whole"), killed = directory.file("killed");
  stretch(whole, {});
  stretch(killed, {}, after_step(5));
  // Rows that were written after the checkpoint.
  put(killed / "steps.csv", contents_of(killed / "steps.csv") + "6,2,0.5,1,9,9,9,9\n7,3,0.");
  put(killed / "epochs.csv", contents_of(killed / "epochs.csv") + "2,9,9,9,9,9,9\n");
  put(killed / "checkpoint-8.safetensors.31-0.tmp", "half");
  CHECK(stretch(killed, {}).finished);
  CHECK(differing(whole, killed).empty());
  CHECK(!std::filesystem::exists(killed / "checkpoint-8.safetensors.31-0.tmp"));
}

TEST_CASE("the trace is there without a directory too, but not before the run") {
  TinyParts parts;
  Trace trace;
  CHECK(unexplained([&] { trace.to_file(); }, {"trace", "Trainer::observe()"}) == "nothing");
  Trainer(parts.objective, *parts.optimizer, parts.loader, {.epochs = 2}).observe(trace).run();
  CHECK(trace.to_file().at("step").to_vector<std::int32_t>() == std::vector<std::int32_t>{1, 2, 3, 4, 5, 6});
  CHECK(trace.to_file().at("update_norm").size(1) == std::ssize(parts.optimizer->segments()));
}

TEST_CASE("checkpoints come when they are asked for, and the newest two stay") {
  const Directory directory;
  const auto train = [&](const char* name, TrainerOptions options) {
    options.epochs = 2;
    options.directory = directory.file(name);
    TinyParts parts;
    std::vector<std::int64_t> steps;
    Look look;
    Trainer trainer(parts.objective, *parts.optimizer, parts.loader, options);
    look.on_save = [&] { steps.push_back(trainer.position().step); };
    trainer.observe(look).run();
    CHECK(std::filesystem::exists(options.directory / "checkpoint-6.safetensors"));
    CHECK(!std::filesystem::exists(options.directory / "checkpoint-2.safetensors"));
    return steps;
  };
  using Steps = std::vector<std::int64_t>;
  CHECK(train("default", {}) == Steps{3, 6});
  CHECK(train("end", {.checkpoint_every = 0}) == Steps{6});
  CHECK(train("second", {.checkpoint_every = 2}) == Steps{6});
  CHECK(train("steps", {.checkpoint_every = 0, .checkpoint_steps = 2}) ==
        Steps{2, 4, 6, 6});  // in the last epoch, and after it
  CHECK(train("both", {.checkpoint_steps = 2}) == Steps{2, 3, 4, 6, 6});
}

}  // namespace lamina::tests
