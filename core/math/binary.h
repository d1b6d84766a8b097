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

using Binary = std::variant<Add, Sub, Mul, Div>;

}  // namespace lamina::math
