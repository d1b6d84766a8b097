// Runs that version 0.1.0 wrote: their checkpoints know right answers alone, and no validation.
#include <nlohmann/json.hpp>

#include "catch.h"
#include "core/files/safetensors.h"
#include "message_of.h"
#include "tiny_training.h"
#include "train/checkpoint.h"

namespace lamina::tests {
namespace {

using Json = nlohmann::json;

TrainingOutcome old_run(const std::filesystem::path& directory, std::int64_t stop_after = 0) {
  TinyParts parts;
  Trainer trainer(parts.objective, *parts.optimizer, parts.loader, {.epochs = 3, .directory = directory});
  Look look;
  look.on_step = [&](TrainedStep& step) {
    if (step.report.step == stop_after) trainer.stop();
  };
  return trainer.test(tiny_images().test).observe(look).run();
}

Json old_metrics(const Json& metrics) {
  const Json correct = metrics.at("sums").empty() ? Json(0) : Json(metrics["sums"][0].get<std::int64_t>());
  return {{"loss_sum", metrics.at("loss_sum")}, {"correct", correct}, {"samples", metrics.at("samples")}};
}

Json old_epoch(Json result) {
  result.erase("valid");
  for (const char* split : {"train", "test"}) result[split] = old_metrics(result[split]);
  return result;
}

Json old_position(Json position) {
  position.erase("epochs_since_best");
  position["metrics"] = old_metrics(position["metrics"]);
  for (const char* epoch : {"best", "last"}) position[epoch] = old_epoch(position[epoch]);
  return position;
}

Json old_config(Json config) {
  for (const char* name : {"valid", "keep", "patience", "transform"}) config["options"].erase(name);
  config.at("resolved").erase("data");
  return config;
}

void make_old(const std::filesystem::path& run, const std::filesystem::path& checkpoint) {
  TensorFile file = read_tensors(checkpoint);
  const Json position = Json::parse(file.metadata.at("position")),
             config = Json::parse(file.metadata.at("config"));
  REQUIRE(position.at("metrics").at("sums").size() == 1);  // in mid-epoch
  file.metadata["position"] = old_position(position).dump();
  file.metadata["config"] = old_config(config).dump();
  write_tensors(checkpoint, file);
  put(run / "config.json", old_config(Json::parse(contents_of(run / "config.json"))).dump());
}

}  // namespace

TEST_CASE("a run of version 0.1.0 goes on to the bits of one that was not stopped") {
  const Directory directory;
  const std::filesystem::path whole = directory.file("whole"), old = directory.file("old");
  const TrainingOutcome wanted = old_run(whole);
  const TrainingPosition stopped = old_run(old, 5).position;
  make_old(old, old / "checkpoint-5.safetensors");

  const TrainingPosition read = train::read_checkpoint(old / "checkpoint-5.safetensors").position;
  CHECK(read.step == 5);
  CHECK(read.metrics.samples == 48);
  CHECK(read.metrics.sums == stopped.metrics.sums);
  CHECK(read.best.test.sums == stopped.best.test.sums);
  CHECK(read.best.valid.samples == 0);
  CHECK(read.epochs_since_best == 0);

  const TrainingOutcome end = old_run(old);
  CHECK(end.finished);
  CHECK(differing(whole, old).empty());
  CHECK(end.position.last.train.loss_sum == wanted.position.last.train.loss_sum);
  CHECK(end.position.last.train.sums == wanted.position.last.train.sums);
  CHECK(end.position.best.epoch == wanted.position.best.epoch);
}

TEST_CASE("a checkpoint whose position says nothing of its metrics is damaged") {
  const Directory directory;
  const std::filesystem::path run = directory.file("run"), checkpoint = run / "checkpoint-5.safetensors";
  old_run(run, 5);
  TensorFile file = read_tensors(checkpoint);
  Json position = Json::parse(file.metadata.at("position"));
  position["metrics"].erase("sums");
  file.metadata["position"] = position.dump();
  write_tensors(checkpoint, file);
  CHECK(unexplained([&] { train::read_checkpoint(checkpoint); },
                    {"checkpoint-5", "position", "damaged", "correct"}) == "nothing");
  file.metadata.erase("position");
  write_tensors(checkpoint, file);
  CHECK(unexplained([&] { train::read_checkpoint(checkpoint); }, {"checkpoint-5", "not a checkpoint"}) ==
        "nothing");
}

}  // namespace lamina::tests
