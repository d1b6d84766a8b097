// The operators of random views; core/math/views.h has their arithmetic.
#pragma once

#include <cstdint>

namespace lamina::math {

// What a view consists of after its crop, and with which amount.
enum class ViewOperator : std::uint8_t {
  none,
  brightness,  // factors: 1 leaves a pixel as it is
  contrast,    // relative to the mean luminance of the whole view
  saturation,
  hue,        // a share of a turn, in [-0.5, 0.5]
  grayscale,  // no amount
  blur,       // Gaussian, σ in pixels, at least 0; edges are replicated
  solarize,   // values from this threshold on are inverted
};
struct ViewStep {
  ViewOperator op = ViewOperator::none;
  float amount = 0;
};

}  // namespace lamina::math
