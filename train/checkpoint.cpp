#include "train/checkpoint.h"

#include "core/base/error.h"
#include "core/base/json_number.h"
#include "data/dataset.h"
#include "optim/state.h"

namespace lamina::train {
namespace {

std::int64_t count_from(const nlohmann::json& j) {
  const auto count = whole_number_from_json<std::int64_t>(j);
  check(count >= 0, "{}: expected at least 0", count);
  return count;
}

nlohmann::json to_json(const Metrics& m) {
  nlohmann::json sums = nlohmann::json::array();
  for (const double sum : m.sums) sums.push_back(json_number(sum));
  return {{"samples", m.samples}, {"loss_sum", json_number(m.loss_sum)}, {"sums", std::move(sums)}};
}
// Checkpoints of version 0.1.0 have the right answers alone: "correct".
Metrics metrics_from(const nlohmann::json& j) {
  Metrics metrics{.samples = count_from(j.at("samples")), .loss_sum = number_from_json(j.at("loss_sum"))};
  const nlohmann::json sums = j.contains("sums") ? j["sums"] : nlohmann::json::array({j.at("correct")});
  for (const nlohmann::json& sum : sums) metrics.sums.push_back(number_from_json(sum));
  return metrics;
}

nlohmann::json to_json(const EpochResult& r) {
  nlohmann::json json{{"epoch", r.epoch},
                      {"train", to_json(r.train)},
                      {"valid", to_json(r.valid)},
                      {"test", to_json(r.test)},
                      {"seconds", r.seconds}};
  for (const double value : r.measured) json["measured"].push_back(json_number(value));
  return json;
}
EpochResult result_from(const nlohmann::json& j) {
  EpochResult result{.epoch = count_from(j.at("epoch")),
                     .train = metrics_from(j.at("train")),
                     .valid = j.contains("valid") ? metrics_from(j["valid"]) : Metrics{},
                     .test = metrics_from(j.at("test")),
                     .seconds = j.at("seconds")};
  for (const nlohmann::json& value : j.value("measured", nlohmann::json::array()))
    result.measured.push_back(number_from_json(value));
  return result;
}

nlohmann::json to_json(const TrainingPosition& p) {
  return {{"step", p.step},
          {"epoch", p.epoch},
          {"batch", p.batch},
          {"metrics", to_json(p.metrics)},
          {"epoch_seconds", p.epoch_seconds},
          {"seconds", p.seconds},
          {"best", to_json(p.best)},
          {"last", to_json(p.last)},
          {"epochs_since_best", p.epochs_since_best}};
}
TrainingPosition position_from(const nlohmann::json& j) {
  return {.step = count_from(j.at("step")),
          .epoch = count_from(j.at("epoch")),
          .batch = count_from(j.at("batch")),
          .metrics = metrics_from(j.at("metrics")),
          .epoch_seconds = j.at("epoch_seconds"),
          .seconds = j.at("seconds"),
          .best = result_from(j.at("best")),
          .last = result_from(j.at("last")),
          .epochs_since_best = count_from(j.value("epochs_since_best", nlohmann::json(0)))};
}

bool is_optimizer_state(const std::string& name) { return name.starts_with("state."); }

}  // namespace

void save_checkpoint(const RunDirectory& run, const Module& module, const WeightInfo& info,
                     const Optimizer& optimizer, const WeightAverage* average,
                     const TrainingPosition& position, const std::string& config) {
  TensorFile file = [&] {
    const AveragedWeights averaged(average);
    return to_tensor_file(module.state(), info);
  }();
  save_state(optimizer, file);
  if (average != nullptr) average->save_state(file);
  file.metadata["position"] = to_json(position).dump();
  file.metadata["config"] = config;
  write_tensors(run.checkpoint(position.step), file);
}

Checkpoint read_checkpoint(const std::filesystem::path& path) {
  return checkpoint_from(read_tensors(path), path);
}

Checkpoint checkpoint_from(TensorFile file, const std::filesystem::path& path) {
  Checkpoint checkpoint{.path = path, .file = std::move(file), .position = {}, .config = {}};
  const auto& metadata = checkpoint.file.metadata;
  check(metadata.contains("position") && metadata.contains("config"),
        "{}: weights without a position in a run: not a checkpoint that training could go on from",
        path.string());
  try {
    checkpoint.position = position_from(nlohmann::json::parse(metadata.at("position")));
    checkpoint.config = nlohmann::json::parse(metadata.at("config"));
  } catch (const std::exception& error) {
    fail("{}: its position or configuration is damaged: {}", path.string(), error.what());
  }
  return checkpoint;
}

std::optional<Checkpoint> read_newest_checkpoint(const RunDirectory& run) {
  const std::vector<std::int64_t> steps = run.checkpoint_steps();
  for (const std::int64_t step : steps) {
    try {
      return read_checkpoint(run.checkpoint(step));
    } catch (const Error& error) {
      data::notify_stderr(fmt::format("lamina: {}", error.what()));
      if (step != steps.back()) data::notify_stderr("lamina: falling back to the checkpoint before it");
    }
  }
  check(steps.empty(), "run directory {}: none of its {} checkpoints can be read; remove them to start over",
        run.path().string(), steps.size());
  return {};
}

void restore(const Checkpoint& checkpoint, Module& module, Optimizer& optimizer, WeightAverage* average) {
  load_weights(weights_of(checkpoint.file), module.state(), true, checkpoint.path.string());
  load_state(optimizer, checkpoint.file);
  if (average != nullptr) average->load_state(checkpoint.file);
}

TensorFile weights_of(const TensorFile& file) {
  TensorFile weights{{}, file.metadata};
  for (const auto& [name, tensor] : file.tensors) {
    if (!is_optimizer_state(name)) weights.tensors.emplace_back(name, tensor);
  }
  return weights;
}

}  // namespace lamina::train
