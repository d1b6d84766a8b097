// Elementwise arithmetic of two variables, for host and device. Their derivatives are ops
// (core/ops/elementwise.cpp).
#pragma once

#include <variant>

#include "core/base/host_device.h"

namespace lamina::math {

struct Add {
  static constexpr const char* name = "add";
  template <typename T>
  LAMINA_HD T f(T a, T b) const {
    return a + b;
  }
};
struct Sub {
  static constexpr const char* name = "sub";
  template <typename T>
  LAMINA_HD T f(T a, T b) const {
    return a - b;
  }
};
struct Mul {
  static constexpr const char* name = "mul";
  template <typename T>
  LAMINA_HD T f(T a, T b) const {
    return a * b;
  }
};
struct Div {
  static constexpr const char* name = "div";
  template <typename T>
  LAMINA_HD T f(T a, T b) const {
    return a / b;
  }
};

// The larger and the smaller one; a NaN wins.
struct Maximum {
  static constexpr const char* name = "maximum";
  template <typename T>
  LAMINA_HD T f(T a, T b) const {
    return a > b || a != a ? a : b;
  }
};
struct Minimum {
  static constexpr const char* name = "minimum";
  template <typename T>
  LAMINA_HD T f(T a, T b) const {
    return a < b || a != a ? a : b;
  }
};

// Comparisons: 1 where it holds, else 0.
struct Greater {
  static constexpr const char* name = "greater";
  template <typename T>
  LAMINA_HD T f(T a, T b) const {
    return a > b ? T(1) : T(0);
  }
};
struct GreaterEqual {
  static constexpr const char* name = "greater_equal";
  template <typename T>
  LAMINA_HD T f(T a, T b) const {
    return a >= b ? T(1) : T(0);
  }
};
struct Less {
  static constexpr const char* name = "less";
  template <typename T>
  LAMINA_HD T f(T a, T b) const {
    return a < b ? T(1) : T(0);
  }
};
struct LessEqual {
  static constexpr const char* name = "less_equal";
  template <typename T>
  LAMINA_HD T f(T a, T b) const {
    return a <= b ? T(1) : T(0);
  }
};
struct Equal {
  static constexpr const char* name = "equal";
  template <typename T>
  LAMINA_HD T f(T a, T b) const {
    return a == b ? T(1) : T(0);
  }
};
struct NotEqual {
  static constexpr const char* name = "not_equal";
  template <typename T>
  LAMINA_HD T f(T a, T b) const {
    return a != b ? T(1) : T(0);
  }
};

using Binary = std::variant<Add, Sub, Mul, Div, Maximum, Minimum, Greater, GreaterEqual, Less, LessEqual,
                            Equal, NotEqual>;

}  // namespace lamina::math
