// Resampling along one axis as Pillow does it (src/libImaging/Resample.c), for host and device: a filter that
// is stretched by the scale when shrinking, with weights of 22 bits of fraction.
#pragma once

#include <cstdint>

#include "core/base/host_device.h"

namespace lamina::math {

enum class Filter : std::uint8_t { bilinear, bicubic };

// Its value at a distance from its centre, in elements of whichever grid is coarser.
LAMINA_HD double filter_value(Filter filter, double distance) {
  const double u = distance < 0 ? -distance : distance;
  if (filter == Filter::bilinear) return u < 1 ? 1 - u : 0;
  constexpr double a = -0.5;
  if (u < 1) return ((a + 2) * u - (a + 3)) * u * u + 1;
  if (u < 2) return (((u - 5) * u + 8) * u - 4) * a;
  return 0;
}

// `from` elements become `to`. Output i is made of the inputs [window(i).first, window(i).end).
struct Resampling {
  static constexpr int fraction_bits = 22;

  struct Window {
    std::int64_t first, end;
    double centre;
  };

  Filter filter;
  std::int64_t from, to;

  LAMINA_HD double scale() const { return static_cast<double>(from) / static_cast<double>(to); }
  LAMINA_HD double stretch() const { return scale() < 1 ? 1 : scale(); }

  LAMINA_HD Window window(std::int64_t i) const {
    const double centre = (static_cast<double>(i) + 0.5) * scale();
    const double support = (filter == Filter::bilinear ? 1 : 2) * stretch();
    // As Pillow rounds. NOLINTBEGIN(bugprone-incorrect-roundings)
    const auto first = static_cast<std::int64_t>(centre - support + 0.5);
    const auto end = static_cast<std::int64_t>(centre + support + 0.5);
    // NOLINTEND(bugprone-incorrect-roundings)
    return {first < 0 ? 0 : first, end > from ? from : end, centre};
  }

  // Before they are divided by their sum over the window.
  LAMINA_HD double weight(const Window& window, std::int64_t input) const {
    return filter_value(filter, (static_cast<double>(input) - window.centre + 0.5) * (1 / stretch()));
  }
  LAMINA_HD double weight_sum(const Window& window) const {
    double sum = 0;
    for (std::int64_t input = window.first; input < window.end; ++input) sum += weight(window, input);
    return sum;
  }

  LAMINA_HD static std::int32_t fixed_point(double weight, double weight_sum) {
    const double value = weight / weight_sum * (1 << fraction_bits);
    return static_cast<std::int32_t>(value < 0 ? value - 0.5 : value + 0.5);  // halves away from 0
  }
  static constexpr std::int32_t half = 1 << (fraction_bits - 1);  // where a sum of weighted pixels starts
  LAMINA_HD static std::uint8_t pixel(std::int32_t sum) {
    const std::int32_t value = sum >> fraction_bits;
    return static_cast<std::uint8_t>(value < 0 ? 0 : (value > 255 ? 255 : value));
  }
};

}  // namespace lamina::math
