// What views do to pixels, with the arithmetic of Pillow on 8-bit images to the bit, for host and device.
// Multiplications and additions are rounded one by one: no compiler may contract them.
#pragma once

#include <cmath>
#include <cstdint>

#include "core/base/host_device.h"
#include "core/math/view_step.h"

namespace lamina::math {

// A grey pixel is one of three equal values; all operators then leave it grey.
struct Rgb {
  std::uint8_t r, g, b;
};

// Pillow's convert("L").
LAMINA_HD std::uint8_t luminance(Rgb p) {
  return static_cast<std::uint8_t>((19595u * p.r + 38470u * p.g + 7471u * p.b + 32768u) >> 16);
}

// Pillow's Image.blend: `from` with a factor of 0, `value` with 1, beyond it outside [0, 1].
LAMINA_HD std::uint8_t blend(std::uint8_t from, std::uint8_t value, float factor) {
  const float mixed = static_cast<float>(from) + factor * static_cast<float>(value - from);
  return static_cast<std::uint8_t>(static_cast<std::int32_t>(mixed < 0     ? 0.0f
                                                             : mixed > 255 ? 255.0f
                                                                           : mixed));
}

LAMINA_HD std::uint8_t solarized(std::uint8_t value, float threshold) {
  return static_cast<std::uint8_t>(static_cast<float>(value) < threshold ? value : 255 - value);
}

// Hue, saturation and value in 8 bits each. 255 stands for 1, and so for a whole turn of the hue.
struct Hsv {
  std::uint8_t h, s, v;
};

// Pillow's convert("HSV"), including which of its intermediate results are f32 and which f64.
LAMINA_HD Hsv to_hsv(Rgb p) {
  const int r = p.r, g = p.g, b = p.b;
  const int most = r > g ? (r > b ? r : b) : (g > b ? g : b);
  const int least = r < g ? (r < b ? r : b) : (g < b ? g : b);
  const auto range = static_cast<float>(most == least ? 1 : most - least);
  const float from_r = static_cast<float>(most - r) / range, from_g = static_cast<float>(most - g) / range,
              from_b = static_cast<float>(most - b) / range;
  // All three first, so that the choice is no branch.
  const float red = from_b - from_g, green = static_cast<float>(2.0 + from_r - from_b),
              blue = static_cast<float>(4.0 + from_g - from_r);
  const float sextant = r == most ? red : (g == most ? green : blue);
  const double turns = sextant / 6.0 + 1;  // in [5/6, 11/6]
  const auto hue = static_cast<float>(turns < 1 ? turns : turns - 1);
  const float saturation = range / static_cast<float>(most == 0 ? 1 : most);
  const int coloured = most == least ? 0 : 255;
  return {static_cast<std::uint8_t>(static_cast<std::int32_t>(coloured * static_cast<double>(hue))),
          static_cast<std::uint8_t>(static_cast<std::int32_t>(coloured * static_cast<double>(saturation))),
          static_cast<std::uint8_t>(most)};
}

// Of x ≥ 0; halves away from 0. The largest f64 below a half: 0.5 itself would carry its predecessor to 1.
LAMINA_HD int nearest_integer(double x) { return static_cast<int>(x + 0.49999999999999994); }

LAMINA_HD Rgb to_rgb(Hsv p) {
  const double sextants = static_cast<float>(p.h) * 6.0 / 255.0;
  const int sextant = static_cast<int>(sextants);
  const auto f = static_cast<float>(sextants - sextant);
  const auto s = static_cast<float>(p.s / 255.0);
  const auto v = static_cast<float>(p.v);
  const int value = p.v, low = nearest_integer(v * (1.0 - s)), falling = nearest_integer(v * (1.0 - s * f)),
            rising = nearest_integer(v * (1.0 - s * (1.0 - f)));
  // Red over the six sextants; green follows it by two of them, blue by four.
  const auto channel = [&](int i) {
    const int side = i < 3 ? falling : rising;
    const int flat = i == 2 || i == 3 ? low : value;
    return static_cast<std::uint8_t>(i % 3 == 1 ? side : flat);
  };
  return {channel(sextant % 6), channel((sextant + 4) % 6), channel((sextant + 2) % 6)};
}

// By a share of a turn in [-0.5, 0.5], as torchvision's adjust_hue of a Pillow image: the 8-bit hue wraps at
// 256, though it comes from a scale of 255.
LAMINA_HD Rgb hue_shifted(Rgb p, float turn) {
  Hsv hsv = to_hsv(p);
  hsv.h = static_cast<std::uint8_t>(hsv.h + static_cast<int>(turn * 255.0));
  return to_rgb(hsv);
}

// One of the three passes along each axis that make Pillow's Gaussian blur, an "extended box": the pixels up
// to `radius` away have the weight `inner`, the two beyond them `outer`, in 24 bits of fraction.
struct ExtendedBox {
  static constexpr int passes = 3;
  std::int32_t radius;
  std::uint32_t inner, outer;

  // Gwosdek et al., "Theoretical Foundations of Gaussian Convolution by Extended Box Filtering", 2011.
  LAMINA_HD static ExtendedBox of_sigma(float sigma) {
    const float variance = sigma * sigma / passes;
    const auto length = static_cast<float>(std::sqrt(12.0 * variance + 1.0));
    const auto l = static_cast<float>(std::floor((length - 1.0) / 2.0));
    float fraction = (2 * l + 1) * (l * (l + 1) - 3 * variance);
    fraction /= 6 * (variance - (l + 1) * (l + 1));
    const float radius = l + fraction;
    const auto whole = static_cast<std::int32_t>(radius);
    const auto inner = static_cast<std::uint32_t>(16777216.0f / (radius * 2 + 1));
    return {whole, inner, ((1u << 24) - static_cast<std::uint32_t>(2 * whole + 1) * inner) / 2};
  }
  // From the sum over the inner pixels and that of the outer two.
  LAMINA_HD std::uint8_t pixel(std::uint32_t inner_sum, std::uint32_t outer_sum) const {
    return static_cast<std::uint8_t>((inner * inner_sum + outer * outer_sum + (1u << 23)) >> 24);
  }
};

// Contrast's grey, from the sum of the luminance over so many pixels.
LAMINA_HD std::uint8_t mean_luminance(std::uint64_t sum, std::int64_t pixels) {
  return static_cast<std::uint8_t>(
      static_cast<int>(static_cast<double>(sum) / static_cast<double>(pixels) + 0.5));
}

// A step of one pixel, which blurring is not. `mean`: for contrast.
LAMINA_HD Rgb recoloured(Rgb p, ViewStep step, std::uint8_t mean) {
  const auto towards = [&](std::uint8_t grey) {
    return Rgb{blend(grey, p.r, step.amount), blend(grey, p.g, step.amount), blend(grey, p.b, step.amount)};
  };
  switch (step.op) {
    case ViewOperator::brightness:
      return towards(0);
    case ViewOperator::contrast:
      return towards(mean);
    case ViewOperator::saturation:
      return towards(luminance(p));
    case ViewOperator::hue:
      return hue_shifted(p, step.amount);
    case ViewOperator::grayscale:
      return {luminance(p), luminance(p), luminance(p)};
    case ViewOperator::solarize:
      return {solarized(p.r, step.amount), solarized(p.g, step.amount), solarized(p.b, step.amount)};
    default:
      return p;
  }
}

}  // namespace lamina::math
