// Sums along axes, their inverse, and argmax.
#include "core/cuda/cuda_backend.h"
#include "core/cuda/dtypes.h"
#include "core/walk.h"

namespace lamina {
namespace {

using cuda::Stream;

// out[a, b] = sum of x[a, s, b] over s.
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

// Each (merged) axis that `out` lacks is summed in turn, the innermost first; between them sums are float.
template <typename T>
void sum_axes(Stream stream, Allocator& allocator, const Tensor& x, Tensor& out) {
  const auto walk = walk_of<2>(x.shape(), {&x.shape(), &out.shape()});
  int left = 0;  // axes yet to be summed
  for (int i = 0; i < walk.rank; ++i) left += walk.axes[static_cast<std::size_t>(i)].stride[1] == 0 ? 1 : 0;
  std::int64_t outer = x.elements(), inner = 1;
  Tensor sums;
  for (int i = 0; i < walk.rank; ++i) {
    const auto& axis = walk.axes[static_cast<std::size_t>(i)];
    outer /= axis.extent;
    if (axis.stride[1] != 0) {
      inner *= axis.extent;
      continue;
    }
    const cuda::SumPlan plan(outer, axis.extent, inner);
    const bool first = !sums.defined(), last = --left == 0;
    const Tensor result = last ? Tensor{} : Tensor::empty({outer * inner}, {DType::f32, x.device()});
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

// The first of the largest of a row; a NaN is larger than all.
template <typename T>
LAMINA_HD std::int64_t argmax_of(const T* row, std::int64_t columns) {
  std::int64_t at = 0;
  auto largest = static_cast<float>(row[0]);
  for (std::int64_t c = 1; c < columns; ++c) {
    const auto value = static_cast<float>(row[c]);
    if (!(value <= largest) && largest == largest) at = c, largest = value;
  }
  return at;
}

template <typename T>
void argmax_kernel(Stream stream, const Tensor& x, Tensor& index) {
  const std::int64_t columns = x.shape().back();
  const T* values = x.data<T>();
  std::int32_t* best = index.data<std::int32_t>();
  cuda::for_each(stream, index.elements(), [=] LAMINA_DEVICE(std::int64_t r) {
    best[r] = static_cast<std::int32_t>(argmax_of(values + r * columns, columns));
  });
}

template <typename T>
void is_argmax_kernel(Stream stream, const Tensor& x, const Tensor& labels, Tensor& out) {
  const std::int64_t columns = x.shape().back();
  const T* values = x.data<T>();
  const std::int32_t* label = labels.data<std::int32_t>();
  T* is = out.data<T>();
  cuda::for_each(stream, out.elements(), [=] LAMINA_DEVICE(std::int64_t r) {
    is[r] = static_cast<T>(argmax_of(values + r * columns, columns) == label[r] ? 1.0f : 0.0f);
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
