#include "analysis/running_statistics.h"

#include "analysis/vectors.h"
#include "core/autograd.h"
#include "core/base/error.h"
#include "core/ops/ops.h"
#include "layers/batch_norm.h"
#include "train/keep_buffers.h"

namespace lamina::analysis {
namespace {

struct Statistic {
  Tensor values;  // the buffer itself
  bool variance = false;
  double momentum = 0;
};

void collect_statistics(const Module& module, std::vector<Statistic>& found) {
  if (const auto* layer = dynamic_cast<const BatchNormLayer*>(&module)) {
    found.push_back({layer->parameter("running_mean").value, false, layer->momentum()});
    found.push_back({layer->parameter("running_var").value, true, layer->momentum()});
  }
  for (const auto& child : module.children()) collect_statistics(*child, found);
}

std::vector<Statistic> statistics_of(const Module& module) {
  std::vector<Statistic> found;
  collect_statistics(module, found);
  return found;
}

std::int64_t elements_of(const std::vector<Statistic>& statistics) {
  std::int64_t elements = 0;
  for (const Statistic& statistic : statistics) elements += statistic.values.elements();
  return elements;
}

// sum ← sum + factor · the statistics, each by what its layer's momentum left of it.
void add_measured(const Tensor& sum, double factor, const std::vector<Statistic>& statistics) {
  std::int64_t at = 0;
  for (const auto& [values, variance, momentum] : statistics) {
    add_scaled(sum.flat(at, {values.elements()}), factor / momentum, values.to(Device{}));
    at += values.elements();
  }
}

}  // namespace

Tensor running_statistics(const Module& module) {
  const std::vector<Statistic> statistics = statistics_of(module);
  if (statistics.empty()) return {};
  const Tensor vector =
      Tensor::zeros({elements_of(statistics)}, {.dtype = statistics.front().values.dtype()});
  std::int64_t at = 0;
  for (const Statistic& statistic : statistics) {
    vector.flat(at, statistic.values.shape()).copy_from(statistic.values);
    at += statistic.values.elements();
  }
  return vector;
}

void set_running_statistics(const Module& module, const Tensor& vector) {
  const std::vector<Statistic> statistics = statistics_of(module);
  check(vector.defined() && vector.elements() == elements_of(statistics),
        "running statistics: set to {}; expected {} elements", vector, elements_of(statistics));
  std::int64_t at = 0;
  for (const Statistic& statistic : statistics) {
    Tensor values = vector.flat(at, statistic.values.shape());
    if (statistic.variance) values = relu(values);
    Tensor(statistic.values).copy_from(values);
    at += values.elements();
  }
}

void estimate_running_statistics(const LossSurface& surface) {
  Module& module = surface.objective().module();
  const std::vector<Statistic> statistics = statistics_of(module);
  if (statistics.empty()) return;
  for (const Statistic& statistic : statistics)
    check(statistic.momentum > 0, "running statistics: a layer with momentum 0 measures none");
  const Tensor measured =
      Tensor::zeros({elements_of(statistics)}, {.dtype = statistics.front().values.dtype()});
  {
    const train::KeepBuffers buffers(module);
    const EvalMode previous(module);
    const NoGrad no_grad;
    module.train();
    for (const data::Part& part : surface.parts()) {
      // From 0 a pass leaves momentum · the part's own statistics.
      for (const Statistic& statistic : statistics) Tensor(statistic.values).fill(0);
      (void)surface.objective().loss(part);
      add_measured(measured, static_cast<double>(part.size()) / static_cast<double>(surface.samples()),
                   statistics);
    }
  }
  set_running_statistics(module, measured);
}

}  // namespace lamina::analysis
