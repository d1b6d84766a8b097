// The extents of a tensor: at most 6 dimensions, stored inline.
#pragma once

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>

namespace lamina {

class Shape {
 public:
  static constexpr int max_rank = 6;

  Shape() = default;  // rank 0: a scalar, one element
  Shape(std::initializer_list<std::int64_t> extents);
  template <typename Iterator>
  Shape(Iterator first, Iterator last) {
    for (; first != last; ++first) append(*first);
  }

  int rank() const { return rank_; }
  std::int64_t operator[](int axis) const { return extents_[static_cast<std::size_t>(axis)]; }
  std::int64_t& operator[](int axis) { return extents_[static_cast<std::size_t>(axis)]; }
  std::int64_t back() const { return (*this)[rank_ - 1]; }
  std::int64_t elements() const;                     // product of the extents; 1 for a scalar
  std::int64_t elements(int first, int last) const;  // product of the extents of axes [first, last)
  void append(std::int64_t extent);                  // throws Error beyond max_rank or if negative

  const std::int64_t* begin() const { return extents_.data(); }
  const std::int64_t* end() const { return extents_.data() + rank_; }
  bool operator==(const Shape& other) const { return std::equal(begin(), end(), other.begin(), other.end()); }
  std::string str() const;  // "[128, 32, 32, 3]"

 private:
  std::array<std::int64_t, max_rank> extents_{};
  int rank_ = 0;
};

// NumPy's rule: align at the right; extents match or one of them is 1. Throws Error naming `operation`
// otherwise.
Shape broadcast(const Shape& a, const Shape& b, const char* operation);

}  // namespace lamina

// "{}": as str().
template <>
struct fmt::formatter<lamina::Shape> : fmt::formatter<std::string> {
  auto format(const lamina::Shape& shape, format_context& context) const {
    return fmt::formatter<std::string>::format(shape.str(), context);
  }
};
