// Trainings small enough for tests, and what they leave behind.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "core/backend.h"
#include "core/ops/ops.h"
#include "data/sets/synthetic.h"
#include "layers/linear.h"
#include "layers/resnet.h"
#include "optim/presets.h"
#include "temporary_directory.h"
#include "train/objectives/classification.h"
#include "train/trainer.h"

namespace lamina::tests {

// 8×8 images of four made-up classes.
inline const data::Dataset& tiny_images() {
  static const data::Dataset set =
      data::synthetic({.classes = 4, .height = 8, .width = 8, .train = 72, .test = 40});
  return set;
}

struct TinyOptions {
  std::string optimizer = "lars";
  double lr = 0.5;
  double label_smoothing = 0;
  double mixup = 0;
  data::LoaderOptions loader = {.batch = 24, .augment = data::standard(), .workers = 0};
};

// All that a Trainer wants, the same each time it is made. 3 steps an epoch.
struct TinyParts {
  explicit TinyParts(const TinyOptions& options = {})
      : net("resnet8", {.classes = 4, .seed = 3}),
        objective(net, {.label_smoothing = options.label_smoothing, .mixup = options.mixup}),
        optimizer(make_optimizer(options.optimizer, net.parameters(), {{"lr", fmt::format("{}", options.lr)}},
                                 {.steps_per_epoch = 3})),
        loader(tiny_images().train, with_seed(options.loader)) {
    set_threads(1);  // on a busy machine more of them wait longer for one another than such small work takes
  }
  static data::LoaderOptions with_seed(data::LoaderOptions options) {
    options.seed = 3;
    return options;
  }

  ResNet net;
  Classification objective;
  std::unique_ptr<Optimizer> optimizer;
  data::Loader loader;
};

// A fully connected layer on the pixels: each sample is computed by itself, whatever part it is in.
class PixelLinear final : public Module {
 public:
  explicit PixelLinear(int out, DType dtype = DType::f32)
      : linear_(
            &add_child<Linear>("linear", 8 * 8 * 3, out, LinearLayerOptions{.tensor = {.dtype = dtype}})) {
    initialise(*this, {}, 3);
  }
  std::string kind() const override { return "PixelLinear"; }

 private:
  Tensor forward(const Tensor& x) override { return (*linear_)(reshape(x, {x.size(0), 8 * 8 * 3})); }
  Linear* linear_;
};

// An objective made of functions.
class OwnObjective final : public Objective {
 public:
  using Function = std::function<PartLoss(const data::Part&)>;
  OwnObjective(Module& net, Function loss) : loss_of(std::move(loss)), evaluation_of(loss_of), net_(net) {}
  std::string name() const override { return "own"; }
  Module& module() override { return net_; }
  PartLoss loss(const data::Part& part) override { return loss_of(part); }
  PartLoss evaluate(const data::Part& part) override { return evaluation_of(part); }
  std::vector<MetricInfo> metrics() const override { return infos; }
  bool needs_whole_batch() const override { return whole; }

  Function loss_of, evaluation_of;
  std::vector<MetricInfo> infos = {};
  bool whole = false;

 private:
  Module& net_;
};

// An observer made of functions, those that are set.
class Look final : public Observer {
 public:
  std::string name() const override { return "look"; }
  void start(const TrainingRun& run) override { call(on_start, run); }
  std::vector<std::string> columns() const override { return names; }
  bool wants_parts() const override { return static_cast<bool>(on_part); }
  void part(const data::Part& part) override { call(on_part, part); }
  void part_done(std::int64_t samples, std::int64_t of) override { call(on_part_done, samples, of); }
  void step(TrainedStep& step) override { call(on_step, step); }
  void testing(std::int64_t samples, std::int64_t of) override { call(on_testing, samples, of); }
  void epoch(const EpochResult& result) override { call(on_epoch, result); }
  void save() override { call(on_save); }
  void finish() override { call(on_finish); }

  std::vector<std::string> names = {};
  std::function<void(const TrainingRun&)> on_start = {};
  std::function<void(const data::Part&)> on_part = {};
  std::function<void(std::int64_t, std::int64_t)> on_part_done = {};
  std::function<void(TrainedStep&)> on_step = {};
  std::function<void(std::int64_t, std::int64_t)> on_testing = {};
  std::function<void(const EpochResult&)> on_epoch = {};
  std::function<void()> on_save = {}, on_finish = {};

 private:
  template <typename Function, typename... Arguments>
  static void call(const Function& function, Arguments&&... arguments) {
    if (function) function(std::forward<Arguments>(arguments)...);
  }
};

// Every bit of the parameters and buffers.
inline std::string bits_of(const Module& module) {
  std::string bits;
  for (const auto& param : module.state())
    bits.append(reinterpret_cast<const char*>(param->value.raw()), param->value.bytes());
  return bits;
}

// A log but for the columns that tell the time.
inline std::string log_without_times(const std::filesystem::path& csv) {
  std::istringstream lines(contents_of(csv));
  std::vector<bool> kept;
  std::string text;
  for (std::string line; std::getline(lines, line); text += "\n") {
    line += ",";
    const bool is_header = kept.empty();
    std::size_t begin = 0, column = 0;
    for (std::size_t end = line.find(','); end != std::string::npos; end = line.find(',', begin), ++column) {
      const std::string cell = line.substr(begin, end - begin);
      begin = end + 1;
      if (is_header) kept.push_back(cell != "seconds" && cell != "images_per_s");
      if (column >= kept.size() || kept[column]) text += cell + ",";
    }
  }
  return text;
}

// What a finished run leaves in its directory that does not tell the time, by file.
inline std::vector<std::pair<std::string, std::string>> results_in(const std::filesystem::path& run) {
  return {{"weights", contents_of(run / "weights.safetensors")},
          {"trace", contents_of(run / "trace.safetensors")},
          {"best", contents_of(run / "best.safetensors")},
          {"steps", log_without_times(run / "steps.csv")},
          {"epochs", log_without_times(run / "epochs.csv")}};
}

// The files in which two runs differ; empty: they came to the same.
inline std::string differing(const std::filesystem::path& a, const std::filesystem::path& b) {
  std::string names;
  const auto of_a = results_in(a), of_b = results_in(b);
  for (std::size_t i = 0; i < of_a.size(); ++i)
    if (of_a[i] != of_b[i]) names += " " + of_a[i].first;
  return names;
}

}  // namespace lamina::tests
