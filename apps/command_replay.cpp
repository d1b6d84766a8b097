#include <cmath>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "apps/commands.h"
#include "apps/output.h"
#include "core/base/error.h"
#include "core/base/json_number.h"
#include "core/base/printable.h"
#include "core/base/table.h"
#include "core/base/version.h"
#include "optim/norms.h"
#include "train/replay.h"

namespace lamina::app {
namespace {

namespace fs = std::filesystem;

struct ReplayCommand {
  std::string optimizer, params, grads, out;
  std::vector<std::string> set;
  std::optional<double> lr, momentum, weight_decay;
  std::vector<double> lrs;
  std::optional<std::string> dtype;
  std::int64_t batch = 256, base_batch = 256, steps_per_epoch = 0;
  bool json = false;
};

void check_command(const ReplayCommand& command) {
  const auto required = [](const char* flag, const std::string& value) {
    if (value.empty()) fail_usage("{} is missing; lamina replay --help shows the usage", flag);
  };
  required("--optimizer", command.optimizer);
  required("--params", command.params);
  required("--grads", command.grads);
  required("--out", command.out);
  for (const std::string& input : {command.params, command.grads}) {
    std::error_code none;  // as for files that do not exist
    if (fs::equivalent(command.out, input, none)) fail_usage("--out {} would replace an input", command.out);
  }
  if (command.lr && !command.lrs.empty()) fail_usage("--lr and --lrs: give one of them");
  for (const std::string& input : {command.params, command.grads}) {
    if (!is_utf8(input))
      fail_usage("{}: not UTF-8, and could not be kept in --out; rename it, or reach it by a link", input);
  }
}

std::optional<DType> parse_dtype(const std::optional<std::string>& name) {
  if (!name) return {};
  if (*name == "f32") return DType::f32;
  if (*name == "f64") return DType::f64;
  fail_usage("--dtype {}: expected f32 or f64", *name);
}

nlohmann::json knobs_json(const Optimizer& optimizer) {
  nlohmann::json knobs = nlohmann::json::object();
  for (const auto& [name, value] : optimizer.knobs()) knobs[name] = value;
  return knobs;
}

void write(const ReplayCommand& command, const train::Trajectory& trajectory) {
  TensorFile file = train::to_file(trajectory);
  file.metadata = {{"made_by", "lamina replay " + version()},
                   {"optimizer", full_name(find_preset(command.optimizer))},
                   {"knobs", knobs_json(*trajectory.optimizer).dump()},
                   {"params", command.params},
                   {"grads", command.grads}};
  write_tensors(command.out, file);
}

double final_norm(const Optimizer& optimizer, const Segment& segment) {
  return std::sqrt(squared_norm(optimizer.arena().segment_of(optimizer.arena().values(), segment)));
}

void print_json(const ReplayCommand& command, const train::Trajectory& trajectory) {
  const Optimizer& optimizer = *trajectory.optimizer;
  nlohmann::json layers = nlohmann::json::array();
  for (std::size_t i = 0; i < optimizer.segments().size(); ++i) {
    const Segment& segment = optimizer.segments()[i];
    const LayerSettings& settings = optimizer.settings()[i];
    layers.push_back({{"name", segment.name},
                      {"shape", std::vector<std::int64_t>(segment.shape.begin(), segment.shape.end())},
                      {"kind", name_of(segment.kind)},
                      {"adapts", settings.adapts},
                      {"weight_decay", settings.weight_decay},
                      {"lr_scale", settings.lr_scale},
                      {"weight_norm_first", json_number(trajectory.steps.front().layers[i].weight_norm)},
                      {"weight_norm_after", json_number(final_norm(optimizer, segment))},
                      {"trust_first", json_number(trajectory.steps.front().layers[i].trust)},
                      {"trust_last", json_number(trajectory.steps.back().layers[i].trust)}});
  }
  const nlohmann::json json{{"optimizer", full_name(find_preset(command.optimizer))},
                            {"knobs", knobs_json(optimizer)},
                            {"dtype", name_of(optimizer.arena().dtype())},
                            {"steps", trajectory.steps.size()},
                            {"out", command.out},
                            {"layers", layers}};
  print_result_json(json);
}

void print_text(const ReplayCommand& command, const train::Trajectory& trajectory) {
  const Optimizer& optimizer = *trajectory.optimizer;
  const std::vector<StepReport>& steps = trajectory.steps;
  print_result("{}, {} steps in {}, lr {:.4g} to {:.4g}\n\n", full_name(find_preset(command.optimizer)),
               steps.size(), name_of(optimizer.arena().dtype()), steps.front().lr, steps.back().lr);
  Table table({"tensor", "shape", "weight decay", "norm before", "norm after", "first trust ratio", "last"});
  for (std::size_t i = 0; i < optimizer.segments().size(); ++i) {
    const Segment& segment = optimizer.segments()[i];
    const LayerSettings& settings = optimizer.settings()[i];
    const auto trust = [&](const StepReport& step) {
      return settings.adapts ? fmt::format("{:.4e}", step.layers[i].trust) : "-";
    };
    table.add({segment.name, segment.shape.str(), fmt::format("{:.4g}", settings.weight_decay),
               fmt::format("{:.4e}", steps.front().layers[i].weight_norm),
               fmt::format("{:.4e}", final_norm(optimizer, segment)), trust(steps.front()),
               trust(steps.back())});
  }
  print_result("{}\nwrote {}\n", table.str(), command.out);
}

int run_replay(const ReplayCommand& command) {
  check_command(command);
  find_preset(command.optimizer);  // before files are read that may be large
  KnobOverrides overrides{
      .lr = command.lr, .momentum = command.momentum, .weight_decay = command.weight_decay, .set = {}};
  for (const std::string& text : command.set)
    for (auto& setting : parse_settings(text)) overrides.set.push_back(std::move(setting));
  const train::ReplayOptions options{.optimizer = command.optimizer,
                                     .overrides = std::move(overrides),
                                     .facts = {.batch = command.batch,
                                               .base_batch = command.base_batch,
                                               .steps_per_epoch = command.steps_per_epoch},
                                     .lrs = command.lrs,
                                     .dtype = parse_dtype(command.dtype)};
  const train::Trajectory trajectory =
      train::replay(read_tensors(command.params), read_tensors(command.grads), options);
  write(command, trajectory);
  if (command.json) {
    print_json(command, trajectory);
  } else {
    print_text(command, trajectory);
  }
  return 0;
}

}  // namespace

void add_replay_command(const Command& program) {
  const Command replay = program.add("replay", "Feed recorded gradients to an optimizer, without a model");
  auto command = std::make_shared<ReplayCommand>();
  replay.option("--optimizer", command->optimizer, "lamina info --presets lists them", "O[:PRESET]");
  replay.option("--params", command->params, "safetensors: name -> tensor; under 2 dimensions: bias or norm",
                "P");
  replay.option("--grads", command->grads, "safetensors: the same names -> [steps, *shape]", "G");
  replay.option("--out", command->out,
                "safetensors: final parameters, state.<slot>.<name>, and per step trust.<name>, "
                "weight_norm.<name>, grad_norm.<name>, update_norm.<name>, lr, phi",
                "F");
  replay.option("--lr", command->lr, "learning rate of every step; default: the preset's", at_least(0));
  replay.option("--lrs", command->lrs, "learning rates, one per step; the largest counts as the peak",
                at_least(0));
  replay.option("--momentum", command->momentum, "default: the preset's", share_below_1());
  replay.option("--weight-decay", command->weight_decay, "default: the preset's", at_least(0));
  replay.option("--set", command->set, "KNOB=VALUE: override a knob of the preset; repeatable");
  replay.option("--dtype", command->dtype, "f32 or f64, of all arithmetic; default: that of P");
  replay.option("--batch", command->batch, "of the recording, for knobs that depend on it", between(1, 1e9));
  replay.option("--base-batch", command->base_batch, "for the same knobs", between(1, 1e9));
  replay.option("--steps-per-epoch", command->steps_per_epoch, "for knobs in epochs; 0: unknown",
                at_least(0));
  replay.option("--json", command->json, "one JSON object on standard output, nothing else");
  replay.runs([command] { return run_replay(*command); });
}

}  // namespace lamina::app
