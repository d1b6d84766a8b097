#include "analysis/running_statistics.h"

#include <cmath>

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
  Tensor calls;   // i32 [], how often its layer has measured
  bool variance = false;
  double momentum = 0;
};

void collect_statistics(const Module& module, std::vector<Statistic>& found) {
  if (const auto* layer = dynamic_cast<const BatchNormLayer*>(&module)) {
    const Tensor calls = layer->parameter("num_batches_tracked").value;
    found.push_back({layer->parameter("running_mean").value, calls, false, layer->momentum()});
    found.push_back({layer->parameter("running_var").value, calls, true, layer->momentum()});
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

// From 0, with m the momentum, k calls leave Σᵢ m (1 − m)^(k−i) sᵢ of their statistics: weights that add up
// to 1 − (1 − m)^k.
void measure_from_zero(const std::vector<Statistic>& statistics) {
  for (const Statistic& statistic : statistics) {
    Tensor(statistic.values).fill(0);
    Tensor(statistic.calls).fill(0);
  }
}

// sum ← sum + factor · what was measured; of a layer that was not called, what it had `before`.
void add_measured(const Tensor& sum, double factor, const std::vector<Statistic>& statistics,
                  const Tensor& before) {
  std::int64_t at = 0;
  for (const Statistic& statistic : statistics) {
    const std::int64_t elements = statistic.values.elements();
    const Tensor there = sum.flat(at, {elements});
    if (const double calls = statistic.calls.item(); calls > 0)
      add_scaled(there, factor / (1 - std::pow(1 - statistic.momentum, calls)),
                 statistic.values.to(Device{}));
    else
      add_scaled(there, factor, before.flat(at, {elements}));
    at += elements;
  }
}

}  // namespace

Tensor running_statistics(const Module& module) {
  const std::vector<Statistic> statistics = statistics_of(module);
  if (statistics.empty()) return {};
  Tensor vector = Tensor::zeros({elements_of(statistics)}, {.dtype = statistics.front().values.dtype()});
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
  const Tensor before = running_statistics(module), measured = Tensor::zeros_like(before);
  {
    const train::KeepBuffers buffers(module);
    const EvalMode previous(module);
    const NoGrad no_grad;
    module.train();
    for (const data::Part& part : surface.parts()) {
      measure_from_zero(statistics);
      (void)surface.objective().loss(part);
      add_measured(measured, static_cast<double>(part.size()) / static_cast<double>(surface.samples()),
                   statistics, before);
    }
  }
  set_running_statistics(module, measured);
}

}  // namespace lamina::analysis
