// `lamina bench hessian`: products of a network's Hessian with vectors beside its gradient, on one batch of
// random images.
#include <memory>
#include <nlohmann/json.hpp>

#include "analysis/loss_surface.h"
#include "apps/bench/bench.h"
#include "core/base/available_memory.h"
#include "core/base/table.h"
#include "train/objectives/classification.h"

namespace lamina::app {
namespace {

struct BenchHessian {
  BenchModel model;
  std::int64_t batch = 128;
  int at_once = 4, repeat = 5;
  std::string bn = "eval";
  bool json = false;
};

nlohmann::json measure(const BenchHessian& command) {
  ResNet net = make_net(command.model);
  const Device device = net.options().device;
  Classification objective(net);
  const data::Part part{.views = {random_tensor(command.model.images(command.batch), device)},
                        .labels = random_labels(command.batch, command.model.classes, device),
                        .batch_samples = command.batch};
  const analysis::LossSurface surface(objective, {part}, analysis::parse_batch_norm_mode(command.bn));
  std::vector<analysis::BlockProduct> blocks;
  for (int i = 0; i < command.at_once; ++i)
    blocks.push_back(
        {.parameters = surface.all_parameters(),
         .vector = Tensor::randn({surface.size()}, {.seed = 1, .draw = static_cast<std::uint32_t>(i)}),
         .product = {}});
  const Tensor gradient = Tensor::zeros({surface.size()});
  const auto times = time_in_turn(
      device, {.count = command.repeat},
      {[&] { surface.gradient(gradient); }, [&] { surface.products(std::span(blocks).first(1)); },
       [&] { surface.products(blocks); }});
  return {{"model", command.model.model},
          {"batch", command.batch},
          {"bn", command.bn},
          {"at_once", command.at_once},
          {"gradient_ms", times[0].median()},
          {"product_ms", times[1].median()},
          {"product_at_once_ms", times[2].median() / command.at_once},
          {"peak_mb", static_cast<double>(peak_resident_memory()) / megabyte}};
}

void print_hessian_times(const nlohmann::json& result) {
  const double gradient = result["gradient_ms"];
  Table table({"", "ms", "gradients"});
  const auto add = [&](const std::string& what, double ms) {
    table.add({what, fmt::format("{:.1f}", ms), fmt::format("{:.2f}", ms / gradient)});
  };
  add("gradient", gradient);
  add("product", result["product_ms"]);
  add(fmt::format("product, {} at once", result["at_once"].get<int>()), result["product_at_once_ms"]);
  fmt::print("{}\npeak memory of the process: {:.0f} MB\n", table.str(), result["peak_mb"].get<double>());
}

int run_bench_hessian(const BenchHessian& command) {
  return show(measure(command), command.json, print_hessian_times);
}

}  // namespace

void add_bench_hessian(const Command& bench) {
  const Command hessian = bench.add("hessian", "Time of a product with the Hessian, beside the gradient");
  auto command = std::make_shared<BenchHessian>();
  add_options(hessian, command->model);
  hessian.option("--batch", command->batch, "images", between(1, 1e9));
  hessian.option("--bn", command->bn, "batch norm: eval (running statistics) or train (of the batch)");
  hessian.option("--at-once", command->at_once, "products that share a backward pass", between(1, 1000));
  hessian.option("--repeat", command->repeat, "measurements, of which the median is shown", between(1, 1e9));
  hessian.option("--json", command->json, "one JSON object on standard output, nothing else");
  hessian.runs([command] { return run_bench_hessian(*command); });
}

}  // namespace lamina::app
