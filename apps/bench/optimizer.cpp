// `lamina bench optimizer`: an optimizer's step on a model's parameters, beside the bandwidth of the machine.
//
// A step must read weights, gradients and state once and write weights and state: `update_bytes`. A rule with
// trust ratios needs the norms of a tensor before it can change the first element, and the check for NaN
// needs every gradient before anything changes, so each reads part of that twice unless a cache holds it:
// `norm_bytes`.
#include <memory>
#include <nlohmann/json.hpp>

#include "apps/bench/bench.h"
#include "core/base/error.h"
#include "core/base/table.h"
#include "optim/presets.h"

namespace lamina::app {
namespace {

struct BenchOptimizer {
  BenchModel model;
  std::string optimizer = "lars";
  bool trace = false;
  int repeat = 20;
  bool json = false;
};

std::string knob(const Optimizer& optimizer, const std::string& name) {
  for (const auto& [key, value] : optimizer.knobs()) {
    if (key == name) return value;
  }
  return "";
}

// Whether the vector whose norm a trust ratio divides by is made from the state.
bool norms_read_state(const Optimizer& optimizer) {
  return optimizer.name() == "lamb" || knob(optimizer, "denominator") == "after_momentum";
}

struct Bytes {
  double update = 0, norms = 0;
};

Bytes count_bytes(const Optimizer& optimizer, bool trace) {
  constexpr double weight = 4, gradient = 4;
  const double state = 4 * static_cast<double>(optimizer.arena().slot_names().size());
  const std::string max_norm = knob(optimizer, "max_grad_norm");
  const bool clips = !max_norm.empty() && max_norm != "0";
  Bytes bytes;
  for (std::size_t i = 0; i < optimizer.segments().size(); ++i) {
    const auto elements = static_cast<double>(optimizer.segments()[i].elements);
    const bool adapts = optimizer.settings()[i].adapts;
    bytes.update += elements * (gradient + 2 * (weight + state));
    if (clips) bytes.norms += elements * gradient;
    if (adapts) bytes.norms += elements * (weight + gradient + (norms_read_state(optimizer) ? state : 0));
    if (!adapts && (trace || !clips)) bytes.norms += elements * (gradient + (trace ? weight : 0));
  }
  return bytes;
}

// Milliseconds of a step and, in turn with it, of moving arrays as large as the optimizer's.
struct Times {
  Samples<double> step, add, add_in_place;
};

Times measure_times(Optimizer& optimizer, const Repeats& repeats) {
  const Device device = optimizer.arena().device();
  Backend& backend = backend_for(device);
  const Tensor a = random_tensor({optimizer.arena().elements()}, device);
  Tensor b = a.clone(), out = Tensor::empty_like(a);
  const auto times = time_in_turn(device, repeats,
                                  {[&] { optimizer.step(); }, [&] { backend.binary(math::Add{}, a, b, out); },
                                   [&] { backend.accumulate(a, b); }});
  return {.step = times[0], .add = times[1], .add_in_place = times[2]};
}

std::unique_ptr<Optimizer> make(const BenchOptimizer& command, const ResNet& net) {
  // A learning rate at which no optimizer diverges; the time does not depend on it.
  auto optimizer =
      make_optimizer(command.optimizer, net.parameters(), {{"lr", "1e-4"}}, {.steps_per_epoch = 100});
  optimizer->set_tracing(command.trace);
  for (const auto& param : net.parameters()) {
    Tensor grad = param->grad();
    grad.copy_from(random_tensor(grad.shape(), grad.device()));
  }
  return optimizer;
}

nlohmann::json measure(const BenchOptimizer& command) {
  const ResNet net = make_net(command.model);
  const auto optimizer = make(command, net);
  const Times times = measure_times(*optimizer, {.count = command.repeat, .warmup = 2});
  const double step = times.step.median();
  const auto rate = [](double bytes, double ms) { return bytes / ms * 1e-6; };
  // As STREAM counts (McCalpin 1995): two arrays read, one written. a = b + c also reads the memory that it
  // overwrites, uncounted; b += a does not, nor does an optimizer.
  const double moved = 3 * static_cast<double>(optimizer->arena().values().bytes());
  const double add = rate(moved, times.add.median()), add_in_place = rate(moved, times.add_in_place.median());
  const double machine = std::max(add, add_in_place);
  const Bytes bytes = count_bytes(*optimizer, command.trace);
  const double update = rate(bytes.update, step), with_norms = rate(bytes.update + bytes.norms, step);
  return {{"model", net.model()},
          {"optimizer", command.optimizer},
          {"trace", command.trace},
          {"device", net.options().device.str()},
          {"threads", threads()},
          {"tf32", tf32()},
          {"repeat", command.repeat},
          {"parameters", optimizer->arena().elements()},
          {"median_ms", step},
          {"min_ms", times.step.least()},
          {"update_bytes", bytes.update},
          {"norm_bytes", bytes.norms},
          {"gb_per_s", update},
          {"gb_per_s_with_norms", with_norms},
          {"machine_add_gb_per_s", add},
          {"machine_add_in_place_gb_per_s", add_in_place},
          {"ratio", update / machine},
          {"ratio_with_norms", with_norms / machine}};
}

void print_step(const nlohmann::json& result) {
  const auto number = [&](const char* key) { return result[key].get<double>(); };
  print_result("{} on the {} parameters of {}{}, {}, {} threads: {:.3f} ms a step, fastest {:.3f} ms\n\n",
               result["optimizer"].get<std::string>(), format_count(result["parameters"].get<std::int64_t>()),
               result["model"].get<std::string>(), result["trace"].get<bool>() ? ", traced" : "",
               result["device"].get<std::string>(), number("threads"), number("median_ms"), number("min_ms"));
  const double update = number("update_bytes") / megabyte, norms = number("norm_bytes") / megabyte;
  const double best = std::max(number("machine_add_gb_per_s"), number("machine_add_in_place_gb_per_s"));
  Table table({"memory", "MB", "GB/s", "% of the machine's"});
  const auto row = [&](const char* name, const std::string& size, const char* key) {
    table.add(
        {name, size, fmt::format("{:.1f}", number(key)), fmt::format("{:.0f}", 100 * number(key) / best)});
  };
  row("all once", fmt::format("{:.1f}", update), "gb_per_s");
  row("and once more for the norms", fmt::format("{:.1f}", update + norms), "gb_per_s_with_norms");
  row("machine: a = b + c", "-", "machine_add_gb_per_s");
  row("machine: b += a", "-", "machine_add_in_place_gb_per_s");
  print_result("{}", table.str());
}

int run_bench_optimizer(const BenchOptimizer& command) {
  find_preset(command.optimizer);
  return show(measure(command), command.json, print_step);
}

}  // namespace

void add_bench_optimizer(const Command& bench) {
  const Command optimizer = bench.add("optimizer", "An optimizer's step, beside the machine's bandwidth");
  auto command = std::make_shared<BenchOptimizer>();
  add_options(optimizer, command->model);
  optimizer.option("--optimizer", command->optimizer, "O[:PRESET]; lamina info --presets lists them");
  optimizer.option("--trace", command->trace, "measure every norm of every tensor, as train --trace does");
  optimizer.option("--repeat", command->repeat, "measured steps", between(1, 1e9));
  optimizer.option("--json", command->json, "one JSON object on standard output, nothing else");
  optimizer.runs([command] { return run_bench_optimizer(*command); });
}

}  // namespace lamina::app
