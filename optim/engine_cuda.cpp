#include "optim/engine_cuda.h"

#include "core/backend.h"

namespace lamina::engine {
namespace {

template <typename T>
std::vector<T> host_copy(const Tensor& bytes) {
  std::vector<T> values(bytes.bytes() / sizeof(T));
  backend_for(bytes.device()).copy_to_host(bytes, values.data());
  return values;
}

}  // namespace

void read_report(const Arena& arena, std::span<const LayerSettings> settings, CudaState& state,
                 StepReport& report) {
  const auto sums = host_copy<Squares>(state.sums);
  const auto elements = host_copy<Element<float>>(state.elements);
  const auto updates = host_copy<double>(state.updates);
  const double grad_scale = state.grad_scale.item();
  const auto failed = static_cast<std::int64_t>(state.failed.item());
  if (failed != 0) {
    state.failed.fill(0);
    const Step step{.number = failed, .lr = report.lr};
    check_finite(arena.segments(), sums, step);
    for (std::size_t i = 0; i < sums.size(); ++i)
      check_trust(static_cast<double>(elements[i].trust), arena.segments()[i], step);
  }
  report.layers.assign(settings.size(), LayerReport{});
  double total = 0;
  for (std::size_t i = 0; i < settings.size(); ++i) {
    LayerReport& layer = report.layers[i];
    if (state.measure[i] >= Measure::weight_and_grad) layer.weight_norm = std::sqrt(sums[i].weight);
    if (state.measure[i] >= Measure::grad) layer.grad_norm = std::sqrt(sums[i].grad) / grad_scale;
    if (state.request.trace) layer.update_norm = std::sqrt(updates[i]);
    if (settings[i].adapts) layer.trust = static_cast<double>(elements[i].trust);
    total += layer.grad_norm * layer.grad_norm;
  }
  report.grad_norm = std::sqrt(total);  // not measured if one tensor's is not
}

}  // namespace lamina::engine
