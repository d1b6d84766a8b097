// Elementwise functions of one variable, written once for host and device, f32 and f64.
//
// f(x)   the value, y
// df(s)  the derivative dy/dx, as a function of what is saved: s = y where `from_output`, else s = x
// ddf(s) d(df)/ds, for second derivatives
#pragma once

#include <cmath>
#include <variant>

#include "core/base/host_device.h"

namespace lamina::math {

struct Relu {  // y = max(x, 0); NaN stays NaN
  static constexpr const char* name = "relu";
  static constexpr bool from_output = true;
  template <typename T>
  LAMINA_HD T f(T x) const {
    return x < T(0) ? T(0) : x;
  }
  template <typename T>
  LAMINA_HD T df(T y) const {
    return y > T(0) ? T(1) : (y == T(0) ? T(0) : y);
  }
  template <typename T>
  LAMINA_HD T ddf(T) const {
    return T(0);
  }
};

struct Sigmoid {  // y = 1 / (1 + e^-x)
  static constexpr const char* name = "sigmoid";
  static constexpr bool from_output = true;
  template <typename T>
  LAMINA_HD T f(T x) const {
    return T(1) / (T(1) + std::exp(-x));
  }
  template <typename T>
  LAMINA_HD T df(T y) const {
    return y * (T(1) - y);
  }
  template <typename T>
  LAMINA_HD T ddf(T y) const {
    return T(1) - T(2) * y;
  }
};

struct Tanh {
  static constexpr const char* name = "tanh";
  static constexpr bool from_output = true;
  template <typename T>
  LAMINA_HD T f(T x) const {
    return std::tanh(x);
  }
  template <typename T>
  LAMINA_HD T df(T y) const {
    return T(1) - y * y;
  }
  template <typename T>
  LAMINA_HD T ddf(T y) const {
    return T(-2) * y;
  }
};

struct Silu {  // y = x * sigmoid(x)
  static constexpr const char* name = "silu";
  static constexpr bool from_output = false;
  template <typename T>
  LAMINA_HD T f(T x) const {
    return x * Sigmoid{}.f(x);
  }
  template <typename T>
  LAMINA_HD T df(T x) const {
    const T s = Sigmoid{}.f(x);
    return s * (T(1) + x * (T(1) - s));
  }
  template <typename T>
  LAMINA_HD T ddf(T x) const {
    const T s = Sigmoid{}.f(x);
    return s * (T(1) - s) * (T(2) + x * (T(1) - T(2) * s));
  }
};

struct Gelu {  // y = x * Phi(x), Phi the standard normal distribution; exact, by erf
  static constexpr const char* name = "gelu";
  static constexpr bool from_output = false;
  template <typename T>
  LAMINA_HD T cdf(T x) const {
    return T(0.5) * (T(1) + std::erf(x * T(0.70710678118654752440)));
  }
  template <typename T>
  LAMINA_HD T pdf(T x) const {
    return T(0.39894228040143267794) * std::exp(T(-0.5) * x * x);
  }
  template <typename T>
  LAMINA_HD T f(T x) const {
    return x * cdf(x);
  }
  template <typename T>
  LAMINA_HD T df(T x) const {
    return cdf(x) + x * pdf(x);
  }
  template <typename T>
  LAMINA_HD T ddf(T x) const {
    return pdf(x) * (T(2) - x * x);
  }
};

struct Exp {
  static constexpr const char* name = "exp";
  static constexpr bool from_output = true;
  template <typename T>
  LAMINA_HD T f(T x) const {
    return std::exp(x);
  }
  template <typename T>
  LAMINA_HD T df(T y) const {
    return y;
  }
  template <typename T>
  LAMINA_HD T ddf(T) const {
    return T(1);
  }
};

struct Log {
  static constexpr const char* name = "log";
  static constexpr bool from_output = false;
  template <typename T>
  LAMINA_HD T f(T x) const {
    return std::log(x);
  }
  template <typename T>
  LAMINA_HD T df(T x) const {
    return T(1) / x;
  }
  template <typename T>
  LAMINA_HD T ddf(T x) const {
    return T(-1) / (x * x);
  }
};

struct Sqrt {
  static constexpr const char* name = "sqrt";
  static constexpr bool from_output = true;
  template <typename T>
  LAMINA_HD T f(T x) const {
    return std::sqrt(x);
  }
  template <typename T>
  LAMINA_HD T df(T y) const {
    return T(0.5) / y;
  }
  template <typename T>
  LAMINA_HD T ddf(T y) const {
    return T(-0.5) / (y * y);
  }
};

struct Square {
  static constexpr const char* name = "square";
  static constexpr bool from_output = false;
  template <typename T>
  LAMINA_HD T f(T x) const {
    return x * x;
  }
  template <typename T>
  LAMINA_HD T df(T x) const {
    return T(2) * x;
  }
  template <typename T>
  LAMINA_HD T ddf(T) const {
    return T(2);
  }
};

struct Reciprocal {
  static constexpr const char* name = "reciprocal";
  static constexpr bool from_output = true;
  template <typename T>
  LAMINA_HD T f(T x) const {
    return T(1) / x;
  }
  template <typename T>
  LAMINA_HD T df(T y) const {
    return -y * y;
  }
  template <typename T>
  LAMINA_HD T ddf(T y) const {
    return T(-2) * y;
  }
};

struct Abs {
  static constexpr const char* name = "abs";
  static constexpr bool from_output = false;
  template <typename T>
  LAMINA_HD T f(T x) const {
    return std::abs(x);
  }
  template <typename T>
  LAMINA_HD T df(T x) const {  // 0 at 0
    return x > T(0) ? T(1) : (x < T(0) ? T(-1) : x);
  }
  template <typename T>
  LAMINA_HD T ddf(T) const {
    return T(0);
  }
};

struct Sign {  // -1, 0 or 1
  static constexpr const char* name = "sign";
  static constexpr bool from_output = false;
  template <typename T>
  LAMINA_HD T f(T x) const {
    return Abs{}.df(x);
  }
  template <typename T>
  LAMINA_HD T df(T) const {
    return T(0);
  }
  template <typename T>
  LAMINA_HD T ddf(T) const {
    return T(0);
  }
};

struct Sin {
  static constexpr const char* name = "sin";
  static constexpr bool from_output = false;
  template <typename T>
  LAMINA_HD T f(T x) const {
    return std::sin(x);
  }
  template <typename T>
  LAMINA_HD T df(T x) const {
    return std::cos(x);
  }
  template <typename T>
  LAMINA_HD T ddf(T x) const {
    return -std::sin(x);
  }
};

struct Cos {
  static constexpr const char* name = "cos";
  static constexpr bool from_output = false;
  template <typename T>
  LAMINA_HD T f(T x) const {
    return std::cos(x);
  }
  template <typename T>
  LAMINA_HD T df(T x) const {
    return -std::sin(x);
  }
  template <typename T>
  LAMINA_HD T ddf(T x) const {
    return -std::cos(x);
  }
};

struct Pow {  // y = x^p; NaN where x < 0 and p is not an integer
  static constexpr const char* name = "pow";
  static constexpr bool from_output = false;
  double exponent = 1;
  template <typename T>
  LAMINA_HD T f(T x) const {
    return std::pow(x, static_cast<T>(exponent));
  }
  template <typename T>
  LAMINA_HD T df(T x) const {
    return scaled(exponent, x, exponent - 1);
  }
  template <typename T>
  LAMINA_HD T ddf(T x) const {
    return scaled(exponent * (exponent - 1), x, exponent - 2);
  }
  // factor x^p, and 0 where the factor is: 0^p may be infinite.
  template <typename T>
  LAMINA_HD static T scaled(double factor, T x, double p) {
    return factor == 0 ? T(0) : static_cast<T>(factor) * std::pow(x, static_cast<T>(p));
  }
};

struct Clamp {  // y = low where x is below it, high where x is above it; NaN stays NaN
  static constexpr const char* name = "clamp";
  static constexpr bool from_output = false;
  double low = 0;
  double high = 1;
  template <typename T>
  LAMINA_HD T f(T x) const {
    const T least = static_cast<T>(low), most = static_cast<T>(high);
    return x < least ? least : (x > most ? most : x);
  }
  template <typename T>
  LAMINA_HD T df(T x) const {
    const bool outside = x < static_cast<T>(low) || x > static_cast<T>(high);
    return outside ? T(0) : (x == x ? T(1) : x);
  }
  template <typename T>
  LAMINA_HD T ddf(T) const {
    return T(0);
  }
};

struct Affine {  // y = scale * x + shift
  static constexpr const char* name = "affine";
  static constexpr bool from_output = false;
  double scale = 1;
  double shift = 0;
  template <typename T>
  LAMINA_HD T f(T x) const {
    return static_cast<T>(scale) * x + static_cast<T>(shift);
  }
  template <typename T>
  LAMINA_HD T df(T) const {
    return static_cast<T>(scale);
  }
  template <typename T>
  LAMINA_HD T ddf(T) const {
    return T(0);
  }
};

// The closed set that every backend visits; a new function is a struct above and a name here.
using Unary = std::variant<Relu, Sigmoid, Tanh, Silu, Gelu, Exp, Log, Sqrt, Square, Reciprocal, Abs, Sign,
                           Sin, Cos, Pow, Clamp, Affine>;

}  // namespace lamina::math
