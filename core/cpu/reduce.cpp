// Sums along axes, their inverse, and argmax.
#include <algorithm>
#include <array>
#include <vector>

#include "core/base/rounding.h"
#include "core/cpu/cpu_backend.h"
#include "core/math/argmax.h"
#include "core/parallel_for.h"
#include "core/walk.h"

namespace lamina {
namespace {

constexpr std::int64_t reduced_at_once = 16384;  // elements

// total[i] += x[i]
template <typename T>
void add_run(const T* x, std::int64_t n, double* total) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) total[i] += static_cast<double>(x[i]);
}

// The sum of n neighbours, through 16 running sums so that it vectorises.
template <typename T>
double sum_run(const T* x, std::int64_t n) {
  constexpr std::int64_t lanes = 16;
  std::array<double, lanes> total{};
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) add_run(x + i, lanes, total.data());
  add_run(x + i, n - i, total.data());
  double sum = 0;
  for (const double lane : total) sum += lane;
  return sum;
}

// In f64. The work is cut by columns and, where outputs are few, along the summed axis: parts of the sum go
// to `partial` [parts, outer, inner] and are added in order.
template <typename T>
void sum_middle(const T* x, const AxisSum& axis, double* out) {
  const std::int64_t outer = axis.outer, middle = axis.middle, inner = axis.inner;
  const std::int64_t columns = std::min<std::int64_t>(inner, 1024);
  const std::int64_t blocks = ceil_div(inner, columns);
  const std::int64_t part_length = std::max(ceil_div(reduced_at_once, columns),
                                            ceil_div(middle, ceil_div(std::int64_t{64}, outer * blocks)));
  const std::int64_t parts = ceil_div(middle, part_length);
  std::vector<double> partial(static_cast<std::size_t>(parts > 1 ? parts * outer * inner : 0));
  double* sums = parts > 1 ? partial.data() : out;

  const std::int64_t grain =
      std::max<std::int64_t>(1, reduced_at_once / (columns * std::min(middle, part_length)));
  parallel_for(parts * outer * blocks, grain, [&](std::int64_t item, std::int64_t end) {
    for (; item < end; ++item) {
      const std::int64_t row = item / blocks, column = item % blocks * columns;  // row = part * outer + a
      const std::int64_t first = row / outer * part_length;
      const std::int64_t length = std::min(part_length, middle - first);
      const std::int64_t width = std::min(columns, inner - column);
      const T* from = x + (row % outer * middle + first) * inner + column;
      double* to = sums + row * inner + column;
      if (inner == 1) {
        *to = sum_run(from, length);
      } else {
        std::fill_n(to, width, 0.0);
        for (std::int64_t s = 0; s < length; ++s) add_run(from + s * inner, width, to);
      }
    }
  });
  if (parts == 1) return;
  std::fill_n(out, outer * inner, 0.0);
  for (std::int64_t part = 0; part < parts; ++part) {
    add_run(partial.data() + part * outer * inner, outer * inner, out);
  }
}

template <typename T>
std::vector<double> sum_axes(const T* x, const Shape& shape, const Shape& out) {
  std::vector<double> sums;
  for (const AxisSum& axis : axis_sums(shape, out)) {
    std::vector<double> result(static_cast<std::size_t>(axis.outer * axis.inner));
    if (sums.empty()) {
      sum_middle(x, axis, result.data());
    } else {
      sum_middle(sums.data(), axis, result.data());
    }
    sums.swap(result);
  }
  return sums;
}

}  // namespace

void CpuBackend::sum_to(const Tensor& x, Tensor& out) {
  if (x.elements() == 0) return fill(out, 0);
  if (x.elements() == out.elements()) return copy(x, out);
  visit_floating(x.dtype(), "sum_to", [&](auto zero) {
    using T = decltype(zero);
    const std::vector<double> sums = sum_axes(x.data<T>(), x.shape(), out.shape());
    std::transform(sums.begin(), sums.end(), out.data<T>(), [](double sum) { return static_cast<T>(sum); });
  });
}

void CpuBackend::broadcast_to(const Tensor& x, Tensor& out) {
  const auto walk = walk_of<1>(out.shape(), {&x.shape()});
  const std::int64_t inner = walk.inner();
  visit_floating(x.dtype(), "broadcast_to", [&](auto zero) {
    using T = decltype(zero);
    const T* from = x.data<T>();
    T* to = out.data<T>();
    parallel_for(out.elements(), reduced_at_once, [&](std::int64_t i, std::int64_t end) {
      for (std::int64_t column = i % inner; i < end; column = 0) {
        const std::int64_t n = std::min(inner - column, end - i);
        const T* start = from + walk.row(i / inner)[0];
        if (walk.axes[0].stride[0] == 0) {
          std::fill_n(to + i, n, *start);
        } else {
          std::copy_n(start + column, n, to + i);
        }
        i += n;
      }
    });
  });
}

namespace {

// visit(r, argmax of row r) for every row of x.
template <typename T, typename Visit>
void for_each_argmax(const Tensor& x, const Visit& visit) {
  const std::int64_t columns = x.shape().back(), rows = x.elements() / std::max<std::int64_t>(1, columns);
  const T* values = x.data<T>();
  const std::int64_t grain = std::max<std::int64_t>(1, reduced_at_once / std::max<std::int64_t>(1, columns));
  parallel_for(rows, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) visit(r, math::argmax(values + r * columns, columns));
  });
}

}  // namespace

void CpuBackend::argmax(const Tensor& x, Tensor& index) {
  visit_floating(x.dtype(), "argmax", [&](auto zero) {
    std::int32_t* best = index.data<std::int32_t>();
    for_each_argmax<decltype(zero)>(
        x, [best](std::int64_t r, std::int64_t at) { best[r] = static_cast<std::int32_t>(at); });
  });
}

void CpuBackend::is_argmax(const Tensor& x, const Tensor& labels, Tensor& out) {
  visit_floating(x.dtype(), "is_argmax", [&](auto zero) {
    using T = decltype(zero);
    const std::int32_t* label = labels.data<std::int32_t>();
    T* is = out.data<T>();
    for_each_argmax<T>(
        x, [=](std::int64_t r, std::int64_t at) { is[r] = static_cast<T>(at == label[r] ? 1 : 0); });
  });
}

}  // namespace lamina
