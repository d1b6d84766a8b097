// Resizing of 8-bit images in two passes, along x and then along y, with 8-bit pixels between them.
#pragma once

#include <cstdint>
#include <vector>

#include "core/math/resample.h"

namespace lamina::cpu {

// Of every output element of an axis: output i is the sum of weight(i)[k] * input[first(i) + k], k <
// count(i).
class ResizeTaps {
 public:
  explicit ResizeTaps(const math::Resampling& axis);

  std::int64_t outputs() const { return static_cast<std::int64_t>(taps_.size()); }
  std::int64_t first(std::int64_t i) const { return taps_[static_cast<std::size_t>(i)].first; }
  std::int64_t count(std::int64_t i) const { return taps_[static_cast<std::size_t>(i)].count; }
  const std::int32_t* weights(std::int64_t i) const {
    return weights_.data() + taps_[static_cast<std::size_t>(i)].weights;
  }

 private:
  struct Tap {
    std::int64_t first, count, weights;
  };
  std::vector<Tap> taps_;
  std::vector<std::int32_t> weights_;
};

// A row of `channels` (1 or 3) bytes a pixel; `flip`: its outputs from right to left.
void resize_row(const std::uint8_t* in, const ResizeTaps& taps, std::int64_t channels, bool flip,
                std::uint8_t* out);
// Rows of `row_bytes` to taps.outputs() such rows.
void resize_column(const std::uint8_t* in, const ResizeTaps& taps, std::int64_t row_bytes, std::uint8_t* out);

}  // namespace lamina::cpu
