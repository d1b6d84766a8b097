#include "apps/checkpoint.h"

#include "core/error.h"

namespace lamina {
namespace {

nlohmann::json to_json(const Metrics& m) {
  return {{"loss_sum", m.loss_sum}, {"correct", m.correct}, {"samples", m.samples}};
}
Metrics metrics_from(const nlohmann::json& j) { return {j.at("loss_sum"), j.at("correct"), j.at("samples")}; }

nlohmann::json to_json(const EpochResult& r) {
  return {{"epoch", r.epoch}, {"train", to_json(r.train)}, {"test", to_json(r.test)}, {"seconds", r.seconds}};
}
EpochResult result_from(const nlohmann::json& j) {
  return {j.at("epoch"), metrics_from(j.at("train")), metrics_from(j.at("test")), j.at("seconds")};
}

nlohmann::json to_json(const Position& p) {
  return {{"step", p.step},
          {"epoch", p.epoch},
          {"batch", p.batch},
          {"metrics", to_json(p.metrics)},
          {"epoch_seconds", p.epoch_seconds},
          {"seconds", p.seconds},
          {"best", to_json(p.best)},
          {"last", to_json(p.last)}};
}
Position position_from(const nlohmann::json& j) {
  return {.step = j.at("step"),
          .epoch = j.at("epoch"),
          .batch = j.at("batch"),
          .metrics = metrics_from(j.at("metrics")),
          .epoch_seconds = j.at("epoch_seconds"),
          .seconds = j.at("seconds"),
          .best = result_from(j.at("best")),
          .last = result_from(j.at("last"))};
}

bool is_optimizer_state(const std::string& name) { return name.starts_with("state."); }

}  // namespace

void Metrics::add(const Metrics& other) {
  loss_sum += other.loss_sum;
  correct += other.correct;
  samples += other.samples;
}

void save_checkpoint(const RunDirectory& run, const Module& net, const WeightInfo& info,
                     const Optimizer& optimizer, const Position& position, const nlohmann::json& config) {
  TensorFile file = to_tensor_file(net.state(), info);
  optimizer.save_state(file);
  file.metadata["position"] = to_json(position).dump();
  file.metadata["config"] = config.dump();
  write_tensors(run.checkpoint(position.step), file);
  run.remove_old_checkpoints(2);
}

Checkpoint read_checkpoint(const std::filesystem::path& path) {
  Checkpoint checkpoint{.path = path, .file = read_tensors(path), .position = {}, .config = {}};
  const auto& metadata = checkpoint.file.metadata;
  check(metadata.contains("position") && metadata.contains("config"),
        "{}: weights without a position in a run: not a checkpoint that training could go on from",
        path.string());
  try {
    checkpoint.position = position_from(nlohmann::json::parse(metadata.at("position")));
    checkpoint.config = nlohmann::json::parse(metadata.at("config"));
  } catch (const nlohmann::json::exception& error) {
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
      fmt::print(stderr, "lamina: {}\nlamina: falling back to the checkpoint before it\n", error.what());
    }
  }
  check(steps.empty(), "run directory {}: none of its {} checkpoints can be read; remove them to start over",
        run.path().string(), steps.size());
  return {};
}

void restore(const Checkpoint& checkpoint, Module& net, Optimizer& optimizer) {
  load_weights(weights_of(checkpoint.file), net.state(), true, checkpoint.path.string());
  optimizer.load_state(checkpoint.file);
}

TensorFile weights_of(const TensorFile& file) {
  TensorFile weights{{}, file.metadata};
  for (const auto& [name, tensor] : file.tensors) {
    if (!is_optimizer_state(name)) weights.tensors.emplace_back(name, tensor);
  }
  return weights;
}

}  // namespace lamina
