// Numbers that are not finite: what a test or a validation finds, and what files say of them.
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "catch.h"
#include "core/base/csv.h"
#include "core/base/json_number.h"
#include "core/files/safetensors.h"
#include "message_of.h"
#include "tiny_training.h"
#include "train/checkpoint.h"
#include "train/evaluation_file.h"
#include "train/run_directory.h"

namespace lamina::tests {
namespace {

constexpr double inf = std::numeric_limits<double>::infinity(),
                 nan = std::numeric_limits<double>::quiet_NaN();

bool is_same(double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); }

// Ruins running statistics after an epoch's last step, as a learning rate far too high does.
void ruin_statistics(const TrainedStep& step, Module& net, std::int64_t at_step) {
  if (step.report.step == at_step) net.parameter("bn1.running_var").value.fill(nan);
}

}  // namespace

TEST_CASE("numbers that are not finite are strings in JSON, and come back") {
  for (const double value : {0.1, -3e300, inf, -inf, nan, -nan})
    CHECK(is_same(number_from_json(nlohmann::json::parse(json_number(value).dump())), value));
  CHECK(json_number(nan).dump() == "\"NaN\"");
  CHECK(json_number(inf).dump() == "\"Infinity\"");
  CHECK(json_number(-inf).dump() == "\"-Infinity\"");
  CHECK(std::isnan(number_from_json(nlohmann::json())));
  CHECK_THROWS(number_from_json("1.5"));
}

TEST_CASE("a test or validation loss that is not finite ends the run, and names where it arises") {
  const data::Split held_out = data::hold_out(tiny_images().train, 24).held_out;
  for (const bool validates : {false, true}) {
    const Directory directory;
    const std::filesystem::path run = directory.file("run");
    TinyParts parts;
    Look look;
    look.on_step = [&](TrainedStep& step) { ruin_statistics(step, parts.net, 6); };
    Trainer trainer(parts.objective, *parts.optimizer, parts.loader, {.epochs = 4, .directory = run});
    if (validates) trainer.validate(held_out);
    trainer.test(tiny_images().test).observe(look);
    std::string message;
    try {
      trainer.run();
    } catch (const Diverged& error) {
      message = error.what();
    }
    CAPTURE(message);
    const std::string loss = validates ? "validation loss" : "test loss";
    CHECK(message.starts_with("training diverged in epoch 2: the " + loss + " after it is nan\n"));
    CHECK(message.find("first of all: bn1.running_var holds values that are not finite") !=
          std::string::npos);
    CHECK(message.find("the last checkpoint is " + (run / "checkpoint-3.safetensors").string()) !=
          std::string::npos);
    CHECK(train::read_checkpoint(run / "checkpoint-3.safetensors").position.step == 3);
    CHECK(read_csv(run / "steps.csv", {"step"}).size() == 6);
    CHECK(read_csv(run / "epochs.csv", {"epoch"}).size() == 1);
    CHECK(!std::filesystem::exists(run / "weights.safetensors"));
  }
}

TEST_CASE("an infinite test loss names the first op where the values of all tensors are finite") {
  PixelLinear net(1);
  OwnObjective objective(net, [&](const data::Part& part) {
    return part.mean(square(reshape(net(part.images()), {part.size()})));
  });
  objective.evaluation_of = [&](const data::Part& part) {
    return PartLoss(part.mean(exp(1e4f * square(reshape(net(part.images()), {part.size()})) + 1e4f)));
  };
  Sgd optimizer(net.parameters(), {.lr = 1e-6});
  const data::Loader loader(tiny_images().train, {.batch = 24, .workers = 0, .seed = 3});
  Trainer trainer(objective, optimizer, loader);
  CHECK(unexplained([&] { trainer.test(tiny_images().test).run(); },
                    {"epoch 1", "test loss after it is inf", "first of all: exp"}) == "nothing");
}

TEST_CASE("metrics that are not finite survive a checkpoint and the logs, without a sign") {
  const Directory directory;
  const std::filesystem::path run = directory.file("run");
  const auto train = [&](std::int64_t stop_after) {
    TinyParts parts;
    OwnObjective objective(parts.net, [&](const data::Part& part) {
      const Tensor loss = parts.objective.loss(part).loss;
      return PartLoss(loss, {Tensor::full({}, nan), Tensor::full({}, -inf)});
    });
    objective.infos = {{.name = "unknown"}, {.name = "margin"}};
    Trainer trainer(objective, *parts.optimizer, parts.loader, {.epochs = 2, .directory = run});
    Look look;
    look.on_step = [&](TrainedStep& step) {
      if (step.report.step == stop_after) trainer.stop();
    };
    return trainer.test(tiny_images().test).observe(look).run();
  };
  train(4);
  const TrainingPosition read = train::read_checkpoint(run / "checkpoint-4.safetensors").position;
  for (const Metrics& metrics : {read.metrics, read.last.train, read.last.test}) {
    REQUIRE(metrics.sums.size() == 2);
    CHECK(std::isnan(metrics.sums[0]));
    CHECK(metrics.sums[1] == -inf);
  }
  CHECK(train(0).finished);
  for (const char* log : {"steps.csv", "epochs.csv"}) {
    const std::string rows = contents_of(run / log);
    CHECK(rows.find(",nan,-inf,") != std::string::npos);
    CHECK(rows.find("-nan") == std::string::npos);
  }
  CHECK(std::isnan(read_csv(run / "epochs.csv", {"test_unknown"})[1][0]));
}

TEST_CASE("a checkpoint of before, which says null where a number is not finite, goes on") {
  const Directory directory;
  const std::filesystem::path run = directory.file("run"), checkpoint = run / "checkpoint-3.safetensors";
  const auto train = [&](std::int64_t stop_after) {
    TinyParts parts;
    Trainer trainer(parts.objective, *parts.optimizer, parts.loader, {.epochs = 2, .directory = run});
    Look look;
    look.on_epoch = [&](const EpochResult& result) {
      if (result.epoch == stop_after) trainer.stop();
    };
    return trainer.test(tiny_images().test).observe(look).run();
  };
  REQUIRE(!train(1).finished);
  TensorFile file = read_tensors(checkpoint);
  auto position = nlohmann::json::parse(file.metadata.at("position"));
  for (const char* epoch : {"best", "last"})
    position[epoch]["test"]["loss_sum"] = position[epoch]["test"]["sums"][0] = nullptr;
  file.metadata["position"] = position.dump();
  write_tensors(checkpoint, file);
  CHECK(std::isnan(train::read_checkpoint(checkpoint).position.last.test.loss()));
  CHECK(train(0).finished);
}

TEST_CASE("an evaluation with a loss that is not finite is JSON that is read again") {
  const Directory directory;
  Evaluation evaluation{.loss = nan, .accuracy = 0.5, .correct = 1, .samples = 2};
  evaluation.confusion = ConfusionMatrix(2);
  evaluation.confusion.add(0, 0);
  evaluation.confusion.add(1, 0);
  const std::string text = train::text_by_elements(train::evaluation_json(evaluation, {"cat", "dog"}));
  CHECK(nlohmann::json::parse(text)["loss"] == "NaN");
  put(directory.file("evaluation.json"), text);
  CHECK(train::read_evaluation(directory.file("evaluation.json")).confusion.count(1, 0) == 1);
}

}  // namespace lamina::tests
