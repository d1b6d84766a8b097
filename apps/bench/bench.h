// What the parts of `lamina bench` share: the model to measure, its inputs, and the one way of taking times.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

#include "apps/command.h"
#include "apps/options.h"
#include "apps/output.h"
#include "core/backend.h"
#include "layers/resnet.h"
#include "layers/summary.h"

namespace lamina::app {

// The parts; each adds itself to `lamina bench`.
void add_bench_train(const Command& bench);
void add_bench_ops(const Command& bench);
void add_bench_optimizer(const Command& bench);
void add_bench_views(const Command& bench);
void add_bench_hessian(const Command& bench);
void add_bench_parallel(const Command& bench);

// The model to measure, its images, and where.
struct BenchModel {
  std::string model = "resnet18", stem = "cifar";
  int classes = 10, image_size = 32;
  train::DeviceOptions device;

  Shape images(std::int64_t count) const { return {count, image_size, image_size, 3}; }
};
void add_options(const Command& command, BenchModel& options);
// Throws UsageError for a model or stem that does not exist. Sets the number of threads.
ResNet make_net(const BenchModel& options);

// Prints a result as JSON or as `print` has it for people, and returns the exit status.
int show(const nlohmann::json& result, bool as_json, void (*print)(const nlohmann::json&));

// Values of mean 0 and variance 1, and labels; the same in every run.
Tensor random_tensor(const Shape& shape, Device device);
Tensor random_labels(std::int64_t count, int classes, Device device);

inline constexpr double megabyte = 1e6;

// Milliseconds since it was made. Work handed to the device counts once it is done.
class Stopwatch {
 public:
  explicit Stopwatch(Device device) : backend_(backend_for(device)) {
    backend_.synchronize();
    start_ = Clock::now();
  }
  double ms() const {
    backend_.synchronize();
    return std::chrono::duration<double, std::milli>(Clock::now() - start_).count();
  }

 private:
  using Clock = std::chrono::steady_clock;
  Backend& backend_;
  Clock::time_point start_;
};

// Measurements in ascending order. Of two in the middle, the slower is the median.
template <typename Sample>
struct Samples {
  explicit Samples(std::vector<Sample> samples) : sorted(std::move(samples)) {
    std::sort(sorted.begin(), sorted.end());
  }
  std::vector<Sample> sorted;
  const Sample& median() const { return sorted[sorted.size() / 2]; }
  const Sample& least() const { return sorted.front(); }
};

struct Repeats {
  int count = 10, warmup = 1;  // the first calls pay for memory, caches and waking threads
};

// Milliseconds of each body. They are called in turn, so that whatever else the machine does hits all alike,
// and none finds its data in a cache because it ran just before.
using Body = std::function<void()>;
std::vector<Samples<double>> time_in_turn(Device device, const Repeats& repeats,
                                          const std::vector<Body>& bodies);

}  // namespace lamina::app
