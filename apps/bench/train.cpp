// `lamina bench train`: training steps on one batch that is on the device already. What a step does is what
// training does; the loader is not part of it. With --trace every other step is traced, so that both kinds
// meet the same disturbances. A GPU is not waited for after each step, but after every so many: training does
// not wait for it either.
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "apps/bench/bench.h"
#include "core/base/available_memory.h"
#include "core/base/error.h"
#include "core/base/table.h"
#include "core/memory/allocator.h"
#include "optim/presets.h"
#include "train/memory_advice.h"
#include "train/objectives/classification.h"
#include "train/step.h"
#include "train/trace.h"

namespace lamina::app {
namespace {

struct BenchTrain {
  BenchModel model;
  std::string optimizer = "sgd";
  std::int64_t batch = 128, micro_batch = 0;
  int steps = 10, warmup = 2;
  bool trace = false, eager = false, json = false;
};

void check_options(const BenchTrain& command) {
  if (command.micro_batch > command.batch)
    fail_usage("--micro-batch {} is larger than --batch {}", command.micro_batch, command.batch);
  find_preset(command.optimizer);
}

// Milliseconds of a step, and of its parts, which add up to it. A step that a GPU replays has no parts.
struct StepTime {
  double total = 0;
  double forward = 0;    // of the model
  double backward = 0;   // from the loss to the last gradient
  double optimizer = 0;  // the update, recording the trace, and zeroing the gradients
  bool operator<(const StepTime& other) const { return total < other.total; }
};

std::vector<data::Part> make_batch(const BenchTrain& command, Device device) {
  const Tensor images = random_tensor(command.model.images(command.batch), device);
  const Tensor labels = random_labels(command.batch, command.model.classes, device);
  const std::int64_t size = command.micro_batch > 0 ? command.micro_batch : command.batch;
  std::vector<data::Part> parts;
  for (std::int64_t first = 0; first < command.batch; first += size) {
    const std::int64_t count = std::min(size, command.batch - first);
    parts.push_back({.views = {images.rows(first, count)},
                     .labels = labels.rows(first, count),
                     .batch_samples = command.batch,
                     .completes_batch = first + count == command.batch});
  }
  return parts;
}

class StepTimer {
 public:
  StepTimer(const BenchTrain& command, Objective& objective, Optimizer& optimizer, TraceTable* trace)
      : device_(optimizer.arena().device()),
        net_(objective.module()),
        optimizer_(optimizer),
        trace_(trace),
        replayed_(device_.type != DeviceType::cpu && !command.eager),
        step_(objective, optimizer,
              {.capture = !command.eager,
               .after_part = replayed_ ? std::function<void(const data::Part&)>()
                                       : [this](const data::Part&) { gradients_ = watch_->ms(); }}) {}

  StepTime time(const std::vector<data::Part>& parts) {
    optimizer_.set_tracing(trace_ != nullptr);
    return replayed_ ? time_replayed(parts) : time_in_parts(parts);
  }

 private:
  static constexpr int replays = 10;  // between two waits for the GPU

  StepTime time_replayed(const std::vector<data::Part>& parts) {
    const Stopwatch watch(device_);
    for (int i = 0; i < replays; ++i) take_step(parts);
    read_results();
    return {.total = watch.ms() / replays};
  }

  StepTime time_in_parts(const std::vector<data::Part>& parts) {
    watch_.emplace(device_);
    double part_start = 0, forward = 0;
    const ForwardObserver observer([&](const Module& module, const Tensor&, const Tensor&) {
      if (&module == &net_) forward += watch_->ms() - part_start;
    });
    double gradients = 0;
    for (const data::Part& part : parts) {
      part_start = watch_->ms();
      step_.run(part);
      gradients += gradients_ - part_start;
    }
    read_results();
    const double total = watch_->ms();
    return {
        .total = total, .forward = forward, .backward = gradients - forward, .optimizer = total - gradients};
  }

  void take_step(const std::vector<data::Part>& parts) {
    for (const data::Part& part : parts) step_.run(part);
  }

  void read_results() {
    const train::StepResults results = step_.results();
    check(results.failure.empty(), "bench train: {}; try another --optimizer", results.failure);
    if (trace_ == nullptr) return;
    for (const train::StepResult& step : results.steps) trace_->add(step.report);
  }

  Device device_;
  Module& net_;
  Optimizer& optimizer_;
  TraceTable* trace_;
  bool replayed_;
  std::optional<Stopwatch> watch_;
  double gradients_ = 0;  // when those of the last part were there
  train::TrainingStep step_;
};

struct StepTimes {
  Samples<StepTime> plain, traced;  // none traced unless asked for
};

StepTimes time_steps(const BenchTrain& command, Objective& objective, Optimizer& optimizer,
                     const std::vector<data::Part>& parts) {
  TraceTable trace(optimizer.segments());
  StepTimer plain_step(command, objective, optimizer, nullptr),
      traced_step(command, objective, optimizer, &trace);
  std::vector<StepTime> plain, traced;
  for (int i = -command.warmup; i < command.steps; ++i) {
    const StepTime time = plain_step.time(parts);
    if (i >= 0) plain.push_back(time);
    if (!command.trace) continue;
    const StepTime traced_time = traced_step.time(parts);
    if (i >= 0) traced.push_back(traced_time);
  }
  return {.plain = Samples(std::move(plain)), .traced = Samples(std::move(traced))};
}

// Where a step has parts, the optimizer's is all that a trace adds to; compared alone, the noise of the rest
// stays out.
void add_trace_overhead(const StepTimes& times, nlohmann::json& result) {
  const StepTime &plain = times.plain.median(), &traced = times.traced.median();
  const double more = plain.optimizer > 0 ? traced.optimizer - plain.optimizer : traced.total - plain.total;
  result["traced_step_ms"] = traced.total;
  if (plain.optimizer > 0) result["traced_optimizer_ms"] = traced.optimizer;
  result["trace_overhead"] = more / plain.total;
}

void add_parts(const StepTime& step, nlohmann::json& result) {
  if (step.forward == 0) return;
  result["forward_ms"] = step.forward;
  result["backward_ms"] = step.backward;
  result["optimizer_ms"] = step.optimizer;
}

OutOfMemory explain(const OutOfMemory& error, const BenchTrain& command, Objective& objective,
                    Device device) {
  const bool split = command.micro_batch > 0;
  const std::int64_t at_once = split ? command.micro_batch : command.batch;
  const auto run = [&](std::int64_t images) {
    const data::Part part{.views = {Tensor::zeros(command.model.images(images), {.device = device})},
                          .labels = Tensor::zeros({images}, {DType::i32, device}),
                          .batch_samples = images};
    const Tensor sums = Tensor::zeros({std::ssize(objective.metrics()) + 1}, {.device = device});
    accumulate_gradients(objective, part, sums);
  };
  return train::explain(error, {.device = device,
                                .request = fmt::format("{} {}", split ? "--micro-batch" : "--batch", at_once),
                                .option = "--micro-batch",
                                .images = at_once,
                                .batch = command.batch,
                                .run = run});
}

nlohmann::json measure(const BenchTrain& command) {
  ResNet net = make_net(command.model);
  const Device device = net.options().device;
  const std::int64_t macs = summary(net, command.model.images(1)).multiply_adds;
  const std::vector<data::Part> parts = make_batch(command, device);
  // A learning rate at which no optimizer diverges; the time does not depend on it.
  const auto optimizer = make_optimizer(command.optimizer, net.parameters(), {{"lr", "1e-4"}},
                                        {.batch = command.batch, .steps_per_epoch = 100});
  Classification objective(net);
  const StepTimes times = [&] {
    try {
      return time_steps(command, objective, *optimizer, parts);
    } catch (const OutOfMemory& error) {
      throw explain(error, command, objective, device);
    }
  }();

  const StepTime& step = times.plain.median();
  const double images_per_s = 1e3 * static_cast<double>(command.batch) / step.total;
  // The backward pass is two convolutions for each one of the forward pass; a multiply-add is two operations.
  const double flop_per_image = 3 * 2 * static_cast<double>(macs);
  nlohmann::json result = {
      {"model", net.model()},
      {"stem", name_of(*net.options().stem)},
      {"image_size", command.model.image_size},
      {"classes", command.model.classes},
      {"optimizer", command.optimizer},
      {"batch", command.batch},
      {"micro_batch", command.micro_batch},
      {"device", device.str()},
      {"precision", command.model.device.precision},
      {"tf32", tf32()},
      {"deterministic", deterministic()},
      {"threads", threads()},
      {"steps", command.steps},
      {"warmup", command.warmup},
      {"median_step_ms", step.total},
      {"min_step_ms", times.plain.least().total},
      {"images_per_s", images_per_s},
      {"gflops", images_per_s * flop_per_image * 1e-9},
      {"peak_rss_mb", static_cast<double>(peak_resident_memory()) / megabyte},
      {"peak_tensor_mb", static_cast<double>(backend_for(device).allocator().use().peak_bytes) / megabyte}};
  add_parts(step, result);
  if (command.trace) add_trace_overhead(times, result);
  return result;
}

void print_steps(const nlohmann::json& result) {
  const auto number = [&](const char* key) { return result[key].get<double>(); };
  const auto text = [&](const char* key) { return result[key].get<std::string>(); };
  print_result("{}, {} stem, batch {} of {}x{} images, {}, {} on {}, {} threads\n\n", text("model"),
               text("stem"), number("batch"), number("image_size"), number("image_size"), text("optimizer"),
               text("precision"), text("device"), number("threads"));
  Table table({"part of the median step", "ms", "%"});
  const auto row = [&](const char* name, const char* key) {
    table.add({name, fmt::format("{:.2f}", number(key)),
               fmt::format("{:.1f}", 100 * number(key) / number("median_step_ms"))});
  };
  if (result.contains("forward_ms")) {
    row("forward", "forward_ms");
    row("loss and backward", "backward_ms");
    row("optimizer", "optimizer_ms");
  }
  row("step", "median_step_ms");
  print_result(
      "{}\n{:.1f} images/s, {:.0f} GFLOP/s; fastest step {:.2f} ms; peak memory {:.0f} MB, of tensors {:.0f} "
      "MB\n",
      table.str(), number("images_per_s"), number("gflops"), number("min_step_ms"), number("peak_rss_mb"),
      number("peak_tensor_mb"));
  if (result.contains("trace_overhead")) {
    print_result("traced: {:.2f} % of a step more; step {:.2f} ms\n", 100 * number("trace_overhead"),
                 number("traced_step_ms"));
  }
}

int run_bench_train(const BenchTrain& command) {
  check_options(command);
  return show(measure(command), command.json, print_steps);
}

}  // namespace

void add_bench_train(const Command& bench) {
  const Command train = bench.add("train", "Training steps on a batch of random images");
  auto command = std::make_shared<BenchTrain>();
  add_options(train, command->model);
  add_precision(train, command->model.device);
  train.option("--batch", command->batch, "images per step", between(1, 1e9));
  train.option("--micro-batch", command->micro_batch, "images computed at once; 0: the whole batch",
               between(0, 1e9));
  train.option("--optimizer", command->optimizer, "O[:PRESET]; lamina info --presets lists them");
  train.option("--steps", command->steps, "steps that are measured", between(1, 1e9));
  train.option("--warmup", command->warmup, "steps before them", between(0, 1e9));
  train.option("--trace", command->trace, "every other step traced, as train --trace does, and compared");
  train.option("--eager", command->eager,
               "CUDA: kernels one by one, not as a captured step; shows a step's parts");
  train.option("--json", command->json, "one JSON object on standard output, nothing else");
  train.runs([command] { return run_bench_train(*command); });
}

}  // namespace lamina::app
