// Resizing as Pillow's BILINEAR does it: a triangle filter, as wide as the scale when shrinking, separable,
// horizontal first, in 22-bit fixed point with 8-bit pixels between the two passes.
#include <algorithm>
#include <cmath>
#include <vector>

#include "core/base/error.h"
#include "core/base/option_name.h"
#include "data/images/image.h"

namespace lamina::data {

namespace {

constexpr int fraction_bits = 22;

// Output element i is the sum of weights[k] * input[first + k].
struct Taps {
  std::int64_t first = 0;
  std::vector<std::int32_t> weights;
};

std::vector<Taps> triangle_taps(std::int64_t from, std::int64_t to) {
  const double scale = static_cast<double>(from) / static_cast<double>(to);
  const double radius = std::max(scale, 1.0);
  std::vector<Taps> taps(static_cast<std::size_t>(to));
  for (std::int64_t i = 0; i < to; ++i) {
    const double center = (static_cast<double>(i) + 0.5) * scale;
    const auto first =
        std::max<std::int64_t>(0, static_cast<std::int64_t>(std::floor(center - radius + 0.5)));
    const auto last = std::min(from, static_cast<std::int64_t>(std::floor(center + radius + 0.5)));
    std::vector<double> weights;
    double sum = 0;
    for (std::int64_t k = first; k < last; ++k) {
      const double distance = std::abs((static_cast<double>(k) - center + 0.5) / radius);
      weights.push_back(std::max(0.0, 1.0 - distance));
      sum += weights.back();
    }
    Taps& tap = taps[static_cast<std::size_t>(i)];
    tap.first = first;
    for (const double weight : weights) {
      tap.weights.push_back(static_cast<std::int32_t>(std::lround(weight / sum * (1 << fraction_bits))));
    }
  }
  return taps;
}

// Resizes the middle axis of [outer, from, inner] to [outer, to, inner].
std::vector<std::uint8_t> resize_axis(const std::uint8_t* in, std::int64_t outer, std::int64_t from,
                                      std::int64_t to, std::int64_t inner) {
  const std::vector<Taps> taps = triangle_taps(from, to);
  std::vector<std::uint8_t> out(static_cast<std::size_t>(outer * to * inner));
  std::uint8_t* result = out.data();
  for (std::int64_t o = 0; o < outer; ++o) {
    for (const Taps& tap : taps) {
      const std::uint8_t* start = in + (o * from + tap.first) * inner;
      for (std::int64_t c = 0; c < inner; ++c) {
        std::int32_t sum = 1 << (fraction_bits - 1);
        const std::uint8_t* x = start + c;
        for (const std::int32_t weight : tap.weights) {
          sum += weight * *x;
          x += inner;
        }
        *result++ = static_cast<std::uint8_t>(std::clamp(sum >> fraction_bits, 0, 255));
      }
    }
  }
  return out;
}

}  // namespace

Tensor resize_image(const Tensor& image, int size, std::int64_t most_pixels) {
  check(image.rank() == 3 && image.dtype() == DType::u8, "resize_image: {}; expected u8 [H, W, C]",
        image.str());
  check(size > 0 && size <= most_image_size, "resize_image: size {}; expected 1 to {}", size,
        most_image_size);
  const std::int64_t h = image.size(0), w = image.size(1), channels = image.size(2);
  // The longer side rounds down.
  const std::int64_t new_h = h <= w ? size : size * h / w;
  const std::int64_t new_w = w <= h ? size : size * w / h;
  const std::int64_t most = std::max(most_pixels, max_pixels);  // a smaller limit is for what is decoded
  if (new_h * new_w > most) {
    throw TooManyPixels(
        message("resize_image: {}×{} pixels would become {}×{}, and images of more than {} are refused; crop "
                "it, or if "
                "there is memory for it, raise {}",
                w, h, new_w, new_h, most, option_name("max_pixels")));
  }

  const auto* source = image.data<std::uint8_t>();
  std::vector<std::uint8_t> columns, both;
  if (new_w != w) {
    columns = resize_axis(source, h, w, new_w, channels);
    source = columns.data();
  }
  if (new_h != h) {
    both = resize_axis(source, 1, h, new_h, new_w * channels);
    source = both.data();
  }
  // Halves round to even.
  const auto top = std::lrint(static_cast<double>(new_h - size) / 2);
  const auto left = std::lrint(static_cast<double>(new_w - size) / 2);
  Tensor result = Tensor::empty({size, size, channels}, {.dtype = DType::u8});
  for (std::int64_t y = 0; y < size; ++y) {
    const std::uint8_t* row = source + ((top + y) * new_w + left) * channels;
    std::copy(row, row + size * channels, result.data<std::uint8_t>() + y * size * channels);
  }
  return result;
}

}  // namespace lamina::data
