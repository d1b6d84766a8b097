// What observers measure after an epoch: columns of epochs.csv, and features by their nearest neighbours.
#include <cmath>
#include <stdexcept>

#include "catch.h"
#include "core/base/csv.h"
#include "message_of.h"
#include "tiny_training.h"
#include "train/knn.h"
#include "train/online_knn.h"
#include "train/trace.h"

namespace lamina::tests {
namespace {

class Gauge final : public Observer {
 public:
  explicit Gauge(std::vector<std::string> columns = {"gauge"}) : columns_(std::move(columns)) {}
  std::string name() const override { return "gauge"; }
  std::vector<std::string> epoch_columns() const override { return columns_; }
  bool measure(EpochResult& result) override { return on_measure(result); }

  std::function<bool(EpochResult&)> on_measure = [](EpochResult& result) {
    result.measured.push_back(10 * static_cast<double>(result.epoch));
    return true;
  };

 private:
  std::vector<std::string> columns_;
};

TrainingOutcome measured_run(const std::filesystem::path& directory, std::vector<Observer*> observers,
                             std::int64_t epochs = 3) {
  TinyParts parts;
  Trace trace;
  Trainer trainer(parts.objective, *parts.optimizer, parts.loader,
                  {.epochs = epochs, .directory = directory});
  for (Observer* observer : observers) trainer.observe(*observer);
  return trainer.observe(trace).test(tiny_images().test).run();
}

}  // namespace

TEST_CASE("observers add columns to epochs.csv, and an empty cell where they measured nothing") {
  const Directory directory;
  Gauge first, second({"sum", "none"});
  second.on_measure = [](EpochResult& result) {
    result.measured.insert(result.measured.end(), {result.measured.at(0) + 1, no_measurement});
    return true;
  };
  const TrainingOutcome outcome = measured_run(directory.file("run"), {&first, &second});
  const std::filesystem::path csv = directory.file("run") / "epochs.csv";
  CHECK(contents_of(csv).find("seconds,images_per_s,gauge,sum,none\n") != std::string::npos);
  const auto rows = read_csv(csv, {"gauge", "sum", "none"});
  REQUIRE(rows.size() == 3);
  CHECK(rows[1][0] == 20);
  CHECK(rows[2][1] == 31);
  CHECK(std::isnan(rows[2][2]));
  REQUIRE(outcome.position.last.measured.size() == 3);
  CHECK(outcome.position.last.measured[1] == 31);
}

TEST_CASE("an epoch whose measurement a signal cut short is measured again by the run that goes on") {
  const Directory directory;
  Gauge whole, cut, rest;
  measured_run(directory.file("whole"), {&whole});
  cut.on_measure = [](EpochResult& result) {
    return result.epoch < 2 && (result.measured.push_back(10), true);
  };
  CHECK(!measured_run(directory.file("run"), {&cut}).finished);
  CHECK(read_csv(directory.file("run") / "epochs.csv", {"epoch"}).size() == 1);
  CHECK(measured_run(directory.file("run"), {&rest}).finished);
  CHECK(differing(directory.file("whole"), directory.file("run")).empty());
}

TEST_CASE("what was measured last is known to a run that goes on after its end") {
  const Directory directory;
  Gauge gauge;
  measured_run(directory.file("run"), {&gauge});
  const TrainingOutcome again = measured_run(directory.file("run"), {&gauge});
  CHECK(again.finished);
  CHECK(again.position.last.measured == std::vector<double>{30});
}

TEST_CASE("an observer that throws while it measures leaves an empty cell, and the run is saved") {
  const Directory directory;
  Gauge gauge;
  gauge.on_measure = [](EpochResult& result) {
    if (result.epoch == 2) throw std::runtime_error("no paper left");
    result.measured.push_back(1);
    return true;
  };
  const std::string message = message_of([&] { measured_run(directory.file("run"), {&gauge}); });
  CHECK(message.find("observer gauge: no paper left") != std::string::npos);
  const auto rows = read_csv(directory.file("run") / "epochs.csv", {"gauge"});
  REQUIRE(rows.size() == 2);
  CHECK(std::isnan(rows[1][0]));
  CHECK(std::filesystem::exists(directory.file("run") / "checkpoint-6.safetensors"));
}

TEST_CASE("no column of epochs.csv may be there already") {
  const Directory directory;
  for (const char* name : {"epoch", "train_loss", "test_accuracy", "seconds", "a,b"}) {
    Gauge gauge({name});
    const std::string message = message_of([&] { measured_run(directory.file("run"), {&gauge}); });
    INFO(name << ": " << message);
    CHECK(message.find("column") != std::string::npos);
    CHECK(!std::filesystem::exists(directory.file("run")));
  }
}

TEST_CASE("nearest neighbours are measured when due, of the features as they are then, and change no bit") {
  const Directory directory;
  const data::Split &bank = tiny_images().train, &queries = tiny_images().test;
  TinyParts parts, plain;
  OnlineKnn online(parts.net, bank, queries, {.every = 2, .knn = {.k = 5}});
  Trainer(parts.objective, *parts.optimizer, parts.loader, {.epochs = 3, .directory = directory.file("run")})
      .observe(online)
      .run();
  const auto rows = read_csv(directory.file("run") / "epochs.csv", {"knn_accuracy"});
  REQUIRE(rows.size() == 3);
  CHECK(std::isnan(rows[0][0]));
  CHECK(!std::isnan(rows[1][0]));
  CHECK(rows[2][0] == knn(features_of(parts.net, bank), features_of(parts.net, queries), {.k = 5}).accuracy);
  Trainer(plain.objective, *plain.optimizer, plain.loader, {.epochs = 3}).run();
  CHECK(bits_of(parts.net) == bits_of(plain.net));

  CHECK(message_of([&] { OnlineKnn(parts.net, bank, queries, {.every = 0}); }) ==
        "knn_every 0: expected at least 1");
  CHECK(message_of([&] { OnlineKnn(parts.net, bank, data::Split()); }).find("0 to classify") !=
        std::string::npos);
}

}  // namespace lamina::tests
