// Softmax and cross-entropy over rows of logits [N, C].
#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "core/cpu/cpu_backend.h"
#include "core/math/loss.h"
#include "core/parallel_for.h"

namespace lamina {
namespace {

// body(n) for each row, several to a thread.
template <typename Body>
void for_each_row(const Tensor& rows, const Body& body) {
  const std::int64_t columns = std::max<std::int64_t>(1, rows.size(1));
  parallel_for(rows.size(0), std::max<std::int64_t>(1, 4096 / columns),
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t n = begin; n < end; ++n) body(n);
               });
}

// p = softmax(z); returns log sum exp(z). The maximum is taken off first, so that exp cannot overflow. A NaN
// may be lost from the maximum, but exp(NaN - largest) brings it back into the sum.
template <typename T>
double softmax_row(const T* z, std::int64_t classes, T* p) {
  T largest = z[0];
  for (std::int64_t c = 1; c < classes; ++c) {
    if (!(z[c] <= largest)) largest = z[c];
  }
  double sum = 0;
  for (std::int64_t c = 0; c < classes; ++c) {
    p[c] = std::exp(z[c] - largest);
    sum += static_cast<double>(p[c]);
  }
  const T scale = static_cast<T>(1 / sum);
  for (std::int64_t c = 0; c < classes; ++c) p[c] *= scale;
  return static_cast<double>(largest) + std::log(sum);
}

std::int32_t checked_label(const Tensor& labels, std::int64_t row, std::int64_t classes,
                           const char* operation) {
  const std::int32_t label = labels.data<std::int32_t>()[row];
  check(label >= 0 && label < classes, "{}: label {} in row {} is out of range; expected 0 to {}", operation,
        label, row, classes - 1);
  return label;
}

}  // namespace

void CpuBackend::softmax(const Tensor& logits, Tensor& probabilities) {
  const std::int64_t classes = logits.size(1);
  visit_floating(logits.dtype(), "softmax", [&](auto zero) {
    using T = decltype(zero);
    for_each_row(logits, [&](std::int64_t n) {
      softmax_row(logits.data<T>() + n * classes, classes, probabilities.data<T>() + n * classes);
    });
  });
}

void CpuBackend::cross_entropy(const Tensor& logits, const Tensor& labels, double smoothing, Tensor& losses,
                               Tensor& probabilities) {
  const std::int64_t classes = logits.size(1);
  visit_floating(logits.dtype(), "cross_entropy", [&](auto zero) {
    using T = decltype(zero);
    for_each_row(logits, [&](std::int64_t n) {
      const T* z = logits.data<T>() + n * classes;
      const std::int32_t label = checked_label(labels, n, classes, "cross_entropy");
      const double log_sum = softmax_row(z, classes, probabilities.data<T>() + n * classes);
      const double own = log_sum - static_cast<double>(z[label]);
      double all = 0;
      if (smoothing != 0) {
        for (std::int64_t c = 0; c < classes; ++c) all += log_sum - static_cast<double>(z[c]);
      }
      losses.data<T>()[n] = static_cast<T>(math::cross_entropy(smoothing, classes, own, all));
    });
  });
}

void CpuBackend::cross_entropy_grad(const Tensor& grad, const Tensor& probabilities, const Tensor& labels,
                                    double smoothing, Tensor& grad_logits) {
  const std::int64_t classes = probabilities.size(1);
  const math::Target target(smoothing, classes);
  visit_floating(probabilities.dtype(), "cross_entropy_grad", [&](auto zero) {
    using T = decltype(zero);
    const T own = static_cast<T>(target.own), other = static_cast<T>(target.other);
    for_each_row(probabilities, [&](std::int64_t n) {
      const T g = grad.data<T>()[n];
      const T* p = probabilities.data<T>() + n * classes;
      T* to = grad_logits.data<T>() + n * classes;
      const std::int32_t label = checked_label(labels, n, classes, "cross_entropy_grad");
      for (std::int64_t c = 0; c < classes; ++c) to[c] = g * (p[c] - other);
      to[label] = g * (p[label] - own);
    });
  });
}

void CpuBackend::one_hot(const Tensor& labels, double smoothing, Tensor& target) {
  const std::int64_t classes = target.size(1);
  const math::Target value(smoothing, classes);
  visit_floating(target.dtype(), "one_hot", [&](auto zero) {
    using T = decltype(zero);
    for_each_row(target, [&](std::int64_t n) {
      T* to = target.data<T>() + n * classes;
      std::fill_n(to, classes, static_cast<T>(value.other));
      to[checked_label(labels, n, classes, "one_hot")] = static_cast<T>(value.own);
    });
  });
}

}  // namespace lamina
