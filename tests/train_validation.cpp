// Epochs chosen on held-out images, with a model whose every result is known: its only weight counts the
// steps.
#include <cmath>
#include <limits>

#include "catch.h"
#include "core/base/csv.h"
#include "message_of.h"
#include "tiny_training.h"
#include "train/evaluation.h"

namespace lamina::tests {
namespace {

// images [N, 1, 1, 1] -> pixel - w, [N].
class Counter final : public Module {
 public:
  Counter() : w_(add_param("w", ParamKind::weight, Tensor::zeros({1, 1}))) {}
  std::string kind() const override { return "Counter"; }
  float value() const { return w_->value.to_vector<float>().at(0); }

 private:
  Tensor forward(const Tensor& x) override {
    return reshape(reshape(x, {x.size(0), 1}) - w_->value, {x.size(0)});
  }
  std::shared_ptr<Param> w_;
};

// Four images of one pixel, which the loader leaves as it is.
data::Split images_of(std::uint8_t pixel) {
  return {.images = Tensor::from(std::vector<std::uint8_t>(4, pixel), {4, 1, 1, 1}),
          .labels = Tensor::from(std::vector<std::int32_t>(4, 0), {4}),
          .mean = {0},
          .std = {1 / 255.0f}};
}

// One step an epoch, by 1: after epoch e the weight is e, and a split of pixels p has the loss (p - e)^2.
struct Counting {
  Counting() : objective(net, [this](const data::Part& part) { return part.mean(net(part.images())); }) {
    objective.evaluation_of = [this](const data::Part& part) {
      return part.mean(square(net(part.images())));
    };
  }
  Counter net;
  OwnObjective objective;
  Sgd optimizer{net.parameters(), {.lr = 1, .momentum = 0}};
  data::Loader loader{images_of(0), {.batch = 4, .workers = 0, .seed = 3}};
};

struct Chosen {
  TrainingOutcome outcome;
  float weight = 0;                  // the final one
  std::vector<std::int64_t> tested;  // epochs
};

// `stop_after`: the epoch that it is stopped after.
Chosen count_steps(TrainerOptions options, int valid, int test, std::int64_t stop_after = 0) {
  if (options.epochs == 1) options.epochs = 7;
  Counting counting;
  Trainer trainer(counting.objective, counting.optimizer, counting.loader, options);
  if (valid >= 0) trainer.validate(images_of(static_cast<std::uint8_t>(valid)));
  if (test >= 0) trainer.test(images_of(static_cast<std::uint8_t>(test)));
  Chosen chosen;
  Look look;
  look.on_epoch = [&](const EpochResult& result) {
    if (result.test.samples > 0) chosen.tested.push_back(result.epoch);
    if (result.epoch == stop_after) trainer.stop();
  };
  chosen.outcome = trainer.observe(look).run();
  chosen.weight = counting.net.value();
  return chosen;
}

float weight_in(const std::filesystem::path& file) {
  return read_tensors(file).at("w").to_vector<float>().at(0);
}

using Epochs = std::vector<std::int64_t>;

}  // namespace

TEST_CASE("the best epoch is chosen by the validation split, whatever the test says") {
  const Directory directory;
  const Chosen best = count_steps({.directory = directory.file("best"), .keep = Keep::best}, 3, 5);
  CHECK(best.outcome.finished);
  CHECK(best.outcome.position.best.epoch == 3);
  CHECK(best.outcome.position.best.valid.loss() == 0);
  CHECK(best.outcome.position.best.test.loss() == 4);
  CHECK(best.outcome.position.last.epoch == 7);
  CHECK(best.outcome.position.epochs_since_best == 4);
  CHECK(best.weight == 3);
  CHECK(weight_in(directory.file("best") / "weights.safetensors") == 3);
  CHECK(weight_in(directory.file("best") / "best.safetensors") == 3);
  CHECK(weight_in(directory.file("best") / "checkpoint-7.safetensors") == 7);

  const Chosen last = count_steps({.directory = directory.file("last")}, 3, 5);
  CHECK(last.outcome.position.best.epoch == 3);
  CHECK(weight_in(directory.file("last") / "weights.safetensors") == 7);
  CHECK(!std::filesystem::exists(directory.file("last") / "best.safetensors"));

  CHECK(count_steps({.keep = Keep::best}, 3, -1).weight == 3);     // neither a directory nor a test
  CHECK(count_steps({}, -1, 5).outcome.position.best.epoch == 5);  // nothing but the test to go by
}

TEST_CASE("the best epoch's weights outlast a stop") {
  for (const std::int64_t stop_after : {1, 3, 6}) {
    CAPTURE(stop_after);
    const Directory directory;
    const TrainerOptions options{.directory = directory.file("run"), .keep = Keep::best};
    CHECK(!count_steps(options, 3, 5, stop_after).outcome.finished);
    for (int again = 0; again < 2; ++again) {  // the second time it has ended already
      const Chosen chosen = count_steps(options, 3, 5);
      CHECK(chosen.outcome.finished);
      CHECK(chosen.weight == 3);
      CHECK(chosen.outcome.position.best.valid.loss() == 0);
      CHECK(weight_in(options.directory / "weights.safetensors") == 3);
    }
  }
}

TEST_CASE("a run out of patience ends, and its last weights are tested") {
  const Directory directory;
  const TrainerOptions options{.directory = directory.file("whole"), .patience = 2, .test_every = 0};
  const Chosen whole = count_steps(options, 3, 9);
  CHECK(whole.outcome.finished);
  CHECK(whole.outcome.position.epoch == 5);
  CHECK(whole.weight == 5);
  CHECK(whole.tested == Epochs{5});
  CHECK(whole.outcome.position.last.test.loss() == 16);
  CHECK(weight_in(options.directory / "weights.safetensors") == 5);

  for (const std::int64_t stop_after : {2, 4}) {
    TrainerOptions stopped = options;
    stopped.directory = directory.file(stop_after == 2 ? "two" : "four");
    CHECK(!count_steps(stopped, 3, 9, stop_after).outcome.finished);
    CHECK(count_steps(stopped, 3, 9).outcome.position.epoch == 5);
    CHECK(differing(options.directory, stopped.directory).empty());
    CHECK(count_steps(stopped, 3, 9).tested.empty());  // it has ended
  }

  CHECK(count_steps({.patience = 2}, 7, -1).outcome.position.epoch == 7);  // better until the last
  const Chosen best = count_steps({.keep = Keep::best, .patience = 2, .test_every = 0}, 3, 9);
  CHECK(best.weight == 3);
  CHECK(best.tested == Epochs{1, 2, 3});  // whatever may become the final weights
}

TEST_CASE("tests come every so many epochs, and after the last one") {
  CHECK(count_steps({}, -1, 9).tested == Epochs{1, 2, 3, 4, 5, 6, 7});
  CHECK(count_steps({.test_every = 3}, -1, 9).tested == Epochs{3, 6, 7});
  CHECK(count_steps({.test_every = 0}, -1, 9).tested == Epochs{7});
  CHECK(count_steps({.test_every = 3}, 2, 9).tested == Epochs{3, 6, 7});
}

TEST_CASE("epochs.csv has the validation's columns, and empty cells where nothing was tested") {
  const Directory directory;
  count_steps({.epochs = 3, .directory = directory.file("run"), .test_every = 2}, 1, 2);
  const std::filesystem::path csv = directory.file("run") / "epochs.csv";
  CHECK(contents_of(csv).starts_with("epoch,train_loss,valid_loss,test_loss,seconds,images_per_s\n"));
  const auto rows = read_csv(csv, {"epoch", "valid_loss", "test_loss"});
  REQUIRE(rows.size() == 3);
  CHECK(std::isnan(rows[0][2]));
  CHECK(rows[1] == std::vector<double>{2, 1, 0});
  CHECK(rows[2] == std::vector<double>{3, 4, 1});
}

TEST_CASE("choosing among epochs needs a validation split") {
  const Directory directory;
  const auto refused = [&](const TrainerOptions& options, const char* name) {
    return unexplained([&] { count_steps(options, -1, 5); }, {name, "data::hold_out", "validate()"});
  };
  CHECK(refused({.directory = directory.file("run"), .keep = Keep::best}, "trainer: keep chooses") ==
        "nothing");
  CHECK(refused({.directory = directory.file("run"), .patience = 2}, "trainer: patience chooses") ==
        "nothing");
  CHECK(!std::filesystem::exists(directory.file("run")));
  for (const std::int64_t count : {-1, 0, 4, 5}) {
    CHECK_THROWS_AS(data::hold_out(images_of(0), count), UsageError);
    CHECK(unexplained([&] { data::hold_out(images_of(0), count); }, {"hold_out", "of 4 images"}) ==
          "nothing");
  }
}

TEST_CASE("held-out images validate a classifier, and are not trained on") {
  const Directory directory;
  const data::HeldOut parted = data::hold_out(tiny_images().train, 24);
  REQUIRE(parted.rest.size() == 48);
  PixelLinear net(4);
  Classification objective(net);
  Sgd optimizer(net.parameters(), {.lr = 0.01});
  const data::Loader loader(parted.rest, {.batch = 16, .workers = 0, .seed = 3});
  Trainer trainer(objective, optimizer, loader,
                  {.epochs = 3, .directory = directory.file("run"), .keep = Keep::best});
  const TrainingPosition end = trainer.validate(parted.held_out).test(tiny_images().test).run().position;
  CHECK(end.last.train.samples == 48);
  CHECK(end.last.valid.samples == 24);
  CHECK(end.best.valid.mean(0) >= end.last.valid.mean(0));
  CHECK(evaluate(objective, parted.held_out).sums ==
        end.best.valid.sums);  // the weights are the best epoch's
  CHECK(
      contents_of(directory.file("run") / "epochs.csv")
          .starts_with("epoch,train_loss,train_accuracy,valid_loss,valid_accuracy,test_loss,test_accuracy,"));
}

TEST_CASE("a test that is not finite ends the run, and ends it again from the checkpoint before") {
  const Directory directory;
  const auto train = [&] {
    Counting counting;
    counting.objective.evaluation_of = [&](const data::Part& part) {
      return part.mean(log(counting.net(part.images())));  // of pixels 2: 0 in epoch 1, then -infinity
    };
    Trainer(counting.objective, counting.optimizer, counting.loader,
            {.epochs = 4, .directory = directory.file("run")})
        .test(images_of(2))
        .run();
  };
  for (int attempt = 0; attempt < 2; ++attempt) {
    CHECK_THROWS_AS(train(), Diverged);
    CHECK(unexplained(train, {"epoch 2: the test loss after it is -inf", "checkpoint-1.safetensors"}) ==
          "nothing");
    const auto rows = read_csv(directory.file("run") / "epochs.csv", {"test_loss"});
    REQUIRE(rows.size() == 1);
    CHECK(rows[0][0] == 0);
  }
}

}  // namespace lamina::tests
