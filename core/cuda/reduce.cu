// Sums along axes, their inverse, and argmax.
#include <vector>

#include "core/cuda/cuda_backend.h"
#include "core/cuda/dtypes.h"
#include "core/cuda/sums.h"
#include "core/walk.h"

namespace lamina {
namespace {

using cuda::Stream;

template <typename From, typename To>
void sum_axis(Stream stream, Allocator& allocator, const From* x, const AxisSum& axis, To* out) {
  const std::int64_t middle = axis.middle, inner = axis.inner;
  cuda::sum_middle<1, 1, cuda::elements_in_turn>(
      stream, allocator, axis,
      [=] LAMINA_DEVICE(std::int64_t a, std::int64_t b) {
        const From* column = x + a * middle * inner + b;
        return [=](std::int64_t s) {
          const From value = column[s * inner];
          return [=] { return cuda::Sums<1, float>{{static_cast<float>(value)}}; };
        };
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
    const bool first = &axis == &axes.front(), last = &axis == &axes.back();
    const Tensor result =
        last ? Tensor{} : Tensor::empty({axis.outer * axis.inner}, {DType::f32, x.device()});
    if (first && last) sum_axis(stream, allocator, x.data<T>(), axis, out.data<T>());
    if (first && !last) sum_axis(stream, allocator, x.data<T>(), axis, result.data<float>());
    if (!first && last) sum_axis(stream, allocator, sums.data<float>(), axis, out.data<T>());
    if (!first && !last) sum_axis(stream, allocator, sums.data<float>(), axis, result.data<float>());
    sums = result;
  }
}

template <typename T>
void broadcast_kernel(Stream stream, const Tensor& x, Tensor& out) {
  const auto walk = walk_of<1>(out.shape(), {&x.shape()});
  const std::int64_t step = walk.axes[0].stride[0];
  const T* from = x.data<T>();
  T* to = out.data<T>();
  cuda::for_each(stream, out.elements(), [=] LAMINA_DEVICE(std::int64_t i) {
    to[i] = from[walk.row(i / walk.inner())[0] + step * (i % walk.inner())];
  });
}

template <typename T>
LAMINA_DEVICE inline std::int64_t argmax(const cuda::Team& team, const T* row, std::int64_t columns) {
  math::First<float> largest;
  for (std::int64_t c = team.lane; c < columns; c += cuda::Team::size)
    largest.offer(static_cast<float>(row[c]), c);
  return team.first(largest).at;
}

template <typename T>
void argmax_kernel(Stream stream, const Tensor& x, Tensor& index) {
  const std::int64_t columns = x.shape().back();
  const T* values = x.data<T>();
  std::int32_t* best = index.data<std::int32_t>();
  cuda::for_each_row(stream, index.elements(), [=] LAMINA_DEVICE(const cuda::Team& team, std::int64_t r) {
    const std::int64_t at = argmax(team, values + r * columns, columns);
    if (team.lane == 0) best[r] = static_cast<std::int32_t>(at);
  });
}

template <typename T>
void is_argmax_kernel(Stream stream, const Tensor& x, const Tensor& labels, Tensor& out) {
  const std::int64_t columns = x.shape().back();
  const T* values = x.data<T>();
  const std::int32_t* label = labels.data<std::int32_t>();
  T* is = out.data<T>();
  cuda::for_each_row(stream, out.elements(), [=] LAMINA_DEVICE(const cuda::Team& team, std::int64_t r) {
    const std::int64_t at = argmax(team, values + r * columns, columns);
    if (team.lane == 0) is[r] = static_cast<T>(at == label[r] ? 1.0f : 0.0f);
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
