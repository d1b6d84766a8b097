#include "optim/step_reports.h"

#include <algorithm>

#include "optim/engine/cuda.h"

namespace lamina {

std::string trust_ratio_text(const TrustRatios& ratios) {
  if (ratios.layers.empty()) return "no trust ratios";
  const auto [low, high] =
      std::minmax_element(ratios.layers.begin(), ratios.layers.end(),
                          [](const auto& a, const auto& b) { return a.second < b.second; });
  return fmt::format("trust {:.2e} ({}) to {:.2e} ({})", low->second, low->first, high->second, high->first);
}

StepReports::StepReports(std::size_t layers) { reports_.emplace_back().layers.resize(layers); }

void StepReports::add(StepReport report) {
  reports_.push_back(std::move(report));
  if (std::ssize(reports_) > kept) reports_.pop_front();
  untaken_ = std::min(untaken_ + 1, reports_.size());
}

std::optional<std::int64_t> StepReports::read(const Arena& arena, std::span<const LayerSettings> settings,
                                              engine::CudaState& state) {
  if (state.unread.empty()) return std::nullopt;
  const std::int64_t first = state.unread.front().report.step;
  std::vector<StepReport> reports;
  try {
    engine::read_reports(arena, settings, state, reports);
  } catch (const Error&) {
    failure_ = std::current_exception();
  }
  for (StepReport& report : reports) add(std::move(report));
  return failure_ == nullptr ? std::nullopt : std::optional(first + std::ssize(reports));
}

void StepReports::throw_failure() {
  if (failure_ != nullptr) std::rethrow_exception(std::exchange(failure_, nullptr));
}

std::vector<StepReport> StepReports::take() {
  const auto count = static_cast<std::ptrdiff_t>(std::exchange(untaken_, 0));
  return {reports_.end() - count, reports_.end()};
}

}  // namespace lamina
