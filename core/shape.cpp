#include "core/shape.h"

#include <fmt/ranges.h>

#include <functional>
#include <numeric>

#include "core/base/error.h"

namespace lamina {

Shape::Shape(std::initializer_list<std::int64_t> extents) : Shape(extents.begin(), extents.end()) {}

void Shape::append(std::int64_t extent) {
  check(rank_ < max_rank, "shape: {} cannot take another dimension; at most {} are supported", str(),
        max_rank);
  check(extent >= 0, "shape: extent {} after {} is negative", extent, str());
  extents_[static_cast<std::size_t>(rank_++)] = extent;
}

std::int64_t Shape::elements() const { return elements(0, rank_); }

std::int64_t Shape::elements(int first, int last) const {
  return std::accumulate(begin() + first, begin() + last, std::int64_t{1}, std::multiplies<>());
}

std::string Shape::str() const { return fmt::format("[{}]", fmt::join(begin(), end(), ", ")); }

Shape broadcast(const Shape& a, const Shape& b, const char* operation) {
  const int rank = std::max(a.rank(), b.rank());
  Shape result;
  for (int axis = 0; axis < rank; ++axis) {
    const int axis_a = axis - (rank - a.rank()), axis_b = axis - (rank - b.rank());
    const std::int64_t extent_a = axis_a < 0 ? 1 : a[axis_a], extent_b = axis_b < 0 ? 1 : b[axis_b];
    check(extent_a == extent_b || extent_a == 1 || extent_b == 1,
          "{}: shapes {} and {} do not broadcast: {} against {} from the right must be equal or 1", operation,
          a.str(), b.str(), extent_a, extent_b);
    result.append(extent_a == 1 ? extent_b : extent_a);
  }
  return result;
}

}  // namespace lamina
