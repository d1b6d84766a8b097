// `lamina bench ops`: the kernels of a model's training step one by one, each at every shape the model has.
// Left out are the optimizer, padded shortcuts, biases, and the mean of the loss.
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>

#include "apps/bench/bench.h"
#include "apps/bench/kernels.h"
#include "core/autograd.h"
#include "core/base/error.h"
#include "core/base/table.h"

namespace lamina::app {
namespace {

struct BenchOps {
  BenchModel model;
  std::string filter;
  std::int64_t batch = 64;
  int repeat = 5;
  bool json = false;
};

template <typename Layer>
bool is_a(const Module& module) {
  return dynamic_cast<const Layer*>(&module) != nullptr;
}

// What layers are fused with.
struct Fusion {
  std::map<const Module*, Fused> norms;
  std::set<const Module*> adding;  // convolutions that add the gradient of their input to another
};

// Blocks and the stem end each norm in a ReLU, and a block adds its shortcut in the last; a norm within a
// shortcut is plain. A block's input went two ways: the gradient of its first convolution comes last.
void find_fusion(const Module& module, Fusion& fusion) {
  const bool is_block = is_a<ResidualBlock>(module);
  Fused* last = nullptr;
  for (const auto& child : module.children()) {
    find_fusion(*child, fusion);
    if (!is_a<BatchNorm2d>(*child)) continue;
    last = &fusion.norms[child.get()];
    last->relu = is_block || is_a<ResNet>(module);
  }
  if (!is_block) return;
  if (last != nullptr) last->residual = true;
  fusion.adding.insert(module.children().front().get());
}

// ResNets pad by half the kernel, so the stride is what turns the input's height into the output's.
Conv2dOptions conv_options(const Shape& x, const Shape& weight, const Shape& y) {
  return {.stride = static_cast<int>((x[1] + y[1] - 1) / y[1]), .padding = static_cast<int>(weight[1] / 2)};
}

struct Counted {
  KernelCall call;
  int count = 0;  // in one step
};

// The kernels of a model, each shape once, in order of the forward pass.
class Kernels {
 public:
  Kernels(ResNet& net, const Shape& images) : device_(net.options().device), batch_(images[0]) {
    find_fusion(net, fusion_);
    Shape one = images;
    one[0] = 1;
    const Tensor image = Tensor::zeros(one, {.device = device_});
    const NoGrad no_grad;
    const EvalMode eval_mode(net);
    const ForwardObserver observer([&](const Module& layer, const Tensor& x, const Tensor& y) {
      add_layer(layer, whole_batch(x.shape()), whole_batch(y.shape()), x.shares_storage(image));
    });
    add({crop_kernel(images, device_)});
    net(image);
    add(cross_entropy_kernels(batch_, net.options().classes, device_));
    std::int64_t parameters = 0;
    for (const auto& param : net.parameters()) parameters += param->value.elements();
    add({accumulate_kernel({parameters}, device_)});  // gradients, into the optimizer's memory
  }
  std::vector<Counted> take() { return std::move(kernels_); }

 private:
  Shape whole_batch(Shape shape) const {
    shape[0] = batch_;
    return shape;
  }

  void add_layer(const Module& layer, const Shape& x, const Shape& y, bool is_first) {
    const auto weight = [&] { return layer.parameters().front()->value.shape(); };
    if (is_a<Conv2d>(layer)) {
      const GradInput grad_input = is_first                          ? GradInput::none
                                   : fusion_.adding.contains(&layer) ? GradInput::added
                                                                     : GradInput::stored;
      add(conv_kernels({x, weight(), y, conv_options(x, weight(), y)}, grad_input, device_));
    } else if (is_a<BatchNorm2d>(layer)) {
      add(batch_norm_kernels(x, fusion_.norms.at(&layer), device_));
    } else if (is_a<MaxPool2d>(layer)) {  // the stem's, the only one in a ResNet
      add(max_pool_kernels(x, y, {.size = 3, .stride = 2, .padding = 1}, device_));
    } else if (is_a<GlobalAvgPool>(layer)) {
      add(average_pool_kernels(x, device_));
    } else if (is_a<Linear>(layer)) {
      add(linear_kernels(x, weight(), device_));
    }
  }

  void add(const KernelCalls& calls) {
    for (const KernelCall& call : calls) {
      auto same = std::find_if(kernels_.begin(), kernels_.end(), [&](const Counted& other) {
        return other.call.name == call.name && other.call.shape == call.shape;
      });
      if (same == kernels_.end()) same = kernels_.insert(same, {call});
      ++same->count;
    }
  }

  Device device_;
  std::int64_t batch_;
  Fusion fusion_;
  std::vector<Counted> kernels_;
};

std::vector<Counted> wanted_kernels(const BenchOps& command, ResNet& net) {
  std::vector<Counted> kernels = Kernels(net, command.model.images(command.batch)).take();
  std::string names;
  for (const Counted& kernel : kernels) {
    if (names.find(kernel.call.name + ",") == std::string::npos) names += kernel.call.name + ", ";
  }
  std::erase_if(kernels, [&](const Counted& kernel) {
    return (kernel.call.name + " " + kernel.call.shape).find(command.filter) == std::string::npos;
  });
  if (kernels.empty()) {
    fail_usage("--filter \"{}\": no kernel of {} has that in its name or shape; the names are {}",
               command.filter, net.model(), names.substr(0, names.size() - 2));
  }
  return kernels;
}

nlohmann::json measure(const Counted& kernel, const BenchOps& command, Device device) {
  const Samples<double> times =
      time_in_turn(device, {.count = command.repeat}, {kernel.call.prepare()}).front();
  const double ms = times.median();
  nlohmann::json row{{"name", kernel.call.name}, {"shape", kernel.call.shape},
                     {"count", kernel.count},    {"median_ms", ms},
                     {"min_ms", times.least()},  {"total_ms", kernel.count * ms}};
  if (kernel.call.flop > 0) row["gflops"] = kernel.call.flop / ms * 1e-6;
  if (kernel.call.bytes > 0) row["gb_per_s"] = kernel.call.bytes / ms * 1e-6;
  row.update(kernel.call.details);
  return row;
}

nlohmann::json measure_all(const BenchOps& command) {
  ResNet net = make_net(command.model);
  const Device device = net.options().device;
  nlohmann::json ops = nlohmann::json::array();
  double total = 0;
  for (const Counted& kernel : wanted_kernels(command, net)) {
    ops.push_back(measure(kernel, command, device));
    total += ops.back()["total_ms"].get<double>();
  }
  return {{"model", net.model()},
          {"stem", name_of(*net.options().stem)},
          {"batch", command.batch},
          {"image_size", command.model.image_size},
          {"device", device.str()},
          {"threads", threads()},
          {"tf32", tf32()},
          {"repeat", command.repeat},
          {"ops", ops},
          {"total_ms", total},
          {"peak_gflops", backend_for(device).peak_gflops()}};
}

void print_kernels(const nlohmann::json& result) {
  Table table({"kernel", "shape", "calls", "ms", "GFLOP/s", "GB/s", "total ms", "%"});
  const double total = result["total_ms"].get<double>();
  for (const nlohmann::json& op : result["ops"]) {
    const auto rate = [&](const char* key) {
      return op.contains(key) ? fmt::format("{:.1f}", op[key].get<double>()) : "-";
    };
    const double ms = op["total_ms"].get<double>();
    table.add({op["name"].get<std::string>(), op["shape"].get<std::string>(),
               fmt::format("{}", op["count"].get<int>()),
               fmt::format("{:.3f}", op["median_ms"].get<double>()), rate("gflops"), rate("gb_per_s"),
               fmt::format("{:.2f}", ms), fmt::format("{:.1f}", 100 * ms / total)});
  }
  print_result("{}\nall together {:.1f} ms for one step of {}, batch {}, on {} with {} threads\n",
               table.str(), total, result["model"].get<std::string>(), result["batch"].get<int>(),
               result["device"].get<std::string>(), result["threads"].get<int>());
  print_result("multiply-adds alone reach {:.1f} GFLOP/s here\n", result["peak_gflops"].get<double>());
}

int run_bench_ops(const BenchOps& command) { return show(measure_all(command), command.json, print_kernels); }

}  // namespace

void add_bench_ops(const Command& bench) {
  const Command ops = bench.add("ops", "The kernels of a training step, one by one");
  auto command = std::make_shared<BenchOps>();
  add_options(ops, command->model);
  ops.option("--batch", command->batch, "images", between(1, 1e9));
  ops.option("--filter", command->filter, "only kernels with this text in their name or shape");
  ops.option("--repeat", command->repeat, "measured calls of each kernel", between(1, 1e9));
  ops.option("--json", command->json, "one JSON object on standard output, nothing else");
  ops.runs([command] { return run_bench_ops(*command); });
}

}  // namespace lamina::app
