// How tensors of different shapes walk together over the index space of the widest one.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/base/host_device.h"
#include "core/math/divisor.h"
#include "core/shape.h"

namespace lamina {

// Axis 0 is the innermost. A stride is 0 where a tensor is repeated along the axis, else 1 on axis 0.
// Neighbouring axes that every tensor walks as if they were one are merged: equal shapes make one axis,
// rows × C with a vector makes two.
template <std::size_t Tensors>
struct Walk {
  using Offsets = std::array<std::int64_t, Tensors>;
  struct Axis {
    math::Divisor extent;
    Offsets stride{};
  };

  int rank = 0;
  std::array<Axis, Shape::max_rank> axes{};

  LAMINA_HD const math::Divisor& inner() const { return axes[0].extent; }

  // Where the row with this number (counted over all axes but the innermost) starts in each tensor.
  LAMINA_HD Offsets row(std::int64_t number) const {
    Offsets offsets{};
    for (int i = 1; i < rank; ++i) {
      const Axis& axis = axes[static_cast<std::size_t>(i)];
      const bool outermost = i + 1 == rank;
      const std::int64_t rest = outermost ? 0 : number / axis.extent;
      for (std::size_t t = 0; t < Tensors; ++t) {
        offsets[t] += (number - rest * axis.extent) * axis.stride[t];
      }
      number = rest;
    }
    return offsets;
  }
};

template <std::size_t Tensors>
Walk<Tensors> walk_of(const Shape& space, const std::array<const Shape*, Tensors>& shapes) {
  Walk<Tensors> result;
  typename Walk<Tensors>::Offsets elements;  // of each tensor, in the axes seen so far
  elements.fill(1);
  for (int back = 1; back <= space.rank(); ++back) {
    const std::int64_t extent = space[space.rank() - back];
    if (extent == 1) continue;
    typename Walk<Tensors>::Axis axis{.extent = extent};
    bool merges = result.rank > 0;
    auto& inner = result.axes[static_cast<std::size_t>(merges ? result.rank - 1 : 0)];
    for (std::size_t t = 0; t < Tensors; ++t) {
      const Shape& shape = *shapes[t];
      const std::int64_t own = back <= shape.rank() ? shape[shape.rank() - back] : 1;
      axis.stride[t] = own == 1 ? 0 : elements[t];
      elements[t] *= own;
      merges = merges && axis.stride[t] == inner.stride[t] * inner.extent;
    }
    if (merges) {
      inner.extent = inner.extent * extent;
    } else {
      result.axes[static_cast<std::size_t>(result.rank++)] = axis;
    }
  }
  return result;
}

// How x is read in the order of its permutation, whose axis a is axis order[a] of x: offsets[0] is in x. Here
// axis 0 may have any stride.
inline Walk<1> permuted_walk(const Shape& x, const std::vector<int>& order) {
  Walk<1> result;
  for (auto axis = order.rbegin(); axis != order.rend(); ++axis) {
    const std::int64_t extent = x[*axis], stride = x.elements(*axis + 1, x.rank());
    if (extent == 1) continue;
    auto& inner = result.axes[static_cast<std::size_t>(result.rank > 0 ? result.rank - 1 : 0)];
    if (result.rank > 0 && stride == inner.stride[0] * inner.extent) {
      inner.extent = inner.extent * extent;
    } else {
      result.axes[static_cast<std::size_t>(result.rank++)] = {.extent = extent, .stride = {stride}};
    }
  }
  return result;
}

// A tensor around one axis, [outer, extent, inner].
struct AroundAxis {
  AroundAxis(const Shape& shape, int axis)
      : outer(shape.elements(0, axis)), extent(shape[axis]), inner(shape.elements(axis + 1, shape.rank())) {}
  std::int64_t outer, extent, inner;
};

// out[a, b] = sum of x[a, s, b] over s.
struct AxisSum {
  std::int64_t outer, middle, inner;  // extents of a, s and b
};

// What makes a sum over all axes that `out` lacks: one for each (merged) axis, the innermost first, each of
// the result of the one before.
inline std::vector<AxisSum> axis_sums(const Shape& x, const Shape& out) {
  const auto walk = walk_of<2>(x, {&x, &out});
  std::vector<AxisSum> sums;
  std::int64_t outer = x.elements(), inner = 1;
  for (int i = 0; i < walk.rank; ++i) {
    const auto& axis = walk.axes[static_cast<std::size_t>(i)];
    outer /= axis.extent;
    if (axis.stride[1] == 0) {
      sums.push_back({outer, axis.extent, inner});
    } else {
      inner *= axis.extent;
    }
  }
  return sums;
}

}  // namespace lamina
