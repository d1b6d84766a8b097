// The traversal on the CPU: reads the gradients, forms per-tensor norms and trust ratios, and applies a rule
// to every element.
//
// Norms are sums of squares in double over fixed chunks, added in the order of the chunks, so that they have
// the same bits for any number of threads and for any neighbours. Two readings of weights and gradients at
// most for tensors that adapt, one of each for the others, and one more of each where gradients are
// clipped; nothing is written before all norms are known to be finite.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "core/cpu/vector.h"
#include "optim/engine/common.h"
#include "optim/step_reports.h"

namespace lamina::engine {

inline constexpr std::int64_t chunk_elements = 1 << 14;
inline constexpr std::int64_t block_elements = 1 << 10;  // intermediate vectors of this length stay in L1

// body(index of a chunk) for every chunk, over the threads of the CPU kernels; a thread takes several small
// tensors at a time.
void for_each(std::span<const Chunk> chunks, const std::function<void(std::size_t)>& body);

// Each file that includes this has functions of its own. A program's rules may be compiled with other flags
// than the library, and the linker would keep one of equal names: the library's optimizers would round as
// those flags have it.
namespace {

template <typename Real>
double sum_squares(const Real* x, std::int64_t n) {
  constexpr int sums = 4;  // that do not wait for one another
  constexpr std::int64_t width = cpu::lanes<double>;
  std::array<cpu::Vector<double>, sums> sum{};
  std::int64_t i = 0;
  for (; i + sums * width <= n; i += sums * width) {
    for (int k = 0; k < sums; ++k) {
      const cpu::Vector<double> values = cpu::load_doubles(x + i + k * width);
      sum[static_cast<std::size_t>(k)] += values * values;
    }
  }
  double total = 0;
  for (; i < n; ++i) total += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  const cpu::Vector<double> all = (sum[0] + sum[1]) + (sum[2] + sum[3]);
  for (std::int64_t l = 0; l < width; ++l) total += all[l];
  return total;
}

struct Products {
  double weight = 0, grad = 0, both = 0;  // w . w, g . g, w . g
};

template <typename Real>
Products products(const Real* w, const Real* g, std::int64_t n) {
  using Doubles = cpu::Vector<double>;
  constexpr std::int64_t width = cpu::lanes<double>;
  std::array<Doubles, 2> ww{}, gg{}, wg{};  // two of each, which do not wait for one another
  std::int64_t i = 0;
  for (; i + 2 * width <= n; i += 2 * width) {
    for (std::size_t k = 0; k < 2; ++k) {
      const std::int64_t at = i + static_cast<std::int64_t>(k) * width;
      const Doubles weight = cpu::load_doubles(w + at), grad = cpu::load_doubles(g + at);
      ww[k] += weight * weight, gg[k] += grad * grad, wg[k] += weight * grad;
    }
  }
  Products sums;
  for (; i < n; ++i) {
    const auto weight = static_cast<double>(w[i]), grad = static_cast<double>(g[i]);
    sums.weight += weight * weight, sums.grad += grad * grad, sums.both += weight * grad;
  }
  for (std::int64_t l = 0; l < width; ++l) {
    sums.weight += ww[0][l] + ww[1][l], sums.grad += gg[0][l] + gg[1][l], sums.both += wg[0][l] + wg[1][l];
  }
  return sums;
}

template <typename Rule, typename Real>
class CpuStep {
 public:
  static constexpr std::size_t slots = Rule::slots.size();

  CpuStep(const Arena& arena, std::span<const LayerSettings> settings, const Rule& rule, const Step& step)
      : segments_(arena.segments()),
        settings_(settings),
        rule_(rule),
        step_(step),
        chunks_(chunks_of(segments_, chunk_elements)),
        weights_(arena.values().template data<Real>()),
        grads_(arena.grads().template data<Real>()) {
    for (std::size_t i = 0; i < slots; ++i) slots_[i] = arena.slot(i).template data<Real>();
    for (const LayerSettings& layer : settings_) {
      const auto weight_decay = static_cast<Real>(layer.weight_decay);
      constants_.push_back({0, 0, weight_decay, static_cast<Real>(step.lr * layer.lr_scale), 1});
    }
  }

  void run(const Request& request, StepReport& report) {
    report.layers.assign(segments_.size(), LayerReport{});
    if (max_grad_norm(rule_) > 0) clip(request, report);
    adapt(request, report);
    apply(request, report);
  }

 private:
  // Fixes the factor that brings the gradient of the whole model down to the rule's max_grad_norm.
  void clip(const Request& request, StepReport& report) {
    const auto sums = measure([](std::size_t) { return Measure::grad; });
    if (request.finite_check) check_finite(segments_, sums, step_);
    double total = 0;
    for (std::size_t i = 0; i < sums.size(); ++i) {
      report.layers[i].grad_norm = std::sqrt(sums[i].grad);
      total += sums[i].grad;
    }
    report.grad_norm = std::sqrt(total);
    grad_scale_ = static_cast<Real>(1 / std::max(1.0, report.grad_norm / max_grad_norm(rule_)));
  }

  // Norms and trust ratios; nothing has been written yet.
  void adapt(const Request& request, StepReport& report) {
    const bool clipped = !std::isnan(report.grad_norm);
    const auto wanted = [&](std::size_t segment) { return measured(rule_, settings_[segment], request); };
    const auto sums = measure(wanted);
    if (request.finite_check) check_finite(segments_, sums, step_);
    double total = 0;
    for (std::size_t i = 0; i < sums.size(); ++i) {
      LayerReport& layer = report.layers[i];
      if (wanted(i) >= Measure::weight_and_grad) layer.weight_norm = std::sqrt(sums[i].weight);
      if (wanted(i) >= Measure::grad && !clipped) layer.grad_norm = std::sqrt(sums[i].grad);
      if (settings_[i].adapts) {
        const auto trust = trust_of<Rule, Real>(rule_, sums[i], constants_[i].weight_decay, constants_[i].lr);
        constants_[i].trust = trust.ratio, constants_[i].weight_decay = trust.weight_decay;
        layer.trust = static_cast<double>(trust.ratio);
      }
      if (request.finite_check) check_trust(layer.trust, segments_[i], step_);
      total += layer.grad_norm * layer.grad_norm;
    }
    report.grad_norm = std::sqrt(total);  // not measured if one tensor's is not
  }

  // Per-tensor sums of squares: weights, clipped gradients, update_direction().
  template <typename Wanted>
  std::vector<Squares> measure(const Wanted& wanted) const {
    std::vector<Squares> parts(chunks_.size());
    for_each(chunks_,
             [&](std::size_t i) { parts[i] = measure_chunk(chunks_[i], wanted(chunks_[i].segment)); });
    return combined(parts);
  }

  std::vector<Squares> combined(const std::vector<Squares>& parts) const {
    std::vector<Squares> sums(segments_.size());
    for (std::size_t i = 0; i < parts.size(); ++i) sums[chunks_[i].segment] += parts[i];
    return sums;
  }

  Squares measure_chunk(const Chunk& chunk, Measure wanted) const {
    Squares sums;
    if (wanted == Measure::nothing) return sums;
    for (std::int64_t begin = chunk.begin; begin < chunk.end; begin += block_elements) {
      const std::int64_t n = std::min(block_elements, chunk.end - begin);
      if (wanted == Measure::grad) {
        sums.grad += scaled(sum_squares(grads_ + begin, n));
        sums.weight += sum_squares(weights_ + begin, n);
        continue;
      }
      const Products p = products(weights_ + begin, grads_ + begin, n);
      sums.weight += p.weight;
      sums.grad += scaled(p.grad);
      if (wanted == Measure::all) sums.other += direction_squares(constants_[chunk.segment], begin, n, p);
    }
    return sums;
  }

  double scaled(double grad_squares) const {
    const auto scale = static_cast<double>(grad_scale_);
    return scale * scale * grad_squares;
  }

  double direction_squares(const Element<Real>& constants, std::int64_t begin, std::int64_t n,
                           const Products& p) const {
    if constexpr (requires { rule_.direction_is_decayed_gradient(); }) {
      if (rule_.direction_is_decayed_gradient()) return decayed_squares(constants, begin, n, p);
    }
    return direction_squares(constants, begin, n);
  }

  // ||g + b w||^2 = g . g + 2 b w . g + b^2 w . w. Where that nearly cancels, too few digits would be left,
  // and the elements are added first.
  double decayed_squares(const Element<Real>& constants, std::int64_t begin, std::int64_t n,
                         const Products& p) const {
    const auto scale = static_cast<double>(grad_scale_), decay = static_cast<double>(constants.weight_decay);
    const double apart = scaled(p.grad) + decay * decay * p.weight;
    const double sum = apart + 2 * decay * scale * p.both;
    return sum < 1e-3 * apart ? direction_squares(constants, begin, n) : sum;
  }

  double direction_squares(const Element<Real>& constants, std::int64_t begin, std::int64_t n) const {
    if constexpr (Rule::layerwise) {
      std::array<Real, block_elements> block;
      const Rule rule = rule_;  // a local copy: stores through Real* cannot alias its members
      for (std::int64_t k = 0; k < n; ++k) {
        const std::array<Real, slots> s = slots_at(begin + k);
        block[static_cast<std::size_t>(k)] = rule.update_direction(element(constants, begin + k), s.data());
      }
      return sum_squares(block.data(), n);
    }
    return 0;
  }

  void apply(const Request& request, StepReport& report) {
    std::vector<Squares> parts(chunks_.size());
    for_each(chunks_, [&](std::size_t i) {
      if (request.trace)
        parts[i].other = apply_traced(chunks_[i]);
      else
        apply_chunk(chunks_[i]);
    });
    if (!request.trace) return;
    const auto sums = combined(parts);
    for (std::size_t i = 0; i < sums.size(); ++i) report.layers[i].update_norm = std::sqrt(sums[i].other);
  }

  void apply_chunk(const Chunk& chunk) const {
    const Rule rule = rule_;
    const Element<Real> constants = constants_[chunk.segment];
    for (std::int64_t i = chunk.begin; i < chunk.end; ++i) {
      std::array<Real, slots> s = slots_at(i);
      weights_[i] = rule.apply(element(constants, i), s.data());
      for (std::size_t k = 0; k < slots; ++k) slots_[k][i] = s[k];
    }
  }

  // The same, returning the squared norm of the weights' change.
  double apply_traced(const Chunk& chunk) const {
    const Rule rule = rule_;
    const Element<Real> constants = constants_[chunk.segment];
    std::array<Real, block_elements> change;
    double sum = 0;
    for (std::int64_t begin = chunk.begin; begin < chunk.end; begin += block_elements) {
      const std::int64_t n = std::min(block_elements, chunk.end - begin);
      for (std::int64_t i = begin; i < begin + n; ++i) {
        std::array<Real, slots> s = slots_at(i);
        const Real weight = rule.apply(element(constants, i), s.data());
        change[static_cast<std::size_t>(i - begin)] = weight - weights_[i];
        weights_[i] = weight;
        for (std::size_t k = 0; k < slots; ++k) slots_[k][i] = s[k];
      }
      sum += sum_squares(change.data(), n);
    }
    return sum;
  }

  std::array<Real, slots> slots_at(std::int64_t i) const {
    std::array<Real, slots> s;
    for (std::size_t k = 0; k < slots; ++k) s[k] = slots_[k][i];
    return s;
  }

  Element<Real> element(const Element<Real>& constants, std::int64_t i) const {
    Element<Real> e = constants;
    e.weight = weights_[i];
    e.grad = grad_scale_ * grads_[i];
    return e;
  }

  const std::vector<Segment>& segments_;
  std::span<const LayerSettings> settings_;
  const Rule& rule_;
  const Step& step_;
  std::vector<Chunk> chunks_;
  std::vector<Element<Real>> constants_;  // of each tensor: weight_decay, lr, trust
  Real grad_scale_ = 1;
  Real* weights_;
  const Real* grads_;
  std::array<Real*, slots> slots_;
};

}  // namespace
}  // namespace lamina::engine
