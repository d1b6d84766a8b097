#include <cmath>
#include <nlohmann/json.hpp>

#include "apps/bench/bench.h"
#include "apps/commands.h"
#include "core/base/error.h"
#include "core/random.h"

namespace lamina::app {

void add_bench_command(const Command& program) {
  const Command bench =
      program.add("bench", "Timings of training steps, kernels, optimizers, views and ranks");
  add_bench_train(bench);
  add_bench_ops(bench);
  add_bench_optimizer(bench);
  add_bench_views(bench);
  add_bench_hessian(bench);
  add_bench_parallel(bench);
}

void add_options(const Command& command, BenchModel& options) {
  command.option("--model", options.model, "resnet8|14|20|32|44|56|110, resnet18|34|50");
  command.option("--stem", options.stem, "cifar or imagenet (resnet18|34|50)");
  command.option("--image-size", options.image_size, "height and width of the images", between(1, 65536));
  command.option("--classes", options.classes, "outputs of the model", between(1, 1e9));
  add_options(command, options.device);
}

ResNet make_net(const BenchModel& options) {
  const Stem stem = parse_stem(options.stem);
  const Device device = train::use_device(options.device);
  return ResNet(options.model, {.classes = options.classes,
                                .stem = stem,
                                .device = device,
                                .activations = train::activations_of(options.device),
                                .seed = 1});
}

int show(const nlohmann::json& result, bool as_json, void (*print)(const nlohmann::json&)) {
  if (as_json) {
    print_result_json(result, 2);
  } else {
    print(result);
  }
  return 0;
}

Tensor random_tensor(const Shape& shape, Device device) {
  constexpr std::size_t period = 1 << 16;  // more different numbers would only take longer to make
  const Random random{.stream = Stream::probe};
  const float width = std::sqrt(12.0f);  // of the interval around 0 whose uniform numbers have variance 1
  std::vector<float> values(static_cast<std::size_t>(shape.elements()));
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] =
        i < period ? width * (random.uniform(static_cast<std::uint32_t>(i)) - 0.5f) : values[i - period];
  }
  return Tensor::from(values, shape, device);
}

Tensor random_labels(std::int64_t count, int classes, Device device) {
  const Random random{.stream = Stream::probe, .sample = 1};
  std::vector<std::int32_t> labels(static_cast<std::size_t>(count));
  std::uint32_t draw = 0;
  for (std::int32_t& label : labels)
    label = static_cast<std::int32_t>(random.below(draw++, static_cast<std::uint32_t>(classes)));
  return Tensor::from(labels, {count}, device);
}

std::vector<Samples<double>> time_in_turn(Device device, const Repeats& repeats,
                                          const std::vector<Body>& bodies) {
  // A GPU is waited for after several calls: after one, the wait would take longer than many a kernel.
  const int calls = device.type == DeviceType::cpu ? 1 : 10;
  std::vector<std::vector<double>> times(bodies.size());
  for (int i = 0; i < repeats.warmup + repeats.count; ++i) {
    for (std::size_t k = 0; k < bodies.size(); ++k) {
      const Stopwatch watch(device);
      for (int call = 0; call < calls; ++call) bodies[k]();
      if (const double ms = watch.ms(); i >= repeats.warmup) times[k].push_back(ms / calls);
    }
  }
  std::vector<Samples<double>> samples;
  samples.reserve(times.size());
  for (auto& of_body : times) samples.emplace_back(std::move(of_body));
  return samples;
}

}  // namespace lamina::app
