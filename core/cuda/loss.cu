// Softmax and cross-entropy over rows of logits [N, C], a team to a row. A kernel cannot throw: where a label
// is out of range, which is an Error on the CPU, the row's loss, gradient and target become NaN, and the
// training loop's check for finite losses stops the run.
#include <cmath>
#include <limits>

#include "core/cuda/cuda_backend.h"
#include "core/cuda/dtypes.h"
#include "core/math/loss.h"

namespace lamina {
namespace {

using cuda::Stream;
using cuda::Team;

constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();

// The maximum is taken off first, so that exp cannot overflow. A NaN may be lost from the maximum, but
// exp(NaN - largest) brings it back into the sum.
struct SoftmaxRow {
  float largest;
  double sum;   // of exp(z - largest)
  float scale;  // 1 / sum

  LAMINA_HD float probability(float z) const { return std::exp(z - largest) * scale; }
  LAMINA_HD double log_sum_exp() const { return static_cast<double>(largest) + std::log(sum); }
};

template <typename T>
LAMINA_DEVICE inline SoftmaxRow softmax_row(const Team& team, const T* z, std::int64_t classes) {
  float largest = -std::numeric_limits<float>::infinity();
  for (std::int64_t c = team.lane; c < classes; c += Team::size) {
    const auto value = static_cast<float>(z[c]);
    if (value > largest) largest = value;
  }
  largest = team.largest(largest);
  double sum = 0;
  for (std::int64_t c = team.lane; c < classes; c += Team::size)
    sum += static_cast<double>(std::exp(static_cast<float>(z[c]) - largest));
  sum = team.sum(sum);
  return {largest, sum, static_cast<float>(1 / sum)};
}

LAMINA_HD bool is_class(std::int32_t label, std::int64_t classes) { return label >= 0 && label < classes; }

template <typename T>
void softmax_kernel(Stream stream, const Tensor& logits, Tensor& probabilities) {
  const std::int64_t classes = logits.size(1);
  const T* from = logits.data<T>();
  T* to = probabilities.data<T>();
  cuda::for_each_row(stream, logits.size(0), [=] LAMINA_DEVICE(const Team& team, std::int64_t n) {
    const T* z = from + n * classes;
    const SoftmaxRow row = softmax_row(team, z, classes);
    for (std::int64_t c = team.lane; c < classes; c += Team::size)
      to[n * classes + c] = static_cast<T>(row.probability(static_cast<float>(z[c])));
  });
}

template <typename T>
void cross_entropy_kernel(Stream stream, const Tensor& logits, const Tensor& labels, double smoothing,
                          Tensor& losses, Tensor& probabilities) {
  const std::int64_t classes = logits.size(1);
  const T* from = logits.data<T>();
  const std::int32_t* label_of = labels.data<std::int32_t>();
  T *loss = losses.data<T>(), *to = probabilities.data<T>();
  cuda::for_each_row(stream, logits.size(0), [=] LAMINA_DEVICE(const Team& team, std::int64_t n) {
    const T* z = from + n * classes;
    const SoftmaxRow row = softmax_row(team, z, classes);
    const double log_sum = row.log_sum_exp();
    double all = 0;
    for (std::int64_t c = team.lane; c < classes; c += Team::size) {
      const auto value = static_cast<float>(z[c]);
      to[n * classes + c] = static_cast<T>(row.probability(value));
      all += log_sum - static_cast<double>(value);
    }
    all = team.sum(all);
    if (team.lane != 0) return;
    const std::int32_t label = label_of[n];
    const double own = is_class(label, classes) ? log_sum - static_cast<double>(static_cast<float>(z[label]))
                                                : static_cast<double>(not_a_number);
    loss[n] = static_cast<T>(static_cast<float>(math::cross_entropy(smoothing, classes, own, all)));
  });
}

template <typename T>
void cross_entropy_grad_kernel(Stream stream, const Tensor& grad, const Tensor& probabilities,
                               const Tensor& labels, double smoothing, Tensor& grad_logits) {
  const std::int64_t classes = probabilities.size(1);
  const math::Target target(smoothing, classes);
  const auto own = static_cast<float>(target.own), other = static_cast<float>(target.other);
  const T *from = grad.data<T>(), *p = probabilities.data<T>();
  const std::int32_t* label_of = labels.data<std::int32_t>();
  T* to = grad_logits.data<T>();
  cuda::for_each_row(stream, probabilities.size(0), [=] LAMINA_DEVICE(const Team& team, std::int64_t n) {
    const std::int32_t label = label_of[n];
    const float g = is_class(label, classes) ? static_cast<float>(from[n]) : not_a_number;
    for (std::int64_t c = team.lane; c < classes; c += Team::size) {
      const std::int64_t i = n * classes + c;
      to[i] = static_cast<T>(g * (static_cast<float>(p[i]) - (c == label ? own : other)));
    }
  });
}

template <typename T>
void one_hot_kernel(Stream stream, const Tensor& labels, double smoothing, Tensor& target) {
  const std::int64_t classes = target.size(1);
  const math::Target value(smoothing, classes);
  const auto own = static_cast<float>(value.own), other = static_cast<float>(value.other);
  const std::int32_t* label_of = labels.data<std::int32_t>();
  T* to = target.data<T>();
  cuda::for_each_row(stream, target.size(0), [=] LAMINA_DEVICE(const Team& team, std::int64_t n) {
    const std::int32_t label = label_of[n];
    const float rest = is_class(label, classes) ? other : not_a_number;
    for (std::int64_t c = team.lane; c < classes; c += Team::size)
      to[n * classes + c] = static_cast<T>(c == label ? own : rest);
  });
}

}  // namespace

void CudaBackend::softmax(const Tensor& logits, Tensor& probabilities) {
  cuda::visit_floating(logits.dtype(), "softmax",
                       [&](auto zero) { softmax_kernel<decltype(zero)>(stream(), logits, probabilities); });
}

void CudaBackend::cross_entropy(const Tensor& logits, const Tensor& labels, double smoothing, Tensor& losses,
                                Tensor& probabilities) {
  cuda::visit_floating(logits.dtype(), "cross_entropy", [&](auto zero) {
    cross_entropy_kernel<decltype(zero)>(stream(), logits, labels, smoothing, losses, probabilities);
  });
}

void CudaBackend::cross_entropy_grad(const Tensor& grad, const Tensor& probabilities, const Tensor& labels,
                                     double smoothing, Tensor& grad_logits) {
  cuda::visit_floating(probabilities.dtype(), "cross_entropy_grad", [&](auto zero) {
    cross_entropy_grad_kernel<decltype(zero)>(stream(), grad, probabilities, labels, smoothing, grad_logits);
  });
}

void CudaBackend::one_hot(const Tensor& labels, double smoothing, Tensor& target) {
  cuda::visit_floating(target.dtype(), "one_hot", [&](auto zero) {
    one_hot_kernel<decltype(zero)>(stream(), labels, smoothing, target);
  });
}

}  // namespace lamina
