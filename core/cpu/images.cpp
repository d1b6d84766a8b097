// Crops and mirrors u8 images, normalises them to f32 and cuts out rectangles.
#include <algorithm>
#include <vector>

#include "core/base/error.h"
#include "core/cpu/cpu_backend.h"
#include "core/math/images.h"
#include "core/parallel_for.h"

namespace lamina {
namespace {

// The normalised value of each of the 256 pixel values of each channel.
class PixelTable {
 public:
  PixelTable(std::span<const float> mean, std::span<const float> std) : values_(256 * mean.size()) {
    for (std::size_t c = 0; c < mean.size(); ++c) {
      for (std::size_t pixel = 0; pixel < 256; ++pixel) {
        values_[256 * c + pixel] = math::normalised_pixel(static_cast<std::uint8_t>(pixel), mean[c], std[c]);
      }
    }
  }
  float operator()(std::int64_t channel, std::uint8_t pixel) const {
    return values_[static_cast<std::size_t>(256 * channel + pixel)];
  }

 private:
  std::vector<float> values_;
};

// One row of a crop, from a source row of `width` pixels (null: the row lies in the padding).
void crop_row(const std::uint8_t* source, std::int64_t width, const Crop& crop, const PixelTable& table,
              std::int64_t channels, std::int64_t out_width, float* to) {
  for (std::int64_t x = 0; x < out_width; ++x) {
    const std::int64_t from = crop.left + (crop.flip ? out_width - 1 - x : x);
    const std::uint8_t* pixel =
        source != nullptr && from >= 0 && from < width ? source + from * channels : nullptr;
    for (std::int64_t c = 0; c < channels; ++c)
      *to++ = table(c, pixel != nullptr ? pixel[c] : std::uint8_t{0});
  }
}

// What the crop cuts out of the row `to`.
void cut_row(const Crop& crop, std::int64_t channels, std::int64_t out_width, float* to) {
  const std::int64_t left = std::clamp<std::int64_t>(crop.cut_left, 0, out_width);
  const std::int64_t right = std::clamp<std::int64_t>(crop.cut_right, left, out_width);
  std::fill(to + left * channels, to + right * channels, 0.0f);
}

}  // namespace

void CpuBackend::crop_images(const Tensor& images, std::span<const Crop> crops, std::span<const float> mean,
                             std::span<const float> std, Tensor& out) {
  const std::int64_t height = images.size(1), width = images.size(2), channels = images.size(3);
  const std::int64_t out_height = out.size(1), out_width = out.size(2);
  const PixelTable table(mean, std);
  const auto* pixels = images.data<std::uint8_t>();
  auto* values = out.data<float>();
  parallel_for(out.size(0), 1, [&](std::int64_t n, std::int64_t) {
    const Crop& crop = crops[static_cast<std::size_t>(n)];
    check(crop.source >= 0 && crop.source < images.size(0),
          "crop_images: crop {} asks for image {}; expected 0 to {}", n, crop.source, images.size(0) - 1);
    for (std::int64_t y = 0; y < out_height; ++y) {
      const std::int64_t from = crop.top + y;
      const std::uint8_t* source =
          from >= 0 && from < height ? pixels + (crop.source * height + from) * width * channels : nullptr;
      float* row = values + (n * out_height + y) * out_width * channels;
      crop_row(source, width, crop, table, channels, out_width, row);
      if (y >= crop.cut_top && y < crop.cut_bottom) cut_row(crop, channels, out_width, row);
    }
  });
}

}  // namespace lamina
