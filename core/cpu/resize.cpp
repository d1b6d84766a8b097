#include "core/cpu/resize.h"

#include <algorithm>

namespace lamina::cpu {
namespace {

using math::Resampling;

template <int channels>
void resize_row_of(const std::uint8_t* in, const ResizeTaps& taps, bool flip, std::uint8_t* out) {
  const std::int64_t outputs = taps.outputs();
  for (std::int64_t i = 0; i < outputs; ++i) {
    const std::int32_t* weight = taps.weights(i);
    const std::uint8_t* x = in + taps.first(i) * channels;
    std::int32_t sums[channels];
    std::fill_n(sums, channels, Resampling::half);
    for (std::int64_t k = 0; k < taps.count(i); ++k, x += channels)
      for (int c = 0; c < channels; ++c) sums[c] += weight[k] * x[c];
    std::uint8_t* pixel = out + (flip ? outputs - 1 - i : i) * channels;
    for (int c = 0; c < channels; ++c) pixel[c] = Resampling::pixel(sums[c]);
  }
}

}  // namespace

ResizeTaps::ResizeTaps(const Resampling& axis) {
  for (std::int64_t i = 0; i < axis.to; ++i) {
    const Resampling::Window window = axis.window(i);
    const double sum = axis.weight_sum(window);
    taps_.push_back({window.first, window.end - window.first, static_cast<std::int64_t>(weights_.size())});
    for (std::int64_t input = window.first; input < window.end; ++input)
      weights_.push_back(Resampling::fixed_point(axis.weight(window, input), sum));
  }
}

void resize_row(const std::uint8_t* in, const ResizeTaps& taps, std::int64_t channels, bool flip,
                std::uint8_t* out) {
  channels == 3 ? resize_row_of<3>(in, taps, flip, out) : resize_row_of<1>(in, taps, flip, out);
}

void resize_column(const std::uint8_t* in, const ResizeTaps& taps, std::int64_t row_bytes,
                   std::uint8_t* out) {
  constexpr std::int64_t block = 128;  // bytes of a row whose sums stay in the nearest cache
  std::int32_t sums[block];
  for (std::int64_t i = 0; i < taps.outputs(); ++i, out += row_bytes) {
    const std::int32_t* weight = taps.weights(i);
    for (std::int64_t start = 0; start < row_bytes; start += block) {
      const std::int64_t count = std::min(block, row_bytes - start);
      const std::uint8_t* x = in + taps.first(i) * row_bytes + start;
      std::fill_n(sums, count, Resampling::half);
      for (std::int64_t k = 0; k < taps.count(i); ++k, x += row_bytes)
        for (std::int64_t c = 0; c < count; ++c) sums[c] += weight[k] * x[c];
      for (std::int64_t c = 0; c < count; ++c) out[start + c] = Resampling::pixel(sums[c]);
    }
  }
}

}  // namespace lamina::cpu
