// Sums along axes, their inverse, and argmax.
#include <vector>

#include "core/cuda/cuda_backend.h"
#include "core/cuda/dtypes.h"
#include "core/math/argmax.h"
#include "core/walk.h"

namespace lamina {
namespace {

using cuda::Stream;

template <typename From, typename To>
void sum_middle(Stream stream, Allocator& allocator, const From* x, const cuda::SumPlan& plan, To* out) {
  const std::int64_t middle = plan.middle, inner = plan.inner;
  cuda::sum_middle<1>(
      stream, allocator, plan,
      [=] LAMINA_DEVICE(std::int64_t a, std::int64_t b) {
        const From* column = x + a * middle * inner + b;
        return [=](std::int64_t s) { return cuda::Sums<1, float>{{static_cast<float>(column[s * inner])}}; };
      },
      [=] LAMINA_DEVICE(std::int64_t output, const cuda::Sums<1>& sums) {
        out[output] = static_cast<To>(static_cast<float>(sums.value[0]));
      });
}

// Between axes sums are float.
template <typename T>
void sum_axes(Stream stream, Allocator& allocator, const Tensor& x, Tensor& out) {
  const std::vector<AxisSum> axes = axis_sums(x.shape(), out.shape());
  Tensor sums;
  for (const AxisSum& axis : axes) {
    const cuda::SumPlan plan(axis.outer, axis.middle, axis.inner);
    const bool first = &axis == &axes.front(), last = &axis == &axes.back();
    const Tensor result =
        last ? Tensor{} : Tensor::empty({axis.outer * axis.inner}, {DType::f32, x.device()});
    if (first && last) sum_middle(stream, allocator, x.data<T>(), plan, out.data<T>());
    if (first && !last) sum_middle(stream, allocator, x.data<T>(), plan, result.data<float>());
    if (!first && last) sum_middle(stream, allocator, sums.data<float>(), plan, out.data<T>());
    if (!first && !last) sum_middle(stream, allocator, sums.data<float>(), plan, result.data<float>());
    sums = result;
  }
}

template <typename T>
void broadcast_kernel(Stream stream, const Tensor& x, Tensor& out) {
  const auto walk = walk_of<1>(out.shape(), {&x.shape()});
  const std::int64_t inner = walk.inner(), step = walk.axes[0].stride[0];
  const T* from = x.data<T>();
  T* to = out.data<T>();
  cuda::for_each(stream, out.elements(), [=] LAMINA_DEVICE(std::int64_t i) {
    const std::int64_t row = i / inner;
    to[i] = from[walk.row(row)[0] + step * (i - row * inner)];
  });
}

template <typename T>
void argmax_kernel(Stream stream, const Tensor& x, Tensor& index) {
  const std::int64_t columns = x.shape().back();
  const T* values = x.data<T>();
  std::int32_t* best = index.data<std::int32_t>();
  cuda::for_each(stream, index.elements(), [=] LAMINA_DEVICE(std::int64_t r) {
    best[r] = static_cast<std::int32_t>(math::argmax(values + r * columns, columns));
  });
}

template <typename T>
void is_argmax_kernel(Stream stream, const Tensor& x, const Tensor& labels, Tensor& out) {
  const std::int64_t columns = x.shape().back();
  const T* values = x.data<T>();
  const std::int32_t* label = labels.data<std::int32_t>();
  T* is = out.data<T>();
  cuda::for_each(stream, out.elements(), [=] LAMINA_DEVICE(std::int64_t r) {
    is[r] = static_cast<T>(math::argmax(values + r * columns, columns) == label[r] ? 1.0f : 0.0f);
  });
}

}  // namespace

void CudaBackend::sum_to(const Tensor& x, Tensor& out) {
  if (x.elements() == 0) return fill(out, 0);
  if (x.elements() == out.elements()) return copy(x, out);
  cuda::visit_floating(x.dtype(), "sum_to",
                       [&](auto zero) { sum_axes<decltype(zero)>(stream(), allocator(), x, out); });
}

void CudaBackend::broadcast_to(const Tensor& x, Tensor& out) {
  cuda::visit_floating(x.dtype(), "broadcast_to",
                       [&](auto zero) { broadcast_kernel<decltype(zero)>(stream(), x, out); });
}

void CudaBackend::argmax(const Tensor& x, Tensor& index) {
  cuda::visit_floating(x.dtype(), "argmax",
                       [&](auto zero) { argmax_kernel<decltype(zero)>(stream(), x, index); });
}

void CudaBackend::is_argmax(const Tensor& x, const Tensor& labels, Tensor& out) {
  cuda::visit_floating(x.dtype(), "is_argmax",
                       [&](auto zero) { is_argmax_kernel<decltype(zero)>(stream(), x, labels, out); });
}

}  // namespace lamina
