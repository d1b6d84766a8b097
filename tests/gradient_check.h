// Finite differences against analytic gradients, in f64.
#pragma once

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "core/tensor.h"

namespace lamina::tests {

// A power of two, so that a multiple of 2^-20 moved by one or two steps is exact, in f32 as well.
inline constexpr double gradient_step = 0x1p-11;
// Moving one input by two steps moves no pre-activation by more: how far from a kink inputs must be.
inline constexpr double kink_margin = 0.01;

// Every element, or about `limit` of them, evenly spread.
inline std::vector<double> spread(const std::vector<double>& values, std::size_t limit) {
  std::vector<double> chosen;
  const std::size_t step = (values.size() + limit - 1) / limit;
  for (std::size_t i = 0; i < values.size(); i += step) chosen.push_back(values[i]);
  return chosen;
}

// df/dx[i], for the elements that spread() chooses, by the five-point rule. Its error is h^4/30 times the
// fifth derivative of f: about 2e-15 here, below the rounding of f divided by h, about 1e-12.
inline std::vector<double> numeric_gradient(const std::function<double()>& f, const Tensor& x,
                                            std::size_t limit = 1000) {
  std::vector<double> gradient;
  const auto elements = static_cast<std::size_t>(x.elements());
  const std::size_t step = (elements + limit - 1) / limit;
  for (std::size_t i = 0; i < elements; i += step) {
    double& element = x.data<double>()[i];
    const double middle = element;
    const auto f_at = [&](double steps) {
      element = middle + steps * gradient_step;
      return f();
    };
    const double near = f_at(1) - f_at(-1), far = f_at(2) - f_at(-2);
    element = middle;
    gradient.push_back((8 * near - far) / (12 * gradient_step));
  }
  return gradient;
}

// "none" if the gradients agree, else where they do not: every element to a relative 1e-6, with room for the
// rounding of f (1e-9 of the largest element, at least 1e-9).
inline std::string gradient_mismatch(const std::vector<double>& analytic,
                                     const std::vector<double>& numeric) {
  double largest = 1;
  for (const double value : numeric) largest = std::max(largest, std::abs(value));
  if (analytic.size() != numeric.size())
    return fmt::format("{} elements against {}", analytic.size(), numeric.size());
  for (std::size_t i = 0; i < numeric.size(); ++i)
    if (!(std::abs(analytic[i] - numeric[i]) <= 1e-6 * std::abs(numeric[i]) + 1e-9 * largest))
      return fmt::format("element {}: analytic {}, numeric {}", i, analytic[i], numeric[i]);
  return "none";
}

// The gradient with a 1 % error in its largest element, which a check worth its name must notice.
inline std::vector<double> with_planted_error(std::vector<double> gradient) {
  const auto largest = std::max_element(gradient.begin(), gradient.end(),
                                        [](double a, double b) { return std::abs(a) < std::abs(b); });
  if (largest != gradient.end()) *largest *= 1.01;
  return gradient;
}

inline bool all_zero(const std::vector<double>& values) {
  return std::all_of(values.begin(), values.end(), [](double value) { return value == 0; });
}

}  // namespace lamina::tests
