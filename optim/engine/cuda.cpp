#include "optim/engine/cuda.h"

#include <cstring>
#include <utility>

#include "core/backend.h"

namespace lamina::engine {
namespace {

// What one step left behind, on the host.
class HostResults {
 public:
  HostResults(const ResultLayout& layout, const std::byte* bytes) : layout_(layout), bytes_(bytes) {}
  Squares sums(std::size_t i) const { return at<Squares>(layout_.sums(), i); }
  double update(std::size_t i) const { return at<double>(layout_.updates(), i); }
  double trust(std::size_t i) const {
    return static_cast<double>(at<Element<float>>(layout_.elements(), i).trust);
  }
  double grad_scale() const { return static_cast<double>(at<float>(layout_.grad_scale(), 0)); }
  std::int32_t failed() const { return at<std::int32_t>(layout_.failed(), 0); }

 private:
  template <typename T>
  T at(std::int64_t first, std::size_t index) const {
    T value;
    std::memcpy(&value, bytes_ + first + static_cast<std::ptrdiff_t>(index * sizeof(T)), sizeof(T));
    return value;
  }
  ResultLayout layout_;
  const std::byte* bytes_;
};

void check_step(const Arena& arena, const HostResults& results, const Step& step) {
  std::vector<Squares> sums;
  for (std::size_t i = 0; i < arena.segments().size(); ++i) sums.push_back(results.sums(i));
  check_finite(arena.segments(), sums, step);
  for (std::size_t i = 0; i < sums.size(); ++i) check_trust(results.trust(i), arena.segments()[i], step);
}

StepReport full_report(const UnreadStep& step, std::span<const LayerSettings> settings,
                       const HostResults& results) {
  StepReport report = step.report;
  report.layers.assign(settings.size(), LayerReport{});
  double total = 0;
  for (std::size_t i = 0; i < settings.size(); ++i) {
    LayerReport& layer = report.layers[i];
    const Squares sums = results.sums(i);
    if (step.measure[i] >= Measure::weight_and_grad) layer.weight_norm = std::sqrt(sums.weight);
    if (step.measure[i] >= Measure::grad) layer.grad_norm = std::sqrt(sums.grad) / results.grad_scale();
    if (step.trace) layer.update_norm = std::sqrt(results.update(i));
    if (settings[i].adapts) layer.trust = results.trust(i);
    total += layer.grad_norm * layer.grad_norm;
  }
  report.grad_norm = std::sqrt(total);  // not measured if one tensor's is not
  return report;
}

}  // namespace

void read_reports(const Arena& arena, std::span<const LayerSettings> settings, CudaState& state,
                  std::vector<StepReport>& reports) {
  if (state.unread.empty()) return;
  const auto steps = static_cast<std::int64_t>(state.unread.size());
  state.kept.rows(steps - 1, 1).view(state.results.shape()).copy_from(state.results);
  const std::vector<std::uint8_t> rows = state.kept.rows(0, steps).to_vector<std::uint8_t>();
  const ResultLayout layout{static_cast<std::int64_t>(settings.size())};
  const auto* row = reinterpret_cast<const std::byte*>(rows.data());
  for (const UnreadStep& step : std::exchange(state.unread, {})) {
    const HostResults results(layout, row);
    if (results.failed() != 0) {
      state.results.flat(layout.failed(), {sizeof(std::int32_t)}).fill(0);
      check_step(arena, results, {.number = results.failed(), .lr = step.report.lr});
    }
    reports.push_back(full_report(step, settings, results));
    row += layout.bytes();
  }
}

}  // namespace lamina::engine
