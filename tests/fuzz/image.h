// What holds of every decoded image.
#pragma once

#include "data/images/image.h"
#include "target.h"

namespace lamina::fuzz {

// Bytes of three or of one channel, or a refusal of both, with the same sides and not too many pixels.
inline void decode_any(Input input, const char* name) {
  Tensor colour, grey;
  const bool decodes = accepts([&] { colour = data::decode_image(input, name, 3); });
  expect(decodes == accepts([&] { grey = data::decode_image(input, name, 1); }),
         "an image that can be read in colour can be read in grey");
  if (!decodes) return;
  expect(colour.dtype() == DType::u8 && colour.rank() == 3 && colour.size(2) == 3, "u8 [H, W, 3]");
  expect(grey.size(0) == colour.size(0) && grey.size(1) == colour.size(1) && grey.size(2) == 1,
         "u8 [H, W, 1]");
  expect(colour.size(0) > 0 && colour.size(1) > 0, "there are pixels");
  expect(colour.size(0) * colour.size(1) <= data::max_pixels, "at most max_pixels");
  if (colour.size(0) * colour.size(1) > 4096) return;  // resizing is slow
  expect(data::resize_image(colour, 5).shape() == Shape{5, 5, 3}, "resized to 5×5");
}

}  // namespace lamina::fuzz
