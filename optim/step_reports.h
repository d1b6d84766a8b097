// What an optimizer tells of its steps: norms and trust ratios of every tensor, and the history of the newest
// steps.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <deque>
#include <exception>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "optim/groups.h"

namespace lamina {

namespace engine {
struct CudaState;  // optim/engine/cuda.h
}

inline constexpr double not_measured = std::numeric_limits<double>::quiet_NaN();

// One tensor in one step; norms belong to the moment before it.
struct LayerReport {
  double weight_norm = not_measured;  // ||w||; of layers that adapt, of all while tracing
  double grad_norm = not_measured;    // ||g|| from the backward pass; unless tracing and finite check are off
  double update_norm = not_measured;  // ||w_after - w_before||; while tracing
  double trust = 1;                   // the trust ratio applied
  double ratio() const { return weight_norm / grad_norm; }
};

struct StepReport {
  std::int64_t step = 0;  // from 1
  double lr = 0;
  double phi = 1;                   // TVLARS' phi(t); 1 for rules without one
  double grad_norm = not_measured;  // of the whole model, where every layer's is measured
  std::vector<LayerReport> layers;  // in the order of Optimizer::segments()
};

// Trust ratios of the tensors that adapt, by name; print() shows them as trust_ratio_text() does.
struct TrustRatios {
  std::vector<std::pair<std::string, double>> layers;
};

// "trust 8.1e-04 (fc.weight) to 2.3e-02 (conv1.weight)"
std::string trust_ratio_text(const TrustRatios& ratios);

// The newest steps, those that nobody has taken yet, and the failure that ended them.
class StepReports {
 public:
  static constexpr std::int64_t kept = 64;

  explicit StepReports(std::size_t layers);  // last() is then an empty one

  void add(StepReport report);
  // Waits for a GPU and adds what it has not told yet. If a step failed there, gives its number and keeps
  // what it threw for throw_failure(); steps after it were not taken.
  std::optional<std::int64_t> read(const Arena& arena, std::span<const LayerSettings> settings,
                                   engine::CudaState& state);
  void throw_failure();  // once, if there is one

  const StepReport& last() const { return reports_.back(); }
  bool all_taken() const { return untaken_ == 0; }
  std::vector<StepReport> take();  // the oldest first

 private:
  std::deque<StepReport> reports_;  // never empty
  std::size_t untaken_ = 0;         // of them, at the end
  std::exception_ptr failure_;
};

}  // namespace lamina

template <>
struct fmt::formatter<lamina::TrustRatios> : fmt::formatter<std::string> {
  auto format(const lamina::TrustRatios& ratios, fmt::format_context& context) const {
    return fmt::formatter<std::string>::format(lamina::trust_ratio_text(ratios), context);
  }
};
