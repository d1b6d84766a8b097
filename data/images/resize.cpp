#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "core/base/option_name.h"
#include "data/images/image.h"
#include "data/views.h"

namespace lamina::data {

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
                "it, or if there is memory for it, raise {}",
                w, h, new_w, new_h, most, option_name("max_pixels")));
  }
  const View whole{.height = static_cast<std::int32_t>(h),
                   .width = static_cast<std::int32_t>(w),
                   .filter = math::Filter::bilinear};
  const Tensor resized = make_views(image.view({1, h, w, channels}), {&whole, 1}, new_h, new_w);
  // Halves round to even.
  const auto top = std::lrint(static_cast<double>(new_h - size) / 2);
  const auto left = std::lrint(static_cast<double>(new_w - size) / 2);
  Tensor result = Tensor::empty({size, size, channels}, {.dtype = DType::u8});
  for (std::int64_t y = 0; y < size; ++y) {
    const std::uint8_t* row = resized.data<std::uint8_t>() + ((top + y) * new_w + left) * channels;
    std::copy(row, row + size * channels, result.data<std::uint8_t>() + y * size * channels);
  }
  return result;
}

}  // namespace lamina::data
